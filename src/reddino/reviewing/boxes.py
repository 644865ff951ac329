"""The boxes of labelled cells in their pictures, for programs that read boxes alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import image_size
from reddino.smears.manifest import Manifest


def picture_sizes(manifest: Manifest) -> list[tuple[int, int]]:
    """Return width and height in pixels of each image of `manifest.images()`, from their headers.

    Raises:
        ImageError: an image is missing or cannot be read.
    """
    return [image_size(manifest.root / name) for name in manifest.images()[0]]


def boxes_of(manifest: Manifest, sizes: list[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """Return boxes (n, 4) as left, top, width and height in pixels: the cell's own, or the whole image.

    A cell that is a centre alone gets a square of its diameter.

    Raises:
        RedDinoError: a cell has neither a box nor a diameter.
    """
    _, codes = manifest.images()
    width, height = manifest.numbers("w"), manifest.numbers("h")
    diameter = manifest.numbers("cell_diameter")
    centre = manifest.centres()
    is_cell = manifest.is_cell()
    boxed = ~np.isnan(width)
    if (bare := is_cell & ~boxed & np.isnan(diameter)).any():
        raise RedDinoError(
            f"{manifest.place(int(np.flatnonzero(bare)[0]))}: the cell is a point without box or diameter; "
            "write the labels as .csv, or give cell_diameter"
        )
    side = np.stack([np.where(boxed, width, diameter), np.where(boxed, height, diameter)], axis=1)
    found = np.concatenate([centre - side / 2, side], axis=1)
    whole = np.array(sizes, dtype=np.float64)[codes]
    return np.where(is_cell[:, None], found, np.concatenate([np.zeros_like(whole), whole], axis=1))
