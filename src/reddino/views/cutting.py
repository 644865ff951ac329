"""Cutting squares out of images, exactly to fractions of a pixel and without aliasing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reddino.smears.decode import Failures, ImageError, decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

if TYPE_CHECKING:
    from reddino.views.spec import Views

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
    """Fill a disc round the centre of a square (s, s, 3) in place; its rim is mixed over one pixel.

    Args:
        square: what was cut.
        diameter: of the disc, in pixels of the square.
        colour: (3,) of the disc, 0..255.
    """
    offset = np.arange(len(square)) + 0.5 - len(square) / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    share = np.clip(diameter / 2 - distance + 0.5, 0.0, 1.0)[..., None]
    square[:] = np.rint(share * colour + (1.0 - share) * square)


def mean_colour(image: Pixels) -> NDArray[np.float64]:
    """The mean colour (3,) of an image, from every fourth pixel of every fourth row."""
    return np.asarray(image[::4, ::4].mean(axis=(0, 1), dtype=np.float64))


def cut_squares(
    image: Pixels,
    cx: NDArray[np.float64],
    cy: NDArray[np.float64],
    side: NDArray[np.float64],
    output: int,
    *,
    mask: NDArray[np.float64] | None = None,
) -> Pixels:
    """Squares (n, output, output, 3) of one image with centres and sides (n,) in pixels; see `cut_square`.

    With `mask`, a disc of so many pixels of the image (n,) is filled round each centre.
    """
    squares = np.empty((len(cx), output, output, 3), dtype=np.uint8)
    for square, x, y, length in zip(squares, cx.tolist(), cy.tolist(), side.tolist(), strict=True):
        square[:] = cut_square(image, x, y, length, output)
    if mask is not None and len(mask):
        colour = mean_colour(image)
        for square, share in zip(squares, (mask / side).tolist(), strict=True):
            fill_centre(square, share * output, colour)
    return squares


def require_inside(path: Path, image: Pixels, cx: NDArray[np.float64], cy: NDArray[np.float64]) -> None:
    """Refuse an image in which a cell's centre lies outside: the coordinates are those of another image.

    Raises:
        ImageError: names the first such cell.
    """
    height, width = image.shape[:2]
    outside = (cx < 0) | (cy < 0) | (cx > width) | (cy > height)
    if outside.any():
        worst = int(np.argmax(outside))
        raise ImageError(
            path, f"a cell at ({cx[worst]:g}, {cy[worst]:g}) lies outside the image of {width} x {height}"
        )


#: Longest side of a view: times the longest side of its picture, or pixels with twice the picture.
_TIMES, _PIXELS = 16, 8192


def require_sides(path: Path, image: Pixels, side: NDArray[np.float64]) -> None:
    """Refuse an image of which views so large are asked that they show nothing but its mirror images.

    Raises:
        ImageError: names the largest side.
    """
    height, width = image.shape[:2]
    longest, largest = max(height, width), float(side.max(initial=0.0))
    if largest > _TIMES * longest or largest > max(2 * longest, _PIXELS):
        raise ImageError(
            path,
            f"a view of {largest:g} pixels is asked of an image of {width} x {height}: is its cell_diameter "
            "in pixels?",
        )


def _window(image: Pixels, x0: int, y0: int, width: int, height: int) -> Pixels:
    """The window at whole pixels, mirrored past the border of the image."""
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
    """The stretch of [0, length) that holds [start, stop) and what is mirrored into it."""
    low, high = max(start, 0), min(stop, length)
    if start < 0:
        high = min(length, max(high, 1 - start))
    if stop > length:
        low = max(0, min(low, 2 * length - 1 - stop))
    return low, high


class ImageViews:
    """The pixels of planned views, image by image, each image decoded once.

    As a sequence it is made of images: `len(views)` of them, `views[i]` cuts all squares of image i and
    raises `ImageError` where it cannot be decoded or a cell's centre lies outside of it (this form is for
    worker processes). Iterating goes through all images, sends those that fail to `failures` and goes on.

    Args:
        manifest: that the views were planned on.
        views: from `plan_views`.
        failures: collects what cannot be decoded while iterating.
        at_most: longest stack of squares that iterating yields, which bounds the memory of huge fields.
        see: called with the number and the pixels of each image that iterating opens.
    """

    def __init__(
        self,
        manifest: Manifest,
        views: Views,
        failures: Failures | None = None,
        *,
        at_most: int = 256,
        see: Callable[[int, Pixels], None] | None = None,
    ) -> None:
        self.views = views
        self.failures = Failures() if failures is None else failures
        self._at_most = at_most
        images, codes = manifest.images()
        self._root = manifest.root
        order = np.argsort(codes[views.row], kind="stable")
        used, starts = np.unique(codes[views.row][order], return_index=True)
        self._numbers, self._see = used.tolist(), see
        self._groups = np.split(order, starts[1:]) if len(used) else []
        self.paths = [manifest.root / images[code] for code in used.tolist()]
        readings = Readings(manifest.table)
        self._readings = [readings.of(images[code]) for code in used.tolist()]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int64], Pixels]:
        """All squares of one image: (k,) numbers of the views and (k, output, output, 3) uint8 RGB."""
        image, views = self._open(index)
        return views, self._cut(image, views)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        for index in range(len(self)):
            try:
                image, views = self._open(index)
            except ImageError as error:
                self.failures.add(error.path, error.reason)
                continue
            if self._see:
                self._see(self._numbers[index], image)
            for start in range(0, len(views), self._at_most):
                chunk = views[start : start + self._at_most]
                yield chunk, self._cut(image, chunk)

    def _open(self, index: int) -> tuple[Pixels, NDArray[np.int64]]:
        image = decode_image(self.paths[index], **self._readings[index])
        views = self._groups[index]
        require_inside(self.paths[index], image, self.views.cx[views], self.views.cy[views])
        require_sides(self.paths[index], image, self.views.side[views])
        return image, views

    def _cut(self, image: Pixels, views: NDArray[np.int64]) -> Pixels:
        plan = self.views
        mask = None if plan.mask is None else plan.mask[views]
        return cut_squares(image, plan.cx[views], plan.cy[views], plan.side[views], plan.output, mask=mask)
