"""Ctrl-C, SIGTERM and SIGHUP stop a run after its step; a second Ctrl-C stops it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from reddino.foundations.signals import ending_signals


class Interruption:
    """While entered, `requested` turns True on SIGINT, SIGTERM or SIGHUP instead of ending the process."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def is_requested(self) -> bool:
        """Whether the run should stop."""
        return self.requested

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._request) for number in (signal.SIGINT, *ending_signals())
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
