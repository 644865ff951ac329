"""Place squares in images of known size: geometry alone, for any number of images at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reddino.smears.column_names import AT_BORDER
from reddino.views.spec import ViewSpec

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: A square: number of its image, row of the manifest, centre and side in pixels; diameter in pixels of the
#: disc that hides its centre (NaN: no disc); of a cell found by segmentation, its box (top-left corner and
#: size) in pixels (NaN for all others); red-cell diameter in pixels by which it is cut (NaN: not known); and
#: whether the border of the image cuts its cell (1 or 0; NaN: not known).
SQUARE = np.dtype(
    [("image", "i8"), ("row", "i8")]
    + [
        (name, "f8")
        for name in ("cx", "cy", "side", "mask", "x", "y", "w", "h", "cell_diameter", "at_border")
    ]
)
FOUND_COLUMNS = ("x", "y", "w", "h", "cell_diameter")
#: (n,) of dtype `SQUARE`.
Squares = NDArray[np.void]

_SLACK = (
    1e-6  # pixels; a square of 64 px in an image of 64 px is inside whatever rounding did to its diameter
)


def new_squares(image: int | Integers, rows: Integers, centres: Floats, side: Floats) -> Squares:
    """Return squares (n,) that have neither a disc nor the box of a found cell.

    Args:
        image: number of the image, one for all or one per square.
        rows: (n,) rows of the manifest.
        centres: (n, 2) in pixels.
        side: (n,) in pixels.
    """
    squares = np.zeros(len(rows), dtype=SQUARE)
    squares["image"], squares["row"], squares["side"] = image, rows, side
    squares["cx"], squares["cy"] = centres[:, 0], centres[:, 1]
    for name in ("mask", *FOUND_COLUMNS, AT_BORDER):
        squares[name] = np.nan
    return squares


def inside(squares: Squares, size: Floats) -> NDArray[np.bool_]:
    """Return which squares (n,) lie within their images, whose width and height (n, 2) or (2,) is `size`."""
    centres = np.stack([squares["cx"], squares["cy"]], axis=1)
    half = squares["side"][:, None] / 2
    return np.asarray(((centres - half >= -_SLACK) & (centres + half <= size + _SLACK)).all(axis=1))


def place(
    rows: Integers, size: Floats, side: Floats, spec: ViewSpec
) -> tuple[Integers, Floats, Floats, Integers]:
    """Place the squares of images that are not cut around their cells.

    Args:
        rows: (m,) row of the manifest that stands for each image; random squares follow from it.
        size: (m, 2) width and height in pixels.
        side: (m,) of the squares, in pixels (not for whole images).
        spec: of kind `image`, `patches` or `random`.

    Returns:
        For each of n squares its row (n,), centre (n, 2) and side (n,) in pixels; and (m,) squares of each
        image that were left out, since they leave it.
    """
    dropped = np.zeros(len(rows), dtype=np.int64)
    if spec.kind == "image":
        whole = size.max(axis=1) if spec.border == "pad" else size.min(axis=1)
        return rows, size / 2, whole, dropped
    fits = np.ones(len(rows), dtype=np.bool_)
    if spec.border == "drop":
        fits = side <= size.min(axis=1) + _SLACK
        dropped[~fits] = 1 if spec.kind == "patches" else spec.per_image
    lay = _grid if spec.kind == "patches" else _random
    image, centre = lay(rows[fits], size[fits], side[fits], spec)
    chosen = np.flatnonzero(fits)[image]
    return rows[chosen], centre, side[chosen], dropped


def _grid(rows: Integers, size: Floats, side: Floats, spec: ViewSpec) -> tuple[Integers, Floats]:
    """Lay whole squares side by side, at least one per image; both edges lose the same.

    Returns:
        The index of the image (n,) in which each square lies, and its centre (n, 2).
    """
    image_parts, centre_parts = [np.empty(0, np.int64)], [np.empty((0, 2))]
    counts = np.maximum(np.floor((size + _SLACK) / side[:, None]), 1).astype(np.int64)
    for image, ((columns, lines), (width, height), length) in enumerate(zip(counts, size, side, strict=True)):
        # Whole pixels where the side is whole, so that patches are copied and not interpolated.
        left, top = (width - columns * length) / 2, (height - lines * length) / 2
        if float(length).is_integer():
            left, top = np.floor(left), np.floor(top)
        y, x = np.mgrid[0:lines, 0:columns]
        centre = np.stack([left + (x.ravel() + 0.5) * length, top + (y.ravel() + 0.5) * length], axis=1)
        image_parts.append(np.full(len(centre), image))
        centre_parts.append(centre)
    return np.concatenate(image_parts), np.concatenate(centre_parts)


def _random(rows: Integers, size: Floats, side: Floats, spec: ViewSpec) -> tuple[Integers, Floats]:
    """Place `per_image` squares within each image; a square larger than its image sits in the middle.

    Returns:
        The index of the image (n,) in which each square lies, and its centre (n, 2).
    """
    row = np.repeat(rows, spec.per_image)
    index = np.tile(np.arange(spec.per_image), len(rows))
    where = np.stack([_uniform(spec.seed, row, index, axis) for axis in (0, 1)], axis=1)
    free = np.repeat(size - side[:, None], spec.per_image, axis=0)
    half = np.repeat(side, spec.per_image)[:, None] / 2
    # Whole-pixel corners: a square of the network's own size is then copied and not interpolated.
    corner = np.where(free > 0, np.floor(where * (np.floor(np.maximum(free, 0)) + 1)), free / 2)
    return np.repeat(np.arange(len(rows)), spec.per_image), corner + half


def _uniform(seed: int, row: Integers, index: Integers, axis: int) -> Floats:
    """Return numbers (n,) in [0, 1) from seed, row, index and axis alone: splitmix64 chained over them."""
    state = np.full(len(row), seed % 2**64, dtype=np.uint64)
    for part in (row, index, np.full(len(row), axis)):
        state = _splitmix(state ^ part.astype(np.uint64))
    return np.asarray((_splitmix(state) >> np.uint64(11)) * 2.0**-53)


def _splitmix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one step of splitmix64 (Steele, Lea, Flood 2014): a bijection that mixes all bits."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
