"""The levels of a synthetic slide, tile by tile: level 0 is drawn, and those below are shrunk from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reddino.foundations.stages import stage
from reddino.synthetic.whole_slide.pixels import Pixels, SlidePixels
from reddino.synthetic.whole_slide.settings import SlideSettings

#: Pixels of a tile's side; of a strip that is rendered at once; between levels of the pyramid.
TILE, _STRIP, _STEP = 256, 4096, 4
#: Of the JPEG tiles.
JPEG_QUALITY = 90


@dataclass(frozen=True)
class SlideLevel:
    """A level of the pyramid.

    Attributes:
        number: from 0.
        factor: how much it is shrunk.
        shape: height, width and colours.
        tiles: (TILE, TILE, 3) in reading order, the last ones filled up; to be taken once, before the next
            level.
    """

    number: int
    factor: int
    shape: tuple[int, int, int]
    tiles: Iterator[Pixels]


def slide_levels(pixels: SlidePixels, settings: SlideSettings, folder: Path) -> Iterator[SlideLevel]:
    """Yield the levels of a slide, the largest first; the next one waits in a file in `folder`."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".levels-") as place:
        shape = (-(-settings.height // _STEP), -(-settings.width // _STEP), 3)
        below: Pixels = np.memmap(Path(place) / "level", np.uint8, "w+", shape=shape)
        yield SlideLevel(0, 1, (settings.height, settings.width, 3), _rendered(pixels, settings, below))
        yield SlideLevel(1, _STEP, shape, _tiles(below))
        if max(shape[:2]) > 2 * TILE * _STEP:
            small = (max(1, shape[1] // _STEP), max(1, shape[0] // _STEP))
            below = np.asarray(cv2.resize(below, small, interpolation=cv2.INTER_AREA), np.uint8)
            yield SlideLevel(2, _STEP**2, (small[1], small[0], 3), _tiles(below))


def tiles_of(shape: tuple[int, int, int]) -> int:
    """Return how many tiles a level of this shape has."""
    return -(-shape[0] // TILE) * -(-shape[1] // TILE)


def _tiles(level: Pixels) -> Iterator[Pixels]:
    """Yield the tiles of a level in reading order, the last ones filled up."""
    for top in range(0, level.shape[0], TILE):
        for left in range(0, level.shape[1], TILE):
            tile = np.asarray(level[top : top + TILE, left : left + TILE])
            missing = ((0, TILE - tile.shape[0]), (0, TILE - tile.shape[1]), (0, 0))
            yield np.ascontiguousarray(np.pad(tile, missing, mode="edge"))


def _rendered(pixels: SlidePixels, settings: SlideSettings, below: Pixels) -> Iterator[Pixels]:
    """Yield the tiles of level 0 in reading order, and fill the level below."""
    rows = range(0, settings.height, 2 * TILE)
    with stage("drawing the slide") as advance:
        for done, top in enumerate(rows):
            strips = []
            for left in range(0, settings.width, _STRIP):
                width = min(_STRIP, -(-(settings.width - left) // TILE) * TILE)
                strips.append(pixels.window(left, top, width, 2 * TILE))
            strip = np.concatenate(strips, axis=1)
            small = cv2.resize(
                strip,
                (strip.shape[1] // _STEP, strip.shape[0] // _STEP),
                interpolation=cv2.INTER_AREA,
            )
            place = below[top // _STEP : (top + 2 * TILE) // _STEP]
            place[:] = small[: place.shape[0], : place.shape[1]]
            for row in range(0, 2 * TILE, TILE):
                if top + row < settings.height:
                    yield from _tiles(strip[row : row + TILE])
            advance(done + 1, len(rows))
