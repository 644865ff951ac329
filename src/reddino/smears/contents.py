"""Whether a picture is still what it was: size and dates of its file where they agree, else its bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.smears.failures import ImageError
from reddino.smears.picture_files import file_of
from reddino.smears.shards import file_size, read_member, split_member
from reddino.smears.slides.names import split_slide
from reddino.smears.stored_pictures import fetch_picture, picture_state, picture_states, picture_url


@dataclass(frozen=True)
class FileState:
    """The file system's record of a picture's file, or of the shard that holds it.

    Attributes:
        size: bytes of the picture.
        modified, changed: nanoseconds; the second follows every change, also where a program set the first
            back. Copies have others.
    """

    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class Content:
    """A picture's file as it was when it was read: its state, and 16 hex digits over its bytes."""

    state: FileState
    digest: str


def file_state(path: Path) -> FileState | None:
    """Return the size and dates of a file, a member of a shard, or an object; None where nothing can be read.

    Of an object in a store, `changed` is a number made of its ETag.
    """
    url = picture_url(path)
    if url is not None:
        stored = picture_state(path, url)
        return None if stored is None else FileState(stored.size, stored.modified, stored.tag)
    file = file_of(path)
    try:
        found = os.stat(file)  # noqa: PTH116 - a third of Path.stat()
    except (OSError, ValueError):
        return None
    folder = stat.S_ISDIR(found.st_mode) and split_slide(path) is not None
    if not stat.S_ISREG(found.st_mode) and not folder:
        return None
    size = found.st_size if file == path else file_size(path)
    return None if size < 0 else FileState(size, found.st_mtime_ns, found.st_ctime_ns)


def read_content(path: Path) -> Content | None:
    """Return the state and digest of a file or a member of a shard; None where it cannot be read."""
    state = file_state(path)
    if state is None:
        return None
    url = picture_url(path)
    if url is not None:
        return _object_content(path, url)
    member = split_member(path)
    try:
        if member is not None:
            return Content(state, hash_bytes(read_member(*member)))
        if split_slide(path) is not None:
            return Content(state, _slide_digest(file_of(path), state))
        with path.open("rb") as file:
            return Content(state, hashlib.file_digest(file, "sha256").hexdigest()[:16])
    except (OSError, ImageError):
        return None


def _object_content(path: Path, url: str) -> Content | None:
    try:
        found = fetch_picture(path, url)
    except ImageError:
        return None
    state = FileState(found.state.size, found.state.modified, found.state.tag)
    return Content(state, hash_bytes(found.data))


def file_states(paths: Iterable[Path]) -> dict[Path, FileState]:
    """Return the states of those pictures that are in stores, many in a request."""
    found = picture_states(paths)
    return {path: FileState(state.size, state.modified, state.tag) for path, state in found.items()}


@lru_cache(maxsize=256)
def _slide_digest(file: Path, state: FileState) -> str:
    """Return a digest of a microscope file, which is that of all of its regions; of a folder, of its names.

    `state` is its state now: another one is another file.
    """
    if file.is_dir():
        names = sorted(f"{one.relative_to(file)}\0{one.stat().st_size}" for one in file.rglob("*"))
        return hash_bytes("\n".join(names).encode("utf-8", "surrogateescape"))
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def is_unchanged(path: Path, before: Content) -> bool:
    """Return whether a picture is what it was; its bytes are read only where size or dates are others."""
    state = file_state(path)
    if state == before.state and (state.modified or state.changed):
        return True
    if state is None or state.size != before.state.size:
        return False
    now = read_content(path)
    return now is not None and now.digest == before.digest


def require_unchanged(path: Path, before: Content | None) -> None:
    """Refuse a picture that was replaced while it was read.

    Raises:
        RedDinoError: names it.
    """
    if before is not None and not is_unchanged(path, before):
        raise RedDinoError(f"{path} was changed while it was read; run the same command again")


def column_digests(table: pa.Table) -> dict[str, str]:
    """Return 16 hex digits over the values of each column of a manifest, by name, for CSV as for Parquet."""
    return {name: _column_digest(table.column(name)) for name in sorted(table.column_names)}


def _column_digest(column: Any) -> str:
    if pa.types.is_floating(column.type):
        # Adding zero turns -0.0 into 0.0; missing values become NaN, of which there is one.
        return hash_bytes((column.to_numpy() + 0.0).tobytes())
    values = column.to_pylist()
    if not pa.types.is_string(column.type):
        return hash_bytes(repr(values).encode("utf-8", "surrogatepass"))
    texts = [value or "" for value in values]
    lengths = ",".join(str(len(text)) for text in texts)
    return hash_bytes(lengths.encode(), b"\0", "".join(texts).encode())


def what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return a sentence on which columns of a manifest differ from what they were; "" where none does."""
    changed = [name for name in before if name in now and before[name] != now[name]]
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    several = (("which changed", changed), ("which is gone", gone), ("which is new", new))
    return ", ".join(f"column '{name}' of the manifest, {how}" for how, names in several for name in names)
