"""A bank of bodies, painted once each, to be stamped onto a slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.bystanders import Platelet, Speck, WhiteCell, draw_platelet, draw_white_cell
from reddino.synthetic.camera import absorption
from reddino.synthetic.cells import RedCell
from reddino.synthetic.morphologies import MORPHOLOGIES, draw_cell
from reddino.synthetic.paint import paint
from reddino.synthetic.patients import Patient
from reddino.synthetic.scene import Scene, Slide, draw_slide
from reddino.synthetic.sources import Source

Density = NDArray[np.float32]
Body = RedCell | WhiteCell | Platelet | Speck


@dataclass(frozen=True)
class Stamp:
    """A body's optical density, in pixels of the slide.

    Attributes:
        density: (h, w, 3) natural logarithm.
        centre: (x, y) of the body's own origin within it.
        box: left, top, width and height of the body within it.
        label: of the body in the truth.
        diameter: of the circle of its area, in micrometres; of a speck, twice its radius.
    """

    density: Density
    centre: tuple[float, float]
    box: tuple[float, float, float, float]
    label: str
    diameter: float


def _flat(cell: RedCell, rng: np.random.Generator) -> RedCell:
    """Return a cell as the feathered edge has it: spread wide, without a pale centre."""
    wide = float(rng.uniform(1.04, 1.14))
    return replace(
        cell, outline=cell.outline * wide, diameter=cell.diameter * wide, pallors=(), dome=0.0, density=0.9
    )


def _stamp(body: Body, label: str, slide: Slide, source: Source) -> Stamp:
    """Paint a body alone, in a field that holds it."""
    if isinstance(body, Speck):
        reach, diameter = 3.0 * body.radius + 0.5, 2.0 * body.radius
        box = (-body.radius, -body.radius, diameter, diameter)
    else:
        reach, diameter = float(np.hypot(*body.outline.T).max()) + 2.0, body.diameter
        box = body.box()
    side = int(np.ceil(2.0 * reach * source.px_per_um))
    field = side / source.px_per_um
    placed = replace(body, x=field / 2.0, y=field / 2.0)
    bare = replace(slide, plasma=0.0, specks=0.0)
    scene = Scene(
        field,
        field,
        bare,
        (placed,) if isinstance(placed, RedCell) else (),
        (placed,) if isinstance(placed, WhiteCell) else (),
        (placed,) if isinstance(placed, Platelet) else (),
        (placed,) if isinstance(placed, Speck) else (),
        texture=0,
    )
    maps = cv2.resize(paint(scene), (side, side), interpolation=cv2.INTER_AREA)
    scale, middle = source.px_per_um, side / 2.0
    left, top, width, height = (value * scale for value in box)
    return Stamp(
        absorption(maps, slide, source),
        (middle, middle),
        (middle + left, middle + top, width, height),
        label,
        diameter,
    )


@dataclass(frozen=True)
class Bank:
    """The bodies of a slide, painted.

    Attributes:
        stamps: all of them.
        flat: numbers of the red cells of the feathered edge.
        round: numbers of all other red cells.
        white, platelets, specks: numbers of the rest.
    """

    stamps: Sequence[Stamp]
    flat: NDArray[np.int64]
    round: NDArray[np.int64]
    white: NDArray[np.int64]
    platelets: NDArray[np.int64]
    specks: NDArray[np.int64]


def paint_bank(patient: Patient, source: Source, seed: int, cells: int) -> Bank:
    """Paint the bodies that are stamped onto a patient's slide.

    Args:
        patient: whose blood it is.
        source: the laboratory, with the slide's own pixels a cell.
        seed: of the choice.
        cells: red cells of the bank; a quarter of them more for the feathered edge.
    """
    rng = np.random.default_rng([seed, 22])
    slide = draw_slide(patient, 0)
    mix = np.array(patient.mix) / sum(patient.mix)
    names = [str(name) for name in rng.choice(MORPHOLOGIES, cells, p=mix)]
    stamps = [_stamp(draw_cell(rng, name, patient.habit), name, slide, source) for name in names]
    counts = [cells, max(8, cells // 4), max(4, cells // 25), max(6, cells // 12), 24]
    for _ in range(counts[1]):
        stamps.append(_stamp(_flat(draw_cell(rng, "normal", patient.habit), rng), "normal", slide, source))
    for _ in range(counts[2]):
        stamps.append(_stamp(draw_white_cell(rng, 0.0, 0.0), "white cell", slide, source))
    for _ in range(counts[3]):
        stamps.append(_stamp(draw_platelet(rng, 0.0, 0.0), "platelet", slide, source))
    for _ in range(counts[4]):
        speck = Speck(0.0, 0.0, float(rng.uniform(0.25, 0.7)), float(rng.uniform(1.2, 2.4)), dust=False)
        stamps.append(_stamp(speck, "speck", slide, source))
    ends = np.cumsum(counts)
    numbers = [np.arange(end - count, end, dtype=np.int64) for end, count in zip(ends, counts, strict=True)]
    return Bank(stamps, numbers[1], numbers[0], *numbers[2:])
