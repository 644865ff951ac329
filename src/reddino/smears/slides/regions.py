"""The regions of a whole slide: squares of one size that overlap, in reading order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from reddino.smears.slides.interface import Rectangle, SlideReader

#: Longest side of the part of a region that is its own, in pixels.
REGION_CORE = 2048
#: What a region shares with its neighbours on each side: more than a cell and its surroundings.
MARGIN_UM, MARGIN_PX = 40.0, 160
#: A scene that is not larger than this, in pixels a side, is one picture.
ONE_PICTURE = 4096


@dataclass(frozen=True)
class SlideRegion:
    """A region of a slide, in pixels of level 0.

    Attributes:
        number: in reading order, from 0.
        core: the part that is the region's own; those of all regions cover the slide without overlap.
        rectangle: the core with its margin, cut at the border of the slide.
    """

    number: int
    core: Rectangle
    rectangle: Rectangle


def slide_regions(
    reader: SlideReader, *, core: int = REGION_CORE, margin: int | None = None
) -> list[SlideRegion]:
    """Return the regions of a slide, row by row from the top left.

    The cores of a row are of one width (to a pixel), and so are those of a column, so that no region is a
    mere sliver.

    Args:
        reader: of the slide.
        core: longest side of a core in pixels of level 0.
        margin: pixels that a region reaches beyond its core on each side; None: `region_margin`.
    """
    margin = region_margin(reader.um_per_px) if margin is None else margin
    columns, rows = (_parts(length, core) for length in reader.size)
    cells = [(x, y, w, h) for y, h in rows for x, w in columns]
    return [
        SlideRegion(number, cell, _widened(cell, margin, reader.size)) for number, cell in enumerate(cells)
    ]


def region_margin(um_per_px: float | None) -> int:
    """Return the pixels that regions share on each side, by the size of a pixel."""
    return MARGIN_PX if um_per_px is None else max(16, ceil(MARGIN_UM / um_per_px))


def is_one_picture(reader: SlideReader) -> bool:
    """Return whether a scene is small enough to be read as one picture."""
    return max(reader.size) <= ONE_PICTURE


def _parts(length: int, most: int) -> list[tuple[int, int]]:
    """Return the start and length of the parts of a side, none longer than `most`."""
    count = max(1, ceil(length / most))
    bounds = [length * place // count for place in range(count + 1)]
    return [(start, stop - start) for start, stop in pairwise(bounds)]


def _widened(cell: Rectangle, margin: int, size: tuple[int, int]) -> Rectangle:
    x, y, w, h = cell
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(size[0], x + w + margin), min(size[1], y + h + margin)
    return left, top, right - left, bottom - top
