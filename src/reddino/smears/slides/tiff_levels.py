"""The levels of a pyramidal TIFF, generic or OME: which pages they are, and the size of their pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import IO

from reddino.smears.failures import ImageError
from reddino.smears.formats.tiff_layout import TiffLayout, read_layout
from reddino.smears.formats.tiff_ome import is_ome
from reddino.smears.formats.tiff_planes import Planes, find_planes, is_aside
from reddino.smears.formats.tiff_structure import Page, TiffReader
from reddino.smears.slides.interface import pixel_size

_PIXELS = re.compile(r"<(?:\w{1,20}:)?Pixels\b[^>]{0,4000}>")
_NEWLINE = re.compile(r"\s+")
_UNITS = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6}
_INCH, _CENTIMETRE = 25_400.0, 10_000.0
#: Micrometres of a pixel by tags; beyond them it is of a screen, of paper or of a film scanner.
_LEAST_UM, _MOST_UM = 0.01, 5.0


@dataclass(frozen=True)
class TiffLevels:
    """The pages of a pyramid.

    Attributes:
        planes: of the largest level.
        pages: by level and focus plane; a page, or three of red, green and blue.
        layouts: of each level.
        um_per_px: of level 0.
    """

    planes: Planes
    pages: tuple[tuple[tuple[Page, ...], ...], ...]
    layouts: tuple[TiffLayout, ...]
    um_per_px: float | None


def find_levels(path: Path, file: IO[bytes]) -> TiffLevels:
    """Find the levels of a TIFF: its picture, and smaller copies of it below or after it.

    Raises:
        ImageError: damaged, or without a picture.
    """
    reader = TiffReader(path, file)
    pages = reader.pages()
    planes = find_planes(path, reader)
    first = read_layout(path, planes.pages[0])
    levels = [tuple(planes.plane(number) for number in range(len(planes)))]
    layouts = [first]
    for copies in (*_copies_below(reader, planes), *_copies_as_pages(path, pages, planes, first)):
        layout = read_layout(path, copies[0][0])
        if _is_copy(layout, first) and layout.width < layouts[-1].width:
            levels.append(copies)
            layouts.append(layout)
    return TiffLevels(planes, tuple(levels), tuple(layouts), _um_per_px(path, pages[0], planes.pages[0]))


def _copies_below(reader: TiffReader, planes: Planes) -> list[tuple[tuple[Page, ...], ...]]:
    """Return the smaller copies that the pages of a picture name as their own (SubIFDs), as OME-TIFF does."""
    if planes.pages[0].sub is not None or 330 not in planes.pages[0].tags:
        return []
    below = [reader.below(page) for page in planes.pages]
    count = min(len(pages) for pages in below)
    step = planes.colours
    return [
        tuple(
            tuple(below[place][level] for place in range(start, start + step))
            for start in range(0, len(below), step)
        )
        for level in range(count)
    ]


def _copies_as_pages(
    path: Path, pages: list[Page], planes: Planes, first: TiffLayout
) -> list[tuple[tuple[Page, ...], ...]]:
    """Return the smaller copies of a picture of one plane, pages of their own, the largest first."""
    if len(planes.pages) != 1 or planes.pages[0].sub is not None:
        return []
    by_width = sorted(pages, key=lambda page: -page.number(256, 0))
    smaller = [page for page in by_width if 322 in page.tags and page.number(256, 0) < first.width]
    return [((page,),) for page in smaller if not is_aside(page)]


def _is_copy(layout: TiffLayout, first: TiffLayout) -> bool:
    """Return whether a page has the shape and the kind of pixels of the picture, smaller."""
    if layout.width < 1 or layout.height < 1:
        return False
    across, down = first.width / layout.width, first.height / layout.height
    rounding = 1 + 2 / min(layout.width, layout.height)
    alike = max(across, down) <= min(across, down) * rounding
    kind = (layout.samples, layout.bits, layout.planar)
    return alike and kind == (first.samples, first.bits, first.planar)


def _um_per_px(path: Path, described: Page, page: Page) -> float | None:
    text = described.text(270)
    if is_ome(text):
        pixels = max(_PIXELS.findall(text), key=_ome_area, default="")
        return pixel_size(path, _ome_size(pixels, "X"), _ome_size(pixels, "Y"))
    mpp = re.search(r"\|\s*MPP\s*=\s*(\d{1,3}\.\d{1,12})", text[:10_000])
    if mpp:
        return pixel_size(path, float(mpp[1]), None)
    in_um = text.startswith("ImageJ=") and re.search(r"^unit=(micron|um|\\u00B5m|µm)\s*$", text, re.MULTILINE)
    unit = 1.0 if in_um else {2: _INCH, 3: _CENTIMETRE}.get(page.number(296, 2))
    sizes = [None if unit is None else _resolution(page, tag, unit) for tag in (282, 283)]
    if any(size is None or not _LEAST_UM <= size <= _MOST_UM for size in sizes):
        return None  # 72 pixels an inch, and the like: of a screen or of paper
    return pixel_size(path, sizes[0], sizes[1])


def _ome_area(pixels: str) -> int:
    sides = [re.search(rf"\bSize{axis}=['\"](\d{{1,9}})['\"]", pixels) for axis in "XY"]
    return math.prod(int(side[1]) if side else 0 for side in sides)


def _ome_size(text: str, axis: str) -> float | None:
    found = re.search(rf"\bPhysicalSize{axis}=['\"]([0-9.eE+-]{{1,30}})['\"]", text)
    if found is None:
        return None
    unit = re.search(rf"\bPhysicalSize{axis}Unit=['\"]([^'\"]{{1,20}})['\"]", text)
    factor = _UNITS.get(_NEWLINE.sub("", unescape(unit[1])) if unit else "µm")
    try:
        return None if factor is None else float(found[1]) * factor
    except ValueError:
        return None


def _resolution(page: Page, tag: int, unit: float) -> float | None:
    values = page.numbers(tag).tolist()
    if len(values) < 2 or values[0] <= 0 or values[1] <= 0:
        return None
    return unit * float(values[1]) / float(values[0])


def require_slide(path: Path, levels: TiffLevels) -> None:
    """Refuse a TIFF of which no rectangle can be read right.

    Raises:
        ImageError: its size makes no sense, or it is stored turned or mirrored.
    """
    first = levels.layouts[0]
    if first.width < 1 or first.height < 1 or max(first.width, first.height) >= 2**31:
        raise ImageError(path, f"damaged (a TIFF of {first.width} x {first.height} pixels)")
    if first.orientation != 1:
        raise ImageError(path, f"is stored turned (orientation {first.orientation}); save it upright")
