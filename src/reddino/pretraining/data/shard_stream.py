"""Tar shards in the WebDataset layout, each image once.

From disk they are read by their index; over http(s) and s3 in one pass from end to end, in which the files of
one sample must follow each other.

Next to `a/17.png` stands `a/17.json`, an object of manifest columns, or a list of such objects, a cell each,
of which the first gives the image's columns.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest_columns import COLUMNS, READING_COLUMNS
from reddino.smears.shard_pairs import is_image, is_used, pair, sample_key
from reddino.smears.shard_rows import MAX_SIDECAR_BYTES, Row, labelled_images, rows_of
from reddino.smears.shards import entries, entry_fault, open_shard, plain_name

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
#: Of the members of one sample, images and label files: more have one name by chance.
_SAMPLE_BYTES, _SAMPLE_FILES = 2**30, 64

#: Empty reads at the end of a stream before it counts as broken off.
_PATIENCE = 8


@dataclass(frozen=True)
class ShardImage:
    """An image file of a shard.

    Attributes:
        path: `shard.tar::member`.
        data: the bytes of the file.
        row: manifest columns from the JSON next to it; `source` is the shard's folder where it names none.
        centres: (k, 2) x, y in pixels of the cells that the JSON marks.
    """

    path: str
    data: bytes
    row: dict[str, str]
    centres: NDArray[np.float64]


def is_shards(spec: str | Path) -> bool:
    """Whether `spec` names tar shards: by a URL with .tar in it, or a file name that ends so."""
    return ("://" in str(spec) and ".tar" in str(spec)) or str(spec).endswith(".tar")


def expand_shards(spec: str) -> list[str]:
    """`a-{000..002}.tar` to a-000.tar, a-001.tar and a-002.tar; other names to themselves."""
    found = _RANGE.search(spec)
    if found is None:
        return [spec]
    first, last = found.groups()
    numbers = range(int(first), int(last) + 1)
    if not numbers:
        raise RedDinoError(f"{spec}: the range {found.group()} is empty; write the smaller number first")
    names = (f"{spec[: found.start()]}{number:0{len(first)}d}{spec[found.end() :]}" for number in numbers)
    return [shard for name in names for shard in expand_shards(name)]


def stream_shard(shard: str, failures: Failures) -> Iterator[ShardImage]:
    """Yield the images of one shard in its order, with at most one sample in memory.

    Args:
        shard: a file, or a URL that fsspec opens.
        failures: takes members and label files that cannot be used, and the shard itself where it cannot be
            opened or breaks off; the images before the break are kept.
    """
    if "://" not in shard:
        yield from _indexed(shard, failures)
        return
    count = 0
    try:
        with _opened(shard) as file:
            ending = _Ending(file)
            with tarfile.open(fileobj=cast(IO[bytes], ending), mode="r|") as tar:
                for image in _samples(shard, tar, failures):
                    count += 1
                    yield image
                if not ending.has_zeros(tar.offset):
                    raise tarfile.ReadError("the shard is truncated or damaged")
    except RedDinoError:
        raise
    except Exception as error:  # networks and object stores raise errors of their own libraries
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        failures.add(shard, f"read up to image {count}, then: {reason}" if count else f"not read: {reason}")


def _indexed(shard: str, failures: Failures) -> Iterator[ShardImage]:
    """Yield the images of a file: its index leads to the labels, wherever they stand."""
    source = posixpath.basename(posixpath.dirname(shard.replace("\\", "/")))
    try:
        index = open_shard(Path(shard))
        with index.opened() as file:
            for member, rows in labelled_images(index, failures):
                yield _image(f"{shard}::{member}", index.read_from(file, member), rows, source)
    except ImageError as error:
        failures.add(error.path, error.reason)
    except OSError as error:
        failures.add(shard, f"not read: {error.strerror or error}")


class _Ending:
    """A stream that breaks off where it ends: a header may claim more bytes than there will ever be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._empty, self._end = file, 0, 0
        self._last: deque[bytes] = deque(maxlen=_PATIENCE)

    def read(self, size: int) -> bytes:
        """Read as from a file; at its end only a few times."""
        data = self._file.read(size)
        self._empty = 0 if data else self._empty + 1
        if self._empty > _PATIENCE:
            raise tarfile.ReadError("the shard ends within a file")
        if data:
            self._last.append(data)
            self._end += len(data)
        return data

    def has_zeros(self, offset: int) -> bool:
        """Whether a block of zeros stands at `offset`, among what was read last."""
        tail = b"".join(self._last)
        start = offset - (self._end - len(tail))
        return start >= 0 and tail[start : start + tarfile.BLOCKSIZE] == bytes(tarfile.BLOCKSIZE)


