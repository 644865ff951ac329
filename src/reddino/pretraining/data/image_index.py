"""The index of decoded images, and the faults that would make crops come from where there is no image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.provenance import hash_bytes
from reddino.smears.hashes import Hashes

#: Pixels along a side, far beyond those of any picture: products of two stay small numbers.
MAX_SIDE = 1 << 24
#: Type and axes of each column of the file.
STORED = {
    "row": ("i", 1),
    "height": ("i", 1),
    "width": ("i", 1),
    "offset": ("i", 1),
    "scale": ("f", 1),
    "cell_diameter": ("f", 1),
    "source": ("i", 1),
    "source_names": ("U", 1),
    "hashes": ("u", 2),
    "cells": ("f", 2),
    "checksums": ("u", 1),
}


@dataclass(frozen=True)
class ImageIndex:
    """What is known of the n decoded images, column by column.

    Columns rather than objects: a million images open fast, and worker processes share them without copying.

    Attributes:
        row: (n,) int64 manifest row of the image; of an image with several rows (cells), its first.
        height, width: (n,) int64 stored size in pixels.
        offset: (n,) int64 first byte in the flat array of pixels.
        scale: (n,) float64 stored over original pixels, at most 1.
        cell_diameter: (n,) float64 in stored pixels, NaN where unknown.
        source: (n,) int64 place of the image's source in `source_names`.
        source_names: (m,) str, sorted.
        hashes: (n, 2) uint64 of `reddino.smears.hashes.image_hash`, to recognise the images.
        cells: (m, 3) float64 of the cells that the manifest marks, sorted by image: the image's number, and
            the centre (x, y) in stored pixels.
        checksums: (n,) uint32 CRC-32 of each image's stored pixels; (0,) where an earlier version wrote none.
        um_per_px: (n,) float64 micrometres of an original pixel; (0,) where nothing is measured in them. It
            follows from the manifest and is no part of the file.
    """

    row: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    offset: NDArray[np.int64]
    scale: NDArray[np.float64]
    cell_diameter: NDArray[np.float64]
    source: NDArray[np.int64]
    source_names: NDArray[np.str_]
    hashes: Hashes
    cells: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    checksums: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    um_per_px: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.row)

    @property
    def total_bytes(self) -> int:
        """Bytes of all pixels."""
        return int((self.height * self.width * 3).sum())

    def fingerprint(self) -> str:
        """Return 16 hex digits over the pixels of all images; "" where there are no checksums."""
        if not len(self.checksums):
            return ""
        return hash_bytes(*(part.tobytes() for part in (self.checksums, self.height, self.width)))

    def source_name(self, number: int) -> str:
        """Return the source of image `number`."""
        return str(self.source_names[self.source[number]])


def index_faults(index: ImageIndex) -> Iterator[str]:
    """Yield faults, of which only the first holds for sure; none in an index that was written whole."""
    for name, (kind, axes) in STORED.items():
        column = getattr(index, name)
        if not isinstance(column, np.ndarray) or column.dtype.kind != kind or column.ndim != axes:
            yield f"{name} is of another type"
        if name not in ("source_names", "cells") and len(column) not in _lengths(name, len(index)):
            yield f"{name} is not one for each image"
    if index.hashes.shape[1] != 2 or index.cells.shape[1] != 3:
        yield "hashes or cells have another number of columns"
    if not len(index):
        yield "it lists no image"
    sides = np.stack([index.height, index.width])
    if sides.min() < 1 or sides.max() > MAX_SIDE:
        yield "an image has no size"
    ends = np.cumsum(index.height * index.width * 3)
    if not np.array_equal(index.offset, np.concatenate([[0], ends[:-1]])) or index.row.min() < 0:
        yield "the images do not lie one after the other"
    if index.source.min() < 0 or index.source.max() >= len(index.source_names):
        yield "an image is of no source"
    if not ((index.scale > 0) & (index.scale <= 1)).all() or np.isinf(index.cell_diameter).any():
        yield "a scale or diameter is not a number"
    yield from _cell_faults(index)


def _lengths(name: str, images: int) -> tuple[int, ...]:
    """Return the numbers of values that a column may have; an earlier version wrote no checksums."""
    return (images, 0) if name == "checksums" else (images,)


def _cell_faults(index: ImageIndex) -> Iterator[str]:
    images, places = index.cells[:, 0], index.cells[:, 1:]
    if not np.isin(images, np.arange(len(index))).all() or (np.diff(images) < 0).any():
        yield "a cell is of no image"
    if not (np.abs(places) <= MAX_SIDE).all():
        yield "a cell has no place"
