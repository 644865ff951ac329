"""Locks that keep a second process out of a folder, and that end with the process that holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reddino.errors import RedDinoError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows has none: there, nothing keeps a second process out
    fcntl = None

_held: set[int] = set()


@contextmanager
def only_one(path: Path, busy: str) -> Iterator[None]:
    """Hold `path` while the block runs; a process that was killed holds nothing back.

    Where the file system knows no locks, or the operating system none of this kind, everybody is let in.

    Args:
        path: a folder that is there; or the path of a file in one, which is made to be locked and stays.
        busy: what to say where another process, or another block of this one, holds it.

    Raises:
        RedDinoError: with `busy`.
    """
    if fcntl is None:
        yield
        return
    # Network file systems lock only what is open for writing, which a folder cannot be.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RedDinoError(busy) from error
        except OSError:
            pass
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def _let_go() -> None:
    """In a forked child: a lock is of all who share its handle, and a worker may outlive a killed parent."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
