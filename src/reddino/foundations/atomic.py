"""Files that appear whole or not at all, and drafts that do not outlive their writer."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import writing
from reddino.foundations.locks import holding, make_folder, remove_empty
from reddino.foundations.stores.anywhere import spool_folder
from reddino.foundations.stores.claims import claim_on
from reddino.foundations.stores.objects import put_file
from reddino.foundations.stores.urls import url_of

#: A draft: a folder with a lock; or a file with a process's number, which version 0.1 wrote.
_DRAFT = re.compile(r"\..+\.([0-9a-f]{8}|\d+)\.partial", re.DOTALL)
_LOCK = ".lock"
#: Seconds without a change after which a draft counts as left behind, where files cannot be locked.
_ABANDONED = 3600.0
#: The errors of network and virtual file systems that cannot do this; Windows opens no folder.
_REFUSED = {
    getattr(errno, name)
    for name in ("EINVAL", "EACCES", "EPERM", "EBADF", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EISDIR", "ENOTTY")
    if hasattr(errno, name)
}

_swept: set[str] = set()


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where the file system can."""
    with _where_possible():
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file, _where_possible():
        os.fsync(file.fileno())


@contextmanager
def _where_possible() -> Iterator[None]:
    """Ignore a refusal, which loses nothing: what was written is there. Raise for a full or failing disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


@contextmanager
def draft_folder(folder: Path, name: str) -> Iterator[Path]:
    """Give a new folder inside `folder` for what is unfinished; it is deleted when the block ends.

    Its name starts with a dot and ends in `.partial`, so that a reader never takes what is in it for
    finished. Its writer locks a file in it: the draft of a killed writer is deleted by the next one.
    """
    with ExitStack() as held:
        make_folder(folder, held)
        # Once a process is enough, and a folder may hold a million files.
        if str(folder.absolute()) not in _swept:
            _swept.add(str(folder.absolute()))
            remove_partials(folder)
        draft = _new_draft(folder, name, held)
        yield draft


def _new_draft(folder: Path, name: str, held: ExitStack) -> Path:
    while True:
        draft = folder / f".{name[:50]}.{secrets.token_hex(4)}.partial"
        draft.mkdir(parents=True)
        # Network file systems keep the name of an open file, such as the lock's, until it is closed.
        held.callback(remove_empty, draft)
        try:
            held.enter_context(holding(draft / _LOCK))
        except (BlockingIOError, FileNotFoundError):
            continue  # another process took it for a dead one's, before it was locked
        held.callback(shutil.rmtree, draft, ignore_errors=True)
        return draft


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`; on success fsync it and rename it to `path`, on error remove it.

    Behind a URL, the temporary path is in a folder of this machine, and the file is put whole.

    Raises:
        RedDinoError: `path` is a folder or a device, or there is no space left.
    """
    url = url_of(path)
    if url is not None:
        with _atomic_object(path, url) as partial:
            yield partial
        return
    if path.exists() and not path.is_file():
        raise RedDinoError(f"{path} is a folder or a device, and not a file; give another name")
    with writing(path), draft_folder(path.parent, path.name) as draft:
        partial = draft / path.name
        partial.touch()
        mode = stat.S_IMODE(partial.stat().st_mode)
        yield partial
        # Some writers (safetensors) put a file of their own in its place, which nobody else may read.
        with suppress(OSError):
            partial.chmod(mode)
        move_into_place(partial, path)


@contextmanager
def _atomic_object(path: Path, url: str) -> Iterator[Path]:
    """Give a path on this machine, whose file becomes the object; the parts of a table replace none."""
    claim, spool = claim_on(url), spool_folder()
    with writing(spool / path.name), draft_folder(spool, path.name) as draft:
        partial = draft / path.name
        partial.touch()
        yield partial
        claim.require()
        try:
            put_file(url, partial, new=path.suffix == ".parquet")
        except FileExistsError:
            raise RedDinoError(
                f"{url} was written by another pass meanwhile: wait for it or stop it"
            ) from None


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a whole file of a draft to `path`, so that both survive a power cut."""
    _sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def move_folder_into_place(partial: Path, path: Path) -> None:
    """Rename a folder of files of a draft to `path`, where nothing is, so that it survives a power cut."""
    for file in partial.iterdir():
        _sync_file(file)
    sync_folder(partial)
    partial.rename(path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    r"""Write `text` as UTF-8 to `path`, atomically; bytes of a file's name that are not UTF-8 as `\udcff`."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove_partials(folder: Path, *, below: bool = False) -> None:
    """Delete what killed writers left in `folder`, and with `below` in all folders in it.

    A draft whose writer lives stays.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if _DRAFT.fullmatch(name):
                _remove_if_dead(Path(place, name))
        if not below:
            return
        folders[:] = [name for name in folders if not _DRAFT.fullmatch(name)]


def _remove_if_dead(draft: Path) -> None:
    with suppress(OSError):  # another process deletes it too, or it is another user's
        if draft.is_symlink() or not draft.is_dir():
            draft.unlink()
            return
        with holding(draft / _LOCK) as locked:
            if not locked and time.time() - _last_change(draft) < _ABANDONED:
                return
            shutil.rmtree(draft, ignore_errors=True)
        remove_empty(draft)


def _last_change(draft: Path) -> float:
    return max(path.lstat().st_mtime for path in (draft, *draft.rglob("*")))
