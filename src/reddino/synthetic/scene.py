"""Scenes: which cells lie where in a field of view, in micrometres, whoever photographs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.bystanders import (
    Platelet,
    Speck,
    WhiteCell,
    draw_platelet,
    draw_specks,
    draw_white_cell,
)
from reddino.synthetic.cells import RedCell
from reddino.synthetic.morphologies import MORPHOLOGIES, draw_cell
from reddino.synthetic.patients import Patient

MARGIN = 6.0
"""Cells are laid this far (um) beyond the field, so that its edges cut through cells."""

FIELD = 90.0
"""Default side of a field in micrometres: 480 pixels at 40 pixels a cell."""


@dataclass(frozen=True)
class Slide:
    """The quality of a slide: relative strength of the dyes, dirt, and how close the cells lie."""

    haemoglobin: float
    blue: float
    chromatin: float
    specks: float
    crowd: float
    overlap: float
    plasma: float


@dataclass(frozen=True)
class Scene:
    """A field of view; the origin is its top-left corner."""

    width: float
    height: float
    slide: Slide
    cells: tuple[RedCell, ...]
    white_cells: tuple[WhiteCell, ...]
    platelets: tuple[Platelet, ...]
    specks: tuple[Speck, ...]
    texture: int


def draw_slide(patient: Patient, slide: int) -> Slide:
    """Draw how slide number `slide` of the patient was made and stained."""
    rng = np.random.default_rng([patient.seed, 2, slide])
    return Slide(
        haemoglobin=float(np.exp(0.13 * rng.standard_normal())),
        blue=float(np.exp(0.25 * rng.standard_normal())),
        chromatin=float(np.exp(0.15 * rng.standard_normal())),
        specks=float(rng.gamma(1.5, 5.0)),
        crowd=float(np.exp(0.15 * rng.standard_normal())),
        overlap=float(rng.beta(1.2, 6.0)),
        plasma=float(rng.uniform(0.0, 0.05)),
    )


def _reach(cell: RedCell) -> float:
    """Return the radius within which neighbours touch, between the equal-area and circumscribed radii."""
    longest = float(np.hypot(*cell.outline.T).max())
    return 0.4 * cell.diameter / 2.0 + 0.6 * longest


class _Ground:
    """Free places on the slide."""

    def __init__(self, width: float, height: float) -> None:
        self.low = np.array([-MARGIN, -MARGIN])
        self.high = np.array([width + MARGIN, height + MARGIN])
        self.places: NDArray[np.float64] = np.empty((0, 3))

    def find(self, rng: np.random.Generator, reach: float, gap: float) -> tuple[float, float] | None:
        """Find a place at least `gap` times the sum of the reaches from its neighbours.

        Return None if the scene is too full.
        """
        for _ in range(8):
            spots = rng.uniform(self.low, self.high, (6, 2))
            across = spots[:, 0, None] - self.places[:, 0]
            down = spots[:, 1, None] - self.places[:, 1]
            near = gap * (reach + self.places[:, 2])
            free = (across * across + down * down > near * near).all(axis=1)
            if free.any():
                x, y = spots[int(free.argmax())]
                self.places = np.vstack([self.places, [x, y, reach]])
                return float(x), float(y)
        return None


def _gap(rng: np.random.Generator, overlap: float) -> float:
    """Draw how close a cell may come: apart, touching or overlapping its neighbours."""
    kind = rng.random()
    if kind < overlap:
        return float(rng.uniform(0.55, 0.9))
    return float(rng.uniform(0.93, 1.02) if kind < overlap + 0.25 else rng.uniform(1.03, 1.25))


def make_scene(
    patient: Patient, seed: int, *, slide: int = 0, width: float = FIELD, height: float = FIELD
) -> Scene:
    """Draw a field of view of a patient's slide; a pure function of its arguments.

    Args:
        patient: whose blood it is.
        seed: which field of the slide; not negative.
        slide: which slide of the patient.
        width: of the field, in micrometres.
        height: of the field, in micrometres.
    """
    made = draw_slide(patient, slide)
    rng = np.random.default_rng([patient.seed, 3, slide, seed])
    ground = _Ground(width, height)
    whole = (width + 2.0 * MARGIN) * (height + 2.0 * MARGIN) / 1e4
    white = []
    for _ in range(int(rng.poisson(patient.white * whole))):
        place = ground.find(rng, 6.5, 1.0)
        if place is not None:
            white.append(draw_white_cell(rng, *place))
    cells = []
    count = int(rng.poisson(patient.crowd * made.crowd * whole))
    for morphology in rng.choice(MORPHOLOGIES, count, p=np.array(patient.mix) / sum(patient.mix)):
        cell = draw_cell(rng, str(morphology), patient.habit)
        place = ground.find(rng, _reach(cell), _gap(rng, made.overlap))
        if place is not None:
            cells.append(cell.moved(*place))
    platelets = [
        draw_platelet(rng, float(x), float(y))
        for x, y in rng.uniform(ground.low, ground.high, (int(rng.poisson(patient.platelets * whole)), 2))
    ]
    specks = draw_specks(rng, int(rng.poisson(made.specks * whole)), width, height)
    texture = int(rng.integers(2**31))
    return Scene(width, height, made, tuple(cells), tuple(white), tuple(platelets), specks, texture)
