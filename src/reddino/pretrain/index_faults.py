"""What in the index of decoded images cannot be: with it, images would be cut where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reddino.pretrain.image_cache import ImageIndex

#: Pixels along a side, far beyond those of any picture: products of two stay small numbers.
MAX_SIDE = 1 << 24
#: Type and axes of each column.
_COLUMNS = {
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


def index_faults(index: ImageIndex) -> Iterator[str]:
    """Faults, of which only the first is to be asked for; none in an index that was written whole."""
    for name, (kind, axes) in _COLUMNS.items():
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
    """Values that a column may have; an earlier version wrote no checksums."""
    return (images, 0) if name == "checksums" else (images,)


def _cell_faults(index: ImageIndex) -> Iterator[str]:
    images, places = index.cells[:, 0], index.cells[:, 1:]
    if not np.isin(images, np.arange(len(index))).all() or (np.diff(images) < 0).any():
        yield "a cell is of no image"
    if not (np.abs(places) <= MAX_SIDE).all():
        yield "a cell has no place"
