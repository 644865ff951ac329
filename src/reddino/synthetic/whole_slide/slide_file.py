"""A synthetic whole smear as a pyramidal tiled TIFF, with its truth next to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import require_free
from reddino.foundations.stages import stage
from reddino.foundations.version import __version__
from reddino.synthetic.cells import NORMAL_DIAMETER
from reddino.synthetic.patients import draw_patient
from reddino.synthetic.random_sources import named_source
from reddino.synthetic.whole_slide.bank import Bank, paint_bank
from reddino.synthetic.whole_slide.faults import FAULTS
from reddino.synthetic.whole_slide.layout import ZONES, Layout, draw_layout
from reddino.synthetic.whole_slide.pixels import SlidePixels
from reddino.synthetic.whole_slide.populate import Bodies, populate

#: Pixels of a tile's side; of a strip that is rendered at once; between levels of the pyramid.
TILE, _STRIP, _STEP = 256, 4096, 4
#: Pixels of the slide to a pixel of the masks.
MASK_STEP = 32


@dataclass(frozen=True)
class SlideSettings:
    """What a synthetic slide follows from, as recorded next to it."""

    width: int
    height: int
    seed: int = 0
    um_per_px: float = 0.25
    source: str = "lilac"
    profile: str = "thalassaemia"
    crowd: float = 1.0
    faults: bool = True
    bank: int = 400


def write_slide(path: Path, settings: SlideSettings) -> pa.Table:
    """Draw a whole smear and write it with its truth.

    `NAME.tif` is the slide, `NAME.truth.parquet` has a row for each body, `NAME.masks.npz`
    holds `zones` (by number) and `faults` (by bit), masks of one pixel for `MASK_STEP` by `MASK_STEP` of the
    slide, and `NAME.json` explains them. None of them is a picture that a pass over the folder would take.

    Args:
        path: of the slide, .tif or .tiff; must not exist.
        settings: what it follows from.

    Returns:
        The truth: `x`, `y`, `w`, `h` (pixels of level 0), `cx`, `cy`, `label`, `zone`, `fault`,
        `diameter_um` and `whole` (the slide's border does not cut it).

    Raises:
        RedDinoError: a setting is out of range, or the file exists.
    """
    _check(path, settings)
    source = replace(named_source(settings.source), cell_px=NORMAL_DIAMETER / settings.um_per_px)
    patient = draw_patient(settings.seed, settings.profile)
    size = (settings.width * settings.um_per_px, settings.height * settings.um_per_px)
    layout = draw_layout(*size, settings.seed, faults=settings.faults)
    bank = paint_bank(patient, source, settings.seed, settings.bank)
    bodies = populate(layout, bank, patient, settings.seed, px_per_um=source.px_per_um, crowd=settings.crowd)
    pixels = SlidePixels(layout, bank, bodies, source, settings.seed)
    with atomic_path(path) as partial:
        _write_pyramid(partial, pixels, settings)
    truth = _truth(bodies, bank, settings)
    with atomic_path(path.with_suffix(".truth.parquet")) as partial:
        pq.write_table(truth, partial)
    zones, faults = masks(layout, settings)
    with atomic_path(path.with_suffix(".masks.npz")) as partial, partial.open("wb") as file:
        np.savez_compressed(file, zones=zones, faults=faults)
    about = {"version": __version__, **vars(settings), "mask_step": MASK_STEP}
    about |= {"zones": list(ZONES), "faults": list(FAULTS), "faults_drawn": settings.faults}
    write_text(path.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
    return truth


def _check(path: Path, settings: SlideSettings) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise RedDinoError(f"a synthetic slide is a TIFF: {path.name}; give it a name that ends in .tif")
    for name, least, most in (("width", 512, 200_000), ("height", 512, 200_000)):
        if not least <= getattr(settings, name) <= most:
            raise RedDinoError(
                f"the {name} of a slide lies between {least} and {most:,} pixels: {getattr(settings, name)}"
            )
    if settings.seed < 0:
        raise RedDinoError(f"the seed of a synthetic slide must not be negative, but is {settings.seed}")
    if not 0.05 <= settings.um_per_px <= 2.0:
        raise RedDinoError(f"a pixel of a slide measures 0.05 to 2 micrometres, not {settings.um_per_px}")
    if not 0.0 <= settings.crowd <= 1.5:
        raise RedDinoError(f"the crowd of a slide lies between 0 and 1.5, and is not {settings.crowd}")
    require_free(path, f"{path} exists; write the slide to a new file")


def masks(layout: Layout, settings: SlideSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the zones by number and the faults by bit, each a pixel for `MASK_STEP` of the slide."""
    step = MASK_STEP * settings.um_per_px
    columns, rows = -(-settings.width // MASK_STEP), -(-settings.height // MASK_STEP)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * step, (np.arange(rows) + 0.5) * step)
    zones = layout.zone(x.ravel(), y.ravel()).reshape(rows, columns)
    faults = np.zeros((rows, columns), np.uint8)
    for fault in layout.faults:
        faults[fault.depth(x, y) > 0] |= np.uint8(1 << FAULTS.index(fault.kind))
    return zones, faults


def _write_pyramid(path: Path, pixels: SlidePixels, settings: SlideSettings) -> None:
    """Write the levels one after the other; the lower ones wait in a file of their own."""
    from tifffile import TiffWriter  # slow to import

    per_cm = 1e4 / settings.um_per_px
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".levels-") as folder:
        shape = (-(-settings.height // _STEP), -(-settings.width // _STEP), 3)
        below: NDArray[np.uint8] = np.memmap(Path(folder) / "level", np.uint8, "w+", shape=shape)
        with TiffWriter(path, bigtiff=True) as file:
            level, factor = 0, 1
            tiles = _rendered(pixels, settings, below)
            shape = (settings.height, settings.width, 3)
            while True:
                file.write(
                    tiles,
                    shape=shape,
                    dtype=np.uint8,
                    tile=(TILE, TILE),
                    photometric="rgb",
                    compression="jpeg",
                    compressionargs={"level": 90},
                    subfiletype=0 if level == 0 else 1,
                    resolution=(per_cm / factor, per_cm / factor),
                    resolutionunit="CENTIMETER",
                    metadata=None,
                )
                if (level == 1 and max(shape[:2]) <= 2 * TILE * _STEP) or level == 2:
                    return
                if level:
                    height, width = below.shape[:2]
                    small = (max(1, width // _STEP), max(1, height // _STEP))
                    below = np.asarray(cv2.resize(below, small, interpolation=cv2.INTER_AREA), np.uint8)
                level, factor, shape = level + 1, factor * _STEP, below.shape
                tiles = _tiles(below)


def _tiles(level: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the tiles of a level in reading order, the last ones filled up."""
    for top in range(0, level.shape[0], TILE):
        for left in range(0, level.shape[1], TILE):
            tile = np.asarray(level[top : top + TILE, left : left + TILE])
            missing = ((0, TILE - tile.shape[0]), (0, TILE - tile.shape[1]), (0, 0))
            yield np.ascontiguousarray(np.pad(tile, missing, mode="edge"))


def _rendered(
    pixels: SlidePixels, settings: SlideSettings, below: NDArray[np.uint8]
) -> Iterator[NDArray[np.uint8]]:
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


def _truth(bodies: Bodies, bank: Bank, settings: SlideSettings) -> pa.Table:
    """Return a row for each body whose centre lies on the slide; grains of precipitate have none."""
    box = np.array([stamp.box for stamp in bank.stamps])[bodies.stamp]
    x, y = bodies.left + box[:, 0], bodies.top + box[:, 1]
    w, h = box[:, 2], box[:, 3]
    middle = np.array([stamp.centre for stamp in bank.stamps])[bodies.stamp]
    cx, cy = bodies.left + middle[:, 0], bodies.top + middle[:, 1]
    label = np.array([stamp.label for stamp in bank.stamps], dtype=object)[bodies.stamp]
    inside = (cx >= 0) & (cy >= 0) & (cx < settings.width) & (cy < settings.height) & (label != "speck")
    whole = (x >= 0) & (y >= 0) & (x + w <= settings.width) & (y + h <= settings.height)
    diameter = np.array([stamp.diameter for stamp in bank.stamps])[bodies.stamp]
    columns = {name: pa.array(np.round(values[inside], 2)) for name, values in
               (("x", x), ("y", y), ("w", w), ("h", h), ("cx", cx), ("cy", cy))}  # fmt: skip
    columns["label"] = pa.array(label[inside].tolist(), pa.string())
    columns["zone"] = pa.array([ZONES[number] for number in bodies.zone[inside].tolist()], pa.string())
    columns["fault"] = pa.array(bodies.fault[inside].tolist(), pa.string())
    columns["diameter_um"] = pa.array(np.round(diameter[inside], 3))
    columns["whole"] = pa.array(whole[inside])
    return pa.table(columns)
