"""Verdicts in words on squares of a slide or a field, by what they measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.rbc.field_measures import relative_sharpness
from reddino.regions.choices import (
    CROWDED,
    EMPTY,
    FEW,
    FLAT,
    GOOD,
    INK,
    OUT_OF_FOCUS,
    PRECIPITATE,
    RIMS,
    THICK,
)
from reddino.regions.measures import COLUMNS, SQUARE_SIDE

Real = npt.NDArray[np.float64]
#: Squares of a slide (or source) from which one is blurred in comparison with the others.
LEAST_COMPARED = 5


@dataclass(frozen=True)
class QualityLimits:
    """What a square must be like.

    Attributes:
        least_stained: fraction of the area, below which there is only glass.
        most_ink, most_rims: fractions of the area.
        most_grains: of precipitated stain, in the area of a cell's diameter squared.
        least_sharpness: of the cells' edges, as a fraction of that of the median square.
        least_steep: natural logarithm of the steepness of edges, whatever the other squares are like.
        most_overlap, most_crowded: fraction of the cells that lie on another, from which it is too thick, and
            from which it is no monolayer.
        least_cells: cells in a square of `SQUARE_SIDE` diameters a side.
        least_pale: fraction of the cells with a pale centre.
    """

    least_stained: float = 0.01
    most_ink: float = 0.03
    most_rims: float = 0.015
    most_grains: float = 0.6
    least_sharpness: float = 0.6
    least_steep: float = 1.75
    most_overlap: float = 0.5
    most_crowded: float = 0.2
    least_cells: float = 8.0
    least_pale: float = 0.34


def judged(
    squares: Real, diameter: float | Real, source: str = "", limits: QualityLimits | None = None
) -> list[str]:
    """Return a verdict for each square (n,) of a slide, or of the fields of a source.

    Args:
        squares: (n, 12), see `reddino.regions.measures.COLUMNS`.
        diameter: of a red cell in pixels, one for all or one for each square (n,).
        source: that the squares belong to.
        limits: what squares must be like.
    """
    limits = QualityLimits() if limits is None else limits
    sharp = compared_sharpness(squares, source)
    sizes = np.broadcast_to(np.asarray(diameter, np.float64), len(squares)).tolist()
    return [
        _verdict(dict(zip(COLUMNS, row, strict=True)), relative, size, limits)
        for row, relative, size in zip(squares.tolist(), sharp.tolist(), sizes, strict=True)
    ]


def compared_sharpness(squares: Real, source: str = "") -> Real:
    """Return the sharpness of squares (n,) as a fraction of that of the median one; NaN: not known."""
    sharpness = np.where(squares[:, 4] >= 3, squares[:, COLUMNS.index("sharpness")], np.nan)
    if np.isfinite(sharpness).sum() < LEAST_COMPARED:
        return np.full(len(squares), np.nan)
    named = {str(number): value for number, value in enumerate(sharpness.tolist())}
    return np.array(list(relative_sharpness(named, dict.fromkeys(named, source)).values()))


def _verdict(square: dict[str, float], relative: float, diameter: float, limits: QualityLimits) -> str:
    """Return the first thing that is wrong with a square."""
    cells = square["cells"] * (SQUARE_SIDE * diameter) ** 2 / max(square["w"] * square["h"], 1.0)
    known, some = square["cells"] >= 3, square["cells"] > 0
    blurred = relative < limits.least_sharpness or square["sharpness"] < limits.least_steep
    wrong = (
        (INK, square["ink"] > limits.most_ink),
        (RIMS, square["rims"] > limits.most_rims),
        (EMPTY, square["stained"] < limits.least_stained and not known),
        (THICK, square["overlap"] > limits.most_overlap),
        (OUT_OF_FOCUS, known and blurred),
        (PRECIPITATE, square["grains"] > limits.most_grains),
        (FEW, cells < limits.least_cells),
        (CROWDED, square["overlap"] > limits.most_crowded),
        (FLAT, some and square["pale"] < limits.least_pale),
    )
    return next((verdict for verdict, holds in wrong if holds), GOOD)
