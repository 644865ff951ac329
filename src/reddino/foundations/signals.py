"""SIGTERM and SIGHUP end a command as Ctrl-C does: files are cleaned up, and one sentence is printed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_before: dict[int, Any] = {}


def ending_signals() -> list[signal.Signals]:
    """Return SIGTERM and SIGHUP, of those that the system has; one that is ignored (nohup) stays ignored."""
    known = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP while the block runs; a second signal ends at once.

    Forked processes treat the signals as they were treated before the block.
    """
    outer = _before.copy()
    if threading.current_thread() is threading.main_thread():
        _before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        for number in ending_signals():
            _before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        _restore()
        _before.update(outer)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in _before:
        signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _restore() -> None:
    for number, handler in _before.items():
        # What is not a handler of Python's cannot be put back.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    _before.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore)
