"""The pages of a TIFF by the metadata of OME, ImageJ and tifffile: channels, focus planes, points in time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import parse_json
from reddino.smears.failures import ImageError
from reddino.smears.formats.tiff_ome import is_ome, ome_stack
from reddino.smears.formats.tiff_stack import Stack, lay_out
from reddino.smears.formats.tiff_structure import Page

__all__ = ["Stack", "stated_stack"]

_LUT_BYTES = 768
_IMAGEJ_COUNTS, _IMAGEJ_DATA = 50838, 50839
_METAMORPH = 33629


def stated_stack(path: Path, pages: list[Page]) -> Stack | None:
    """Return the stack that the description of the first page states; None where it states none.

    Raises:
        ImageError: they are no planes of one picture, or not all of them are there.
    """
    text = pages[0].text(270)
    if is_ome(text):
        return ome_stack(path, text, pages)
    if text.startswith("ImageJ="):
        return _imagej_stack(path, text, pages)
    if text.startswith("{") and '"shape"' in text[:200]:
        _require_plain_axes(path, text, pages)
    planes = len(pages[0].numbers(_METAMORPH)) // 6 if _METAMORPH in pages[0].tags else 1
    if planes > len(pages):
        raise ImageError(path, f"stores {planes} planes under one page (MetaMorph); save each as a page")
    return None


def _imagej_stack(path: Path, text: str, pages: list[Page]) -> Stack:
    stated = dict(re.findall(r"^(images|channels|slices|frames)=(\d{1,6})\s*$", text, re.MULTILINE))
    numbers = {name: int(value) for name, value in stated.items()}
    channels, frames = numbers.get("channels", 1), numbers.get("frames", 1)
    images = numbers.get("images", len(pages))
    slices = numbers.get("slices", max(1, images // max(1, channels * frames)))
    if images > len(pages):
        raise ImageError(
            path, f"stores {images} planes under {len(pages)} pages (ImageJ); save each as a page"
        )
    order = _imagej_colours(pages[0], channels) if channels > 1 else None
    return lay_out(path, "CZT", (channels, slices, frames), list(range(images)), colours=order)


def _imagej_colours(page: Page, channels: int) -> list[int] | None:
    """Return the channels whose lookup tables are pure red, green and blue, in that order.

    Return None without them.
    """
    counts, data = page.numbers(_IMAGEJ_COUNTS).tolist(), page.numbers(_IMAGEJ_DATA).tobytes()
    if not counts or channels != 3:
        return None
    # After a header of entries (name and number of each kind) the values follow in that order.
    header, place = data[: counts[0]], int(counts[0])
    mark = header[:4]
    kinds: list[bytes] = []
    for start in range(4, len(header) - 7, 8):
        name = header[start : start + 4]
        number = int.from_bytes(header[start + 4 : start + 8], "big" if mark == b"IJIJ" else "little")
        kinds += [name if mark == b"IJIJ" else name[::-1]] * min(number, len(counts))
    ramps: list[int | None] = []
    for kind, length in zip(kinds, counts[1:], strict=False):
        if kind == b"luts" and length == _LUT_BYTES:
            ramps.append(_pure(data[place : place + length]))
        place += int(length)
    return (
        [ramps.index(colour) for colour in range(3)] if sorted(map(str, ramps)) == ["0", "1", "2"] else None
    )


def _pure(table: bytes) -> int | None:
    """Return 0, 1 or 2 where a lookup table is a ramp of red, green or blue alone; else None."""
    values = np.frombuffer(table, np.uint8).reshape(3, -1)
    ramp = np.arange(256)
    lit = [number for number in range(3) if values[number].any()]
    return lit[0] if len(lit) == 1 and np.array_equal(values[lit[0]], ramp) else None


def _require_plain_axes(path: Path, text: str, pages: list[Page]) -> None:
    """Refuse what tifffile describes as channels, points in time, or more planes than there are pages."""
    try:
        stated: Any = parse_json(text, str(path))
        shape, axes = [int(one) for one in stated["shape"]], str(stated.get("axes", ""))
    except (RedDinoError, ValueError, KeyError, TypeError):
        return
    for axis, what in (("C", "channels"), ("T", "points in time")):
        size = shape[axes.index(axis)] if axis in axes and len(axes) == len(shape) else 1
        if size > 1:
            raise ImageError(path, f"holds {size} {what} (axes {axes}); save the picture that counts, as RGB")
    page = pages[0]
    if len(pages) > 1 and len(shape) == 3 and page.number(256, 0) == shape[2] <= 4:
        raise ImageError(
            path, f"stores its colours as columns (shape {shape}); save it with its colours in each pixel"
        )
    of_page = page.number(256, 0) * page.number(257, 0) * page.number(277, 1)
    if of_page and len(pages) == 1 and int(np.prod(shape, dtype=object)) > of_page:
        raise ImageError(path, f"stores several planes under one page (shape {shape}); save each as a page")
