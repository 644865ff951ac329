"""Locks that keep a second process out of a folder or a file, and end with the process that holds them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.stores.urls import require_local

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows has none: there, nothing keeps a second process out
    fcntl = None

#: The lock in the folder of a result that is being written.
FOLDER_LOCK = ".reddino.lock"

_held: set[int] = set()
#: Results that a killed process of the same command left here, which may be written again.
_continued: set[Path] = set()


@contextmanager
def holding(path: Path) -> Iterator[bool]:
    """Hold `path` while the block runs: True, or False where neither file system nor system locks files.

    A lock may be deleted by who holds it: whoever waited for it takes the next one of that name.

    Args:
        path: a folder that is there; or the path of a file in one, which is made to be locked and stays.

    Raises:
        BlockingIOError: another process, or another block of this one, holds it.
    """
    if fcntl is None:
        yield False
        return
    # Network file systems lock only what is open for writing, which a folder cannot be.
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    while True:
        handle = os.open(path, flags, 0o666)
        _held.add(handle)
        try:
            locked = _lock(handle)
            if locked and not _is_still(path, handle):
                continue
            yield locked
            return
        finally:
            if handle in _held:
                _held.discard(handle)
                os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Return whether an open file is the one of that name, and not one that was deleted meanwhile."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


@contextmanager
def only_one(path: Path, busy: str) -> Iterator[None]:
    """Hold `path` while the block runs; a process that was killed holds nothing back.

    Where the file system has no locks, or the operating system none of this kind, every process is let in.

    Args:
        path: a folder that is there; or the path of a file in one, which is made to be locked and stays.
        busy: the error's sentence where another process, or another block of this one, holds it.

    Raises:
        RedDinoError: with `busy`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(holding(path))
        except BlockingIOError as error:
            raise RedDinoError(busy) from error
        yield


@contextmanager
def claimed(out: Path, command: str, *, folder: bool) -> Iterator[None]:
    """Keep other commands away from a result while it is written.

    The lock is deleted at the end. One that is there, and that nobody holds, is of a killed process: if its
    command was the same, `require_free` lets the result be written again. A folder that was made for the
    result goes if nothing was put into it.

    Args:
        out: the result, a file or a folder.
        command: what distinguishes one command from another, in one line.
        folder: whether the result is a folder.

    Raises:
        RedDinoError: another process writes there now, or nobody can.
    """
    place = out if folder else out.parent
    if place.exists() and not place.is_dir():
        raise RedDinoError(f"{place} is a file; give the name of a folder, or of a new one")
    with ExitStack() as held:
        with _naming(out), writing(out):
            make_folder(place, held)
            _lock_result(out, place / (FOLDER_LOCK if folder else f".{out.name[:50]}.lock"), command, held)
        yield


def _lock_result(out: Path, lock: Path, command: str, held: ExitStack) -> None:
    result = out.absolute()
    held.enter_context(
        only_one(lock, f"another process is writing to {out} at this moment: wait for it or stop it")
    )
    held.callback(_delete, lock)
    if lock.exists() and lock.read_text("utf-8", "replace") == command:
        _continued.add(result)
        held.callback(_continued.discard, result)
    if fcntl is not None:
        lock.write_text(command, "utf-8")


@contextmanager
def _naming(out: Path) -> Iterator[None]:
    """Name the result, and not its lock, where nothing can be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise RedDinoError(f"{out} cannot be written ({os.strerror(error.errno)})") from error


def _delete(lock: Path) -> None:
    with suppress(OSError):
        lock.unlink(missing_ok=True)


def make_folder(folder: Path, held: ExitStack) -> None:
    """Make a folder, which goes when `held` is closed and nothing is in it; one that was there stays.

    Raises:
        RedDinoError: it is behind a URL.
    """
    require_local(folder)
    for missing in (one for one in (*reversed(folder.parents), folder) if not one.exists()):
        held.callback(remove_empty, missing)
    folder.mkdir(parents=True, exist_ok=True)


def remove_empty(folder: Path) -> None:
    """Delete a folder if nothing is in it."""
    with suppress(OSError):
        if not any(folder.iterdir()):
            folder.rmdir()


def require_free(mark: Path, taken: str) -> None:
    """Refuse to write a result where there is one, unless this very command left it there when it was killed.

    Args:
        mark: the file in the result's folder that is written last; it is deleted where the result is to be
            written again.
        taken: the error's sentence.

    Raises:
        RedDinoError: with `taken`.
    """
    if not mark.exists():
        return
    if not is_continued(mark.parent):
        raise RedDinoError(taken)
    mark.unlink()


def is_continued(out: Path) -> bool:
    """Return whether the command that claims `out` was killed there before."""
    return out.absolute() in _continued


def _let_go() -> None:
    """Release the locks in a forked child.

    All who share a handle hold it, and a worker may outlive its parent.
    """
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
