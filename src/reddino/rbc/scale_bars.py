"""Scale bars that a microscope's program burnt into a picture: where they lie, with their letters."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.illumination import Image

Box = tuple[int, int, int, int]
Flags = npt.NDArray[np.bool_]

#: Fraction of a picture, from its bottom, in which bars are looked for.
LOWEST = 0.25
#: Length of a bar, at least, and its thickness, at most, as fractions of the picture's width and height.
LENGTH, THICKNESS = 0.04, 0.01
#: Levels by which a bar differs from the rows above and below it.
CONTRAST = 40
#: Fraction of its bounding box that a black bar fills, and a coloured one, whose colour JPEG smears: gaps
#: between cells, and edges of them, are ragged.
FULL, NEARLY_FULL = 0.9, 0.6
#: Levels between the channels of a coloured bar, and the brightest channel of a black one.
COLOURED, BLACK = 80, 120
#: Levels by which red and blue of a stain stand above green.
PURPLE = 30
#: Levels by which letters may differ from their bar, and how far off they lie, as a fraction of the height.
ALIKE, REACH = 60, 0.06
#: Fraction of a cell's box that a bar with its letters covers, from which on it is not seen whole.
COVERED = 0.05


def scale_bar(image: Image) -> Box | None:
    """Return the box x, y, w, h of a scale bar with its letters; None where none was found.

    A bar is a straight horizontal line in the lowest quarter, thin and long, black or coloured as no cell is.

    Args:
        image: (H, W, 3) RGB.
    """
    height, width = image.shape[:2]
    top, thick = int((1 - LOWEST) * height), max(3, round(THICKNESS * height))
    part, length = image[top:], max(12, round(LENGTH * width))
    thin = {way: _thin(part, way, thick) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)}
    boxes: list[Box] = []
    for way, mask in thin.items():
        lines = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
        for x, y, w, h, area in cv2.connectedComponentsWithStats(lines, connectivity=8)[2][1:].tolist():
            at_edge = y <= thick or y + h >= len(part) - thick
            if area < NEARLY_FULL * w * h or h > thick + 2 or at_edge:
                continue
            colour = np.median(part[y : y + h, x : x + w][lines[y : y + h, x : x + w] > 0], axis=0)
            black = way == cv2.MORPH_BLACKHAT and colour.max() <= BLACK and area >= FULL * w * h
            if black or (np.ptp(colour) >= COLOURED and not _purple(colour)):
                boxes.append(_with_letters(part, mask, (x, y, w, h), colour))
    if not boxes:
        return None
    x, y = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return x, y + top, right - x, bottom - y


def _purple(colour: npt.NDArray[np.float64]) -> bool:
    """Return whether red and blue both stand well above green, as in what a stain colours."""
    return bool(min(colour[0], colour[2]) - colour[1] > PURPLE)


def covered(box: Box, x: npt.ArrayLike, y: npt.ArrayLike, w: npt.ArrayLike, h: npt.ArrayLike) -> Flags:
    """Return which cells (n,), by their boxes, a scale bar covers."""
    left, top, width, height = (np.asarray(values, dtype=np.float64) for values in (x, y, w, h))
    across = np.minimum(left + width, box[0] + box[2]) - np.maximum(left, box[0])
    down = np.minimum(top + height, box[1] + box[3]) - np.maximum(top, box[1])
    area = np.maximum(across, 0) * np.maximum(down, 0)
    return np.asarray(area >= COVERED * width * height, dtype=np.bool_)


def _thin(part: Image, way: int, thick: int) -> npt.NDArray[np.uint8]:
    """Return the pixels (h, w) of what is thin, and brighter (or darker) than the rows around it."""
    found = cv2.morphologyEx(part, way, np.ones((2 * thick + 1, 1), np.uint8))
    return np.asarray(found.max(axis=2) > CONTRAST, np.uint8)


def _with_letters(part: Image, thin: npt.NDArray[np.uint8], bar: Box, colour: npt.NDArray[np.float64]) -> Box:
    """Return the box of a bar and of what is thin and has its colour above and below it.

    What is coloured as no cell is sought next to it too: cells below a line break it.
    """
    x, y, w, h = bar
    reach, aside = round(REACH * part.shape[0] / LOWEST), w if np.ptp(colour) >= COLOURED else 0
    left, first = max(0, x - aside), max(0, y - reach)
    rows, columns = slice(first, y + h + reach), slice(left, x + w + aside)
    alike = np.abs(part[rows, columns].astype(np.int16) - colour).max(axis=2) < ALIKE
    down, across = np.nonzero(alike & (thin[rows, columns] > 0))
    ends = [min(x, left + int(across.min())), min(y, first + int(down.min()))]
    ends += [max(x + w, left + int(across.max()) + 1), max(y + h, first + int(down.max()) + 1)]
    return ends[0], ends[1], ends[2] - ends[0], ends[3] - ends[1]
