"""Tar shards: an index of where each member's bytes lie, so that any of them is read without the others.

The path of a member is written `shard.tar::member`; `decode_image` and manifests take it like that of a file.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

from reddino.smears.failures import ImageError
from reddino.smears.slides.files import slide_size
from reddino.smears.slides.names import split_slide
from reddino.smears.stored_pictures import picture_state, picture_states, picture_url, require_picture_url

SEPARATOR = "::"
SHARD_SUFFIX = ".tar"
#: Indexes kept in memory at once; one of ten thousand members takes about 2 MB.
_INDEXES = 32
#: Of one entry: its name, and what else tar keeps about it.
MAX_HEADER_BYTES = 4 << 20
#: Of one file: more is no smear image.
MAX_MEMBER_BYTES = 1 << 30
SHARD_FIRST = (
    "is a tar shard behind a URL, which pretraining and `data pack` read: copy it to a folder, or pack it"
)


@dataclass(frozen=True)
class Shard:
    """The index of a tar file: where its members lie.

    Attributes:
        path: the tar file.
        members: (offset, size) in bytes of each regular file, by name ("./" and the like taken off).
        faults: (member, reason) of what cannot be read; the member is "" where it is the shard itself.
    """

    path: Path
    members: Mapping[str, tuple[int, int]]
    faults: tuple[tuple[str, str], ...]

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open the file for reading many members with `read_from`."""
        with self.path.open("rb") as file:
            yield file

    def read_from(self, file: IO[bytes], member: str) -> bytes:
        """Read the bytes of a member.

        Raises:
            ImageError: the shard has no such member, or ends within it.
        """
        if member not in self.members:
            reasons = dict(self.faults)
            reason = reasons.get(member) or reasons.get("") or "the shard has no such member"
            raise ImageError(member_path(self.path, member), reason)
        offset, size = self.members[member]
        file.seek(offset)
        data = file.read(size)
        if len(data) < size:
            raise ImageError(member_path(self.path, member), "truncated (the shard ends within it)")
        return data


def member_path(shard: Path, member: str) -> str:
    """Return how a member of a shard is named in a manifest."""
    return f"{shard}{SEPARATOR}{member}"


def split_member(path: str | Path) -> tuple[Path, str] | None:
    """Return the shard and the member of a path `shard.tar::member`; None for the path of a file."""
    shard, separator, member = str(path).partition(SHARD_SUFFIX + SEPARATOR)
    return (Path(shard + SHARD_SUFFIX), member) if separator else None


def read_member(shard: Path, member: str) -> bytes:
    """Read the bytes of one member.

    Raises:
        ImageError: the shard cannot be read, has no such member, or ends within it.
    """
    try:
        index = open_shard(shard)
        with index.opened() as file:
            return index.read_from(file, member)
    except OSError as error:
        raise ImageError(member_path(shard, member), f"its shard: {_why(error)}") from error


def file_size(path: Path) -> int:
    """Return the bytes of a file, a member of a shard, or the file of a part; -1 where it does not exist."""
    try:
        url = picture_url(path)
        if url is not None:
            state = picture_state(path, url)
            return -1 if state is None else state.size
        found = split_member(path)
        if found is None:
            part = split_slide(path)
            return path.stat().st_size if part is None else slide_size(part)
        shard, member = found
        return open_shard(shard).members.get(member, (0, -1))[1]
    except (OSError, ImageError):
        return -1


def file_sizes(paths: Sequence[Path]) -> list[int]:
    """Return `file_size` of each path, of objects in a store many in a request."""
    states = picture_states(paths)
    return [
        file_size(path) if picture_url(path) is None else (states[path].size if path in states else -1)
        for path in paths
    ]


