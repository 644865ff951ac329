"""Tar shards in the WebDataset layout, read once from end to end: from disk, or over http(s) and s3.

Files of one sample share their name up to the first dot: `a/17.png` with `a/17.json`, an object of manifest
columns, or a list of such objects, a cell each, of which the first gives the image's columns.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from reddino.errors import RedDinoError
from reddino.smears.decode import IMAGE_SUFFIXES
from reddino.smears.failures import Failures
from reddino.smears.manifest_columns import COLUMNS
from reddino.smears.shard_rows import Row, label_rows

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LARGEST = 2**30  # bytes of a member: more is no smear image


@dataclass(frozen=True)
class ShardImage:
    """An image file of a shard.

    Attributes:
        path: `shard.tar::member`.
        data: the bytes of the file.
        row: manifest columns from the JSON beside it; `source` is the shard's folder where it names none.
        centres: (k, 2) x, y in pixels of the cells that the JSON marks.
    """

    path: str
    data: bytes
    row: dict[str, str]
    centres: NDArray[np.float64]


def is_shards(spec: str | Path) -> bool:
    """Whether `spec` names tar shards: a URL, or a file name that ends in .tar."""
    return "://" in str(spec) or str(spec).endswith(".tar")


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
    """The images of one shard in its order, with at most one sample in memory.

    Args:
        shard: a file, or a URL that fsspec opens.
        failures: takes label files that cannot be read, and the shard itself where it cannot be opened or
            breaks off; the images before the break are kept.
    """
    count = 0
    try:
        with _opened(shard) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for image in _samples(shard, tar, failures):
                count += 1
                yield image
    except RedDinoError:
        raise
    except Exception as error:  # networks and object stores raise errors of their own libraries
        words = " ".join(str(error).split())[:160] or type(error).__name__
        failures.add(shard, f"read up to image {count}, then: {words}" if count else f"not read: {words}")


@contextmanager
def _opened(shard: str) -> Iterator[IO[bytes]]:
    if "://" not in shard:
        with Path(shard).open("rb") as file:
            yield file
        return
    try:
        import fsspec
    except ImportError as error:
        raise RedDinoError(f"{shard}: shards behind a URL need pip install 'reddino[cloud]'") from error
    # Over http in one request: the server need not know ranges.
    options: dict[str, Any] = {"block_size": 0} if shard.startswith(("http://", "https://")) else {}
    try:
        opened = fsspec.open(shard, "rb", **options)
    except ImportError as error:
        raise RedDinoError(f"{shard}: {error}; pip install 'reddino[cloud]'") from error
    with opened as file:
        yield file


def _samples(shard: str, tar: tarfile.TarFile, failures: Failures) -> Iterator[ShardImage]:
    """Images with the labels that stand beside them: members of one sample follow each other."""
    key, images, rows = "", list[tuple[str, bytes]](), list[Row]()
    source = posixpath.basename(posixpath.dirname(shard.replace("\\", "/")))
    for member in tar:
        suffix = posixpath.splitext(member.name)[1].lower()
        if not member.isreg() or not (suffix in IMAGE_SUFFIXES or suffix == ".json"):
            continue
        path = f"{shard}::{member.name}"
        if _key(member.name) != key:
            yield from _images(images, rows, source)
            key, images, rows = _key(member.name), [], []
        if member.size > _LARGEST:
            failures.add(path, f"larger than {_LARGEST >> 20} MB")
            continue
        data = _read(tar, member)
        if suffix == ".json":
            rows = _labels(path, data, failures)
        else:
            images.append((path, data))
    yield from _images(images, rows, source)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _images(images: list[tuple[str, bytes]], rows: list[Row], source: str) -> Iterator[ShardImage]:
    first = rows[0] if rows else {}
    row = {"source": source, **{name: str(value) for name, value in first.items() if name in COLUMNS}}
    centres = [_centre(one) for one in rows if "x" in one and "y" in one]
    for path, data in images:
        yield ShardImage(path, data, row, np.array(centres, np.float64).reshape(-1, 2))


def _centre(row: Row) -> tuple[float, float]:
    """Middle of the box of a cell, or its point."""
    x, y, w, h = (float(row.get(name, 0.0)) for name in "xywh")
    return x + w / 2, y + h / 2


def _key(member: str) -> str:
    folder, name = posixpath.split(member)
    return posixpath.join(folder, name.partition(".")[0])


def _labels(path: str, data: bytes, failures: Failures) -> list[Row]:
    try:
        return label_rows(data.decode("utf-8-sig"))
    except (ValueError, RecursionError, RedDinoError) as error:
        failures.add(path, f"labels not read: {str(error).rstrip('.')}")
        return []
