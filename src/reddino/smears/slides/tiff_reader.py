"""Large and pyramidal TIFF, BigTIFF and OME-TIFF: any rectangle of any level, by its tiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats import tiff_colours
from reddino.smears.formats.limits import MAX_PIXELS, require_memory
from reddino.smears.formats.samples import Samples
from reddino.smears.formats.tiff_layout import TiffLayout, layout_fault
from reddino.smears.formats.tiff_structure import Page
from reddino.smears.slides.interface import Rectangle, SlideReader
from reddino.smears.slides.tiff_levels import find_levels, require_slide
from reddino.smears.slides.tiff_segments import unpack_segment

#: Tiles of one page: more than any slide has.
_MOST_SEGMENTS = 2**24
_WHITE = 255


class TiffSlideReader(SlideReader):
    """A TIFF whose tiles (or strips) are unpacked as they are needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            levels = find_levels(path, file)
            require_slide(path, levels)
            self._levels = tuple(
                tuple(tuple(_StoredPage(path, page, layout) for page in pages) for pages in planes)
                for planes, layout in zip(levels.pages, levels.layouts, strict=True)
            )
        first = levels.layouts[0]
        self.size = (first.width, first.height)
        self.level_sizes = tuple((layout.width, layout.height) for layout in levels.layouts)
        self.planes = len(levels.planes)
        self.bits, self.stated = first.bits, levels.planes.stated
        self.um_per_px = levels.um_per_px
        self.about = {"format": "TIFF"}
        self._file = os.open(path, os.O_RDONLY)

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        stored = [page.read(self._file, rectangle) for page in self._levels[level][plane]]
        if len(stored) > 1:
            return Samples(np.stack([one.values for one in stored], axis=2), stored[0].bits, self.stated)
        return Samples(stored[0].values, stored[0].bits, self.stated, stored[0].white_is_zero)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _StoredPage:
    """Where the tiles of a page lie, and how they are stored."""

    def __init__(self, path: Path, page: Page, layout: TiffLayout) -> None:
        fault = layout_fault(layout)
        if fault is not None:
            raise ImageError(path, f"is a TIFF with {fault}, which is not read; save it as 8-bit RGB")
        if min(layout.segment) < 1 or layout.segments > _MOST_SEGMENTS:
            raise ImageError(path, f"damaged (TIFF tiles of {layout.segment[0]} x {layout.segment[1]})")
        stored = layout.samples * layout.item_bytes
        require_memory(path, *layout.segment, stored, MAX_PIXELS)
        if layout.bits not in (8, 16) or layout.reversed_bits:
            raise ImageError(path, f"is a slide with {layout.bits}-bit samples; save it with 8 or 16 bits")
        tags = (324, 325) if layout.tiled else (273, 279)
        self._offsets, self._counts = (page.numbers(tag).astype(np.int64) for tag in tags)
        if min(len(self._offsets), len(self._counts)) < layout.segments:
            raise ImageError(
                path, f"truncated (the TIFF has {len(self._offsets)} tiles of {layout.segments})"
            )
        self._size = page.reader.size
        self._path, self._layout = path, layout
        self._tables, self._palette = page.numbers(347).tobytes(), page.numbers(320)
        self._order = page.reader.order

    def read(self, file: int, rectangle: Rectangle) -> Samples:
        """Return the colours of a rectangle of the page."""
        x, y, w, h = rectangle
        layout = self._layout
        depth = layout.samples
        values = np.full((h, w, depth), _WHITE, f"u{layout.item_bytes}")
        if layout.item_bytes == 2:
            values[:] = 65535
        across, down = layout.segment
        for row in range(y // down, -(-(y + h) // down)):
            for column in range(x // across, -(-(x + w) // across)):
                left, top = max(x, column * across), max(y, row * down)
                right, bottom = min(x + w, (column + 1) * across), min(y + h, (row + 1) * down)
                for sample in range(depth if layout.planar else 1):
                    tile = self._tile(file, row, column, sample)
                    if tile is None:
                        continue
                    part = tile[
                        top - row * down : bottom - row * down,
                        left - column * across : right - column * across,
                    ]
                    target = values[top - y : bottom - y, left - x : right - x]
                    if layout.planar:
                        target[:, :, sample] = part[:, :, 0]
                    else:
                        target[:] = part
        return tiff_colours.colours(self._path, values, layout, self._palette)

    def _tile(self, file: int, row: int, column: int, sample: int) -> NDArray[Any] | None:
        """Return a tile, (rows, width, samples); None where nothing was scanned."""
        layout = self._layout
        across = -(-layout.width // layout.segment[0])
        down = -(-layout.height // layout.segment[1])
        number = (sample * down + row) * across + column
        offset, count = int(self._offsets[number]), int(self._counts[number])
        if count == 0 or offset == 0:
            return None
        if offset < 0 or count < 0 or offset + count > self._size:
            raise ImageError(self._path, "truncated (tiles of the TIFF are missing or cut)")
        data = os.pread(file, count, offset)
        if len(data) < count:
            raise ImageError(self._path, "truncated (tiles of the TIFF are missing or cut)")
        rows = layout.segment[1]
        if not layout.tiled:
            rows = min(rows, layout.height - row * rows)
        return unpack_segment(self._path, data, layout, rows=rows, tables=self._tables, order=self._order)
