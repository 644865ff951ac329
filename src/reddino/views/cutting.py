"""Cut squares out of images, exactly to fractions of a pixel and without aliasing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reddino.smears.failures import ImageError
from reddino.views.placing import Squares

Pixels = NDArray[np.uint8]


def cut_square(image: Pixels, cx: float, cy: float, side: float, output: int) -> Pixels:
    """Cut a square and bring it to `output` pixels a side.

    The centre and the side are taken exactly, to fractions of a pixel. Interpolation is bicubic, widened when
    the square shrinks so that nothing aliases; a square that is already of the right size and lies on whole
    pixels is copied. Past its border the image is mirrored (without repeating the border pixel).

    Args:
        image: (H, W, 3) uint8.
        cx: centre in pixels from the left edge.
        cy: centre in pixels from the top edge.
        side: of the square, in pixels of the image.
        output: side of the result.

    Returns:
        (output, output, 3) uint8.
    """
    left, top = cx - side / 2, cy - side / 2
    if side == output and left.is_integer() and top.is_integer():
        return np.ascontiguousarray(_window(image, int(left), int(top), output, output))
    # What the bicubic kernel reaches beyond the square: two pixels of the coarser of the two scales.
    margin = int(np.ceil(2 * max(1.0, side / output))) + 1
    x0, y0 = int(np.floor(left)) - margin, int(np.floor(top)) - margin
    width = int(np.ceil(left + side)) + margin - x0
    height = int(np.ceil(top + side)) + margin - y0
    window = Image.fromarray(np.ascontiguousarray(_window(image, x0, y0, width, height)))
    box = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    # Large reductions first average whole pixels, down to 1.4 times the output: half the time, no visible
    # aliasing.
    return np.array(window.resize((output, output), Image.Resampling.BICUBIC, box=box, reducing_gap=1.4))


def fill_centre(square: Pixels, diameter: float, colour: NDArray[np.float64]) -> None:
    """Fill a disc around the centre of a square (s, s, 3) in place; its rim is mixed over one pixel.

    Args:
        square: pixels that were cut.
        diameter: of the disc, in pixels of the square.
        colour: (3,) of the disc, 0..255.
    """
    offset = np.arange(len(square)) + 0.5 - len(square) / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    covered = np.clip(diameter / 2 - distance + 0.5, 0.0, 1.0)[..., None]
    square[:] = np.rint(covered * colour + (1.0 - covered) * square)


def mean_colour(image: Pixels) -> NDArray[np.float64]:
    """Return the mean colour (3,) of an image, from every fourth pixel of every fourth row."""
    return np.asarray(image[::4, ::4].mean(axis=(0, 1), dtype=np.float64))


def cut_squares(image: Pixels, squares: Squares, output: int) -> Pixels:
    """Cut the squares (n,) of one image and fill the discs that hide their centres; see `cut_square`.

    Returns:
        (n, output, output, 3) uint8.
    """
    cut = np.empty((len(squares), output, output, 3), dtype=np.uint8)
    places = (squares[name].tolist() for name in ("cx", "cy", "side"))
    for pixels, x, y, side in zip(cut, *places, strict=True):
        pixels[:] = cut_square(image, x, y, side, output)
    if len(squares) and not np.isnan(squares["mask"]).any():
        colour = mean_colour(image)
        for pixels, fraction in zip(cut, (squares["mask"] / squares["side"]).tolist(), strict=True):
            fill_centre(pixels, fraction * output, colour)
    return cut


def require_inside(path: Path, image: Pixels, squares: Squares) -> None:
    """Refuse an image in which a cell's centre lies outside: the coordinates are those of another image.

    Raises:
        ImageError: the message names the first such cell.
    """
    height, width = image.shape[:2]
    cx, cy = squares["cx"], squares["cy"]
    outside = (cx < 0) | (cy < 0) | (cx > width) | (cy > height)
    if outside.any():
        worst = int(np.argmax(outside))
        raise ImageError(
            path, f"a cell at ({cx[worst]:g}, {cy[worst]:g}) lies outside the image of {width} x {height}"
        )


#: Longest side of a view: times the longest side of its picture, or pixels with twice the picture.
_TIMES, _PIXELS = 16, 8192


def require_sides(path: Path, image: Pixels, side: NDArray[np.float64]) -> None:
    """Refuse views so large that they would show only mirror images of their image.

    Raises:
        ImageError: the message names the largest side.
    """
    height, width = image.shape[:2]
    longest, largest = max(height, width), float(side.max(initial=0.0))
    if largest > _TIMES * longest or largest > max(2 * longest, _PIXELS):
        raise ImageError(
            path,
            f"a view of {largest:g} pixels is too large for an image of {width} x {height}; check that its "
            "cell_diameter is in pixels",
        )


def _window(image: Pixels, x0: int, y0: int, width: int, height: int) -> Pixels:
    """Return the window at whole pixels, mirrored past the border of the image."""
    rows, columns = image.shape[:2]
    x1, y1 = x0 + width, y0 + height
    if x0 >= 0 and y0 >= 0 and x1 <= columns and y1 <= rows:
        return image[y0:y1, x0:x1]
    left, right = _mirror_source(x0, x1, columns)
    top, bottom = _mirror_source(y0, y1, rows)
    mirrored: Pixels = cv2.copyMakeBorder(
        image[top:bottom, left:right],
        max(-y0, 0),
        max(y1 - rows, 0),
        max(-x0, 0),
        max(x1 - columns, 0),
        cv2.BORDER_REFLECT_101,
    )
    skip_x, skip_y = max(x0, 0) - left, max(y0, 0) - top
    return mirrored[skip_y : skip_y + height, skip_x : skip_x + width]


def _mirror_source(start: int, stop: int, length: int) -> tuple[int, int]:
    """Return the stretch of [0, length) that holds [start, stop) and what is mirrored into it."""
    low, high = max(start, 0), min(stop, length)
    if start < 0:
        high = min(length, max(high, 1 - start))
    if stop > length:
        low = max(0, min(low, 2 * length - 1 - stop))
    return low, high
