"""The stack that signals are handled on, kept as it was while a library changes it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2) on Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_DISABLED = 2  # SS_DISABLE


@contextmanager
def same_signal_stack() -> Iterator[None]:
    """Give this thread back its alternate signal stack.

    OpenVINO sets one of its own for the thread that compiles a model, and frees its memory with the model. If
    another thread drops the model, the setting stays: the next signal, such as Ctrl-C, is handled on memory
    that is gone, which ends the process.
    """
    if sys.platform != "linux":
        yield
        return
    call = ctypes.CDLL(None, use_errno=True).sigaltstack
    before = _SignalStack()
    call(None, ctypes.byref(before))
    try:
        yield
    finally:
        if not before.start:
            before.flags = _DISABLED
        call(ctypes.byref(before), None)