@contextmanager
def _opened(shard: str) -> Iterator[IO[bytes]]:
    try:
        import fsspec
    except ImportError as error:
        raise RedDinoError(f"{shard}: shards behind a URL need pip install 'reddino[stores]'") from error
    # Over http in one request: the server need not support ranges.
    options: dict[str, Any] = {"block_size": 0} if shard.startswith(("http://", "https://")) else {}
    try:
        opened = fsspec.open(shard, "rb", **options)
    except ImportError as error:
        raise RedDinoError(f"{shard}: {error}; pip install 'reddino[stores]'") from error
    with opened as file:
        yield file


def _samples(shard: str, tar: tarfile.TarFile, failures: Failures) -> Iterator[ShardImage]:
    """Yield images with the labels that stand next to them: members of one sample follow each other."""
    sample: dict[str, bytes] = {}
    try:
        for name, member in _used_members(shard, tar, failures):
            if sample and not _is_of(sample, name, member.size):
                yield from _images(shard, sample, failures)
                sample.clear()
            if name in sample:
                failures.add(f"{shard}::{name}", "stands in the shard twice; the last is read")
            sample[name] = _read(tar, member)
    except Exception:  # what came before the break is kept
        yield from _images(shard, sample, failures)
        raise
    yield from _images(shard, sample, failures)


def _used_members(
    shard: str, tar: tarfile.TarFile, failures: Failures
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield images and label files that can be read."""
    for member in entries(tar):
        name = plain_name(member.name)
        fault = entry_fault(member, name)
        if fault is None and not is_image(name) and member.size > MAX_SIDECAR_BYTES:
            fault = "labels not read: it is too large for a label file"
        if fault is not None and is_used(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            failures.add(f"{shard}::{shown}", fault)
        elif fault is None and member.isreg() and is_used(name):
            yield name, member


def _is_of(sample: dict[str, bytes], name: str, size: int) -> bool:
    same = sample_key(next(iter(sample))) == sample_key(name)
    return same and len(sample) < _SAMPLE_FILES and sum(map(len, sample.values())) + size <= _SAMPLE_BYTES


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) < member.size:
        raise tarfile.ReadError("the shard ends within a file")
    return data


def _images(shard: str, sample: dict[str, bytes], failures: Failures) -> Iterator[ShardImage]:
    def report(member: str, reason: str) -> None:
        failures.add(f"{shard}::{member}", reason)

    source = posixpath.basename(posixpath.dirname(shard.replace("\\", "/")))
    pairs = pair(sample)
    for member, reason in pairs.faults:
        report(member, reason)
    for member, sidecars in pairs.labels.items():
        rows = rows_of([(name, sample[name]) for name in sidecars], report)
        yield _image(f"{shard}::{member}", sample[member], rows, source)


def _image(path: str, data: bytes, rows: list[Row], source: str) -> ShardImage:
    known = (*COLUMNS, *READING_COLUMNS, UM_PER_PX)
    row = {"source": source, **{name: str(value) for name, value in rows[0].items() if name in known}}
    centres = [_centre(one) for one in rows if "x" in one and "y" in one]
    return ShardImage(path, data, row, np.array(centres, np.float64).reshape(-1, 2))


def _centre(row: Row) -> tuple[float, float]:
    """Middle of the box of a cell, or its point."""
    x, y, w, h = (float(row.get(name, 0.0)) for name in "xywh")
    return x + w / 2, y + h / 2
