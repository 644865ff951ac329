"""Images of any kind and size as the squares that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.views.cutting import cut_square

Picture = str | Path | Image.Image | NDArray[np.uint8]


def as_squares(images: Sequence[Picture] | NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bring images to (n, size, size, 3) uint8 RGB.

    Each image is seen whole: mirrored past its border to a square, as `reddino embed --view image` does, and
    resized bicubically without aliasing. What has the size already is copied.

    Args:
        images: paths, PIL images, or uint8 arrays (h, w, 3) in RGB or (h, w) in grey; also one array
            (n, h, w, 3).
        size: side of the squares in pixels.

    Raises:
        RedDinoError: names the first image that is of another kind, or cannot be read.
    """
    squares = np.empty((len(images), size, size, 3), np.uint8)
    for number, picture in enumerate(images):
        pixels = _pixels(picture, number)
        height, width = pixels.shape[:2]
        squares[number] = cut_square(pixels, width / 2, height / 2, max(width, height), size)
    return squares


def _pixels(picture: Picture, number: int) -> NDArray[np.uint8]:
    if isinstance(picture, str | Path):
        return decode_image(Path(picture))
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"), np.uint8)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or 0 in array.shape:
        raise RedDinoError(_expected(number, f"an array {array.shape} of {array.dtype}"))
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise RedDinoError(_expected(number, f"an array {array.shape}"))
    return array


def _expected(number: int, found: str) -> str:
    return (
        f"image {number} is {found}; give paths, PIL images or uint8 arrays (height, width, 3) in RGB, "
        "or all of them as one array (n, height, width, 3)"
    )