def open_shard(path: Path) -> Shard:
    """Index a shard by stepping from header to header, or return the index made before.

    Raises:
        ImageError: the file is missing, empty, compressed, or not a tar file.
    """
    if require_picture_url(path) is not None:
        raise ImageError(path, SHARD_FIRST)
    try:
        status = path.stat()
        return _index(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ImageError(path, _why(error)) from error


@lru_cache(maxsize=_INDEXES)
def _index(path: Path, size: int, modified: int) -> Shard:
    if size == 0:
        raise ImageError(path, "the file is empty")
    members: dict[str, tuple[int, int]] = {}
    faults: list[tuple[str, str]] = []
    try:
        with path.open("rb") as file:
            bounded = BoundedHeaders(file, size)
            with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as tar:
                for entry in entries(tar):
                    bounded.next_entry()
                    _take(entry, size, members, faults)
                if not _ends_properly(path, tar.offset):
                    faults.append(("", f"truncated or damaged after {len(members)} files"))
    except OSError:
        raise
    except Exception as error:  # on damaged headers tarfile raises errors of many kinds
        words = " ".join(str(error).split())[:160] or type(error).__name__
        if not members:
            raise ImageError(
                path,
                f"cannot be read as an uncompressed tar file ({words}); write it again, without compression",
            ) from error
        faults.append(("", f"truncated or damaged after {len(members)} files ({words})"))
    return Shard(path, members, tuple(faults))


def _take(
    entry: tarfile.TarInfo, size: int, members: dict[str, tuple[int, int]], faults: list[tuple[str, str]]
) -> None:
    name = plain_name(entry.name)
    fault = entry_fault(entry, name)
    if fault is None and entry.isreg() and entry.offset_data + entry.size > size:
        fault = "truncated (the shard ends within it)"
    if fault is None and name in members:
        faults.append((name, "stands in the shard twice; the last is read"))
    if fault is not None:
        faults.append((name.encode("utf-8", "backslashreplace").decode(), fault))
    elif entry.isreg():
        members[name] = (entry.offset_data, entry.size)


class BoundedHeaders:
    """A tar file as tarfile may read its headers: within the file, and a few megabytes for each entry.

    Sizes in headers are what someone wrote there: 2 ** 87, negative, or of a header without end.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size, self._left = file, size, MAX_HEADER_BYTES

    def next_entry(self) -> None:
        """Restart the count."""
        self._left = MAX_HEADER_BYTES

    def tell(self) -> int:
        """Return the position, as a file does."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Move as a file does, from its start; raise for positions outside of it."""
        if not 0 <= position <= self._size:
            raise tarfile.ReadError("unexpected end of data")
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        """Read as from a file."""
        self._left -= size
        if size < 0 or self._left < 0:
            raise tarfile.ReadError(f"a header of more than {MAX_HEADER_BYTES >> 20} MB")
        return self._file.read(size)


def entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar file, one after the other.

    Raises:
        tarfile.ReadError: an entry that would lead back to one before it.
    """
    last = -1
    while (entry := tar.next()) is not None:
        if entry.size < 0 or entry.offset <= last:
            raise tarfile.ReadError(f"a header claims a file of {entry.size} bytes")
        last = entry.offset
        yield entry
        # tarfile would keep every header it has seen, a kilobyte each.
        cast(Any, tar).members.clear()


def plain_name(name: str) -> str:
    """Return the name of a member without "./", "//" and a leading slash."""
    return posixpath.normpath(name).lstrip("/")


def entry_fault(entry: tarfile.TarInfo, name: str) -> str | None:
    """Return why an entry that may seem to be a file cannot be read.

    Return None where it can, or is a plain folder.
    """
    reasons = {
        "its name is not valid UTF-8": not _is_utf8(name),
        "its name leads out of the shard ('..')": name == ".." or name.startswith("../"),
        "is a link, which is not followed inside a shard": entry.issym() or entry.islnk(),
        "is stored as a sparse file; pack it again": entry.issparse(),
        "is a folder": entry.isdir() and Path(name).suffix != "",
        "is not a regular file": not (entry.isreg() or entry.isdir()),
        f"is larger than {MAX_MEMBER_BYTES >> 20} MB": entry.isreg() and entry.size > MAX_MEMBER_BYTES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ends_properly(path: Path, offset: int) -> bool:
    """Return whether zeros stand at `offset`: tarfile takes a damaged header for the end as well."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return error.strerror or str(error)
