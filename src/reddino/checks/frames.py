"""Checks of cells against the headers of their pictures: orientation, size and impossible diameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.smears.decode import ImageError
from reddino.smears.findings import Finding
from reddino.smears.frames import DRAWN_COLUMN, UPRIGHT, Frame, read_frame
from reddino.smears.manifest import Manifest

#: Headers that are read before anything is computed: a second's worth, of pictures spread over the manifest.
SAMPLE = 1000
#: Pixels by which rounding, and pixels counted from 1, may bring a box over the border.
_OVER = 2.0


class FrameCheck:
    """Compares the cells of each picture with its frame."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._names, image = manifest.images()
        self._order = np.argsort(image, kind="stable")
        self._starts = np.searchsorted(image[self._order], np.arange(len(self._names) + 1))
        self._centres, self._cells = manifest.centres(), manifest.is_cell()
        self._diameters = manifest.numbers("cell_diameter")
        known = DRAWN_COLUMN in manifest.table.column_names
        drawn = manifest.strings(DRAWN_COLUMN) if known else [""] * len(manifest)
        self._unsure = self._cells & np.array([value != UPRIGHT for value in drawn], dtype=np.bool_)
        self._turned: list[str] = []
        self._outside: list[tuple[int, str]] = []
        self._large: list[tuple[int, str]] = []
        self._over: list[tuple[int, str]] = []
        self._boxes = np.stack([manifest.numbers(name) for name in "xywh"], axis=1)

    def header(self, number: int) -> None:
        """See `FrameCheck.header`."""
        rows = self._rows(number)
        if not (self._cells[rows].any() or (self._diameters[rows] > 0).any()):
            return
        try:
            frame = read_frame(Path(self._manifest.root, self._names[number]))
        except ImageError:
            return
        self._compare(self._names[number], rows, frame)

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        """See `PictureCheck.see`."""
        self.header(number)

    def _rows(self, number: int) -> NDArray[np.int64]:
        return np.asarray(self._order[self._starts[number] : self._starts[number + 1]])

    def _compare(self, name: str, rows: NDArray[np.int64], frame: Frame) -> None:
        if frame.orientation != 1 and self._unsure[rows].any():
            self._turned.append(f"{name} (EXIF orientation {frame.orientation})")
        x, y = self._centres[rows].T
        width, height = frame.size
        outside = (x < 0) | (y < 0) | (x > width) | (y > height)
        for row in rows[outside].tolist():
            place = ", ".join(f"{value:g}" for value in self._centres[row])
            self._outside.append((row, f"({place}) in {width} x {height} pixels"))
        left, top, w, h = self._boxes[rows].T
        over = np.max([-left, -top, left + w - width, top + h - height], axis=0) > _OVER  # False for NaN
        for row in rows[over & ~outside].tolist():
            place = ", ".join(f"{value:g}" for value in self._boxes[row])
            self._over.append((row, f"({place}) in {width} x {height} pixels"))
        for row in rows[self._diameters[rows] > max(frame.size)].tolist()[:1]:
            self._large.append((row, f"{self._diameters[row]:g} in {width} x {height} pixels"))

    def findings(self, which: str = "") -> Iterator[Finding]:
        """Yield the findings; `which` describes the pictures that were examined."""
        if self._turned:
            yield Finding(
                "boxes on turned pictures",
                f"{counted(len(self._turned), 'picture')} with cells and an EXIF orientation{which}; "
                "they are turned upright and their cells are not, which is wrong if these were marked on the "
                "stored pixels: read the annotations with --boxes-on stored; where they are right, write "
                f"{UPRIGHT} into the column {DRAWN_COLUMN}",
                len(self._turned),
                self._turned[0],
            )
        if self._outside:
            yield Finding(
                "cells outside their picture",
                f"{counted(len(self._outside), 'cell')} whose centre lies outside{which}: their "
                "coordinates are those of another picture or size, and their pictures are left out where "
                "cells are cut",
                len(self._outside),
                self._first(self._outside),
            )
        if self._over:
            yield Finding(
                "boxes over the border",
                f"{counted(len(self._over), 'cell')} whose box reaches out of the picture{which}; where "
                "the border does not cut these cells, the numbers mean something else (corners instead of "
                "sides, or the pixels of another size)",
                len(self._over),
                self._first(self._over),
            )
        if self._large:
            yield Finding(
                "cell diameters larger than the picture",
                f"{counted(len(self._large), 'picture')} smaller than one cell{which}: the column "
                "cell_diameter is in pixels",
                len(self._large),
                self._first(self._large),
            )

    def _first(self, found: list[tuple[int, str]]) -> str:
        row, what = found[0]
        return f"{self._manifest.place(row)}: {what}"


def frames_of_sample(manifest: Manifest) -> Iterable[Finding]:
    """Yield what headers of at most `SAMPLE` pictures, spread over the manifest, show of their frames."""
    check = FrameCheck(manifest)
    pictures = len(manifest.images()[0])
    chosen = np.unique(np.linspace(0, pictures - 1, min(pictures, SAMPLE)).round().astype(np.int64))
    for number in chosen.tolist():
        check.header(number)
    return check.findings(f" (of {SAMPLE} pictures read)" if pictures > SAMPLE else "")


class RemainingFrames(FrameCheck):
    """The check of pictures: of more than `SAMPLE`, every header; of fewer, the check of rows saw all."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._needed = len(manifest.images()[0]) > SAMPLE

    def header(self, number: int) -> None:
        """See `FrameCheck.header`."""
        if self._needed:
            super().header(number)
