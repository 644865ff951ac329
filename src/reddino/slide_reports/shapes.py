"""Size and shape of a slide's cells in numbers: diameter, its variation, roundness and central pallor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Images
from reddino.rbc.appearance import MEASURES as LOOKS
from reddino.rbc.appearance import measure_views
from reddino.rbc.morphology import absorbance, pallor_features
from reddino.rbc.outline import central_mask, outline_features

Real = npt.NDArray[np.float64]
#: Pixels a side of the views that are measured.
SIDE = 112
#: What is measured of a cell: diameter as a fraction of the view, 4 pi A / P^2, and 1 - middle / rim.
COLUMNS = ("diameter", "roundness", "pallor")
#: Diameters, in the median of the slide, beyond which the outline is that of no single cell.
SMALLEST, LARGEST = 0.4, 1.8
#: Solidity below which an outline joins two cells.
LEAST_SOLID = 0.8
#: Cells below which a slide's sizes are not reported; draws of their intervals.
LEAST_CELLS, DRAWS = 20, 500


def measure_cells(views: Images, across: Real) -> tuple[Real, Real]:
    """Measure cells in their views.

    Args:
        views: (n, SIDE, SIDE, 3), each with a cell in its middle.
        across: (n,) side of the view in red-cell diameters; NaN where unknown.

    Returns:
        (n, 3) in the order of `COLUMNS`, NaN where no single cell stands out; and (n,) the natural logarithm
        of the sharpness of its edges.
    """
    shapes = np.full((len(views), len(COLUMNS)), np.nan)
    for row, view in zip(shapes, views, strict=True):
        mask = central_mask(view)
        outline = None if mask is None else outline_features(mask)
        if mask is not None and outline is not None and outline[4] >= LEAST_SOLID:
            row[:] = outline[0], min(outline[2], 1.0), pallor_features(absorbance(view, mask), mask)[0]
    typical = float(np.nanmedian(across)) if np.isfinite(across).any() else 1.6
    return shapes, measure_views(views, typical)[:, LOOKS.index("sharpness")]


@dataclass(frozen=True)
class SlideMeasure:
    """A number of a slide with its 95 % interval, and that of the reference slides.

    Attributes:
        name, unit: of it.
        value, low, high: of the slide, by bootstrap over its fields; NaN of one field alone.
        reference: lowest, median and highest value of the reference slides; None without.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    reference: tuple[float, float, float] | None = None

    def besides(self) -> str:
        """Return how the slide lies to the reference slides; "" without."""
        if self.reference is None or not math.isfinite(self.value):
            return ""
        if self.value < self.reference[0]:
            return "below all"
        return "above all" if self.value > self.reference[2] else "among them"


@dataclass(frozen=True)
class Shapes:
    """The measured cells of a slide.

    Attributes:
        cells: (n, 3) diameter in `unit`, roundness and pallor.
        unit: of the diameter: `µm` or `px`.
        fields: (n,) number of each cell's field.
        unmeasured: cells that were looked at and of which no single outline stands out.
    """

    cells: Real
    unit: str
    fields: npt.NDArray[np.int64]
    unmeasured: int

    def measures(self, seed: int = 0) -> list[SlideMeasure]:
        """Return diameter, its coefficient of variation, roundness and pallor; none of too few cells."""
        if len(self.cells) < LEAST_CELLS:
            return []
        rng = np.random.default_rng(seed)
        names = int(self.fields.max()) + 1
        rows = [np.flatnonzero(self.fields == i) for i in range(names)]
        drawn = [
            np.concatenate([rows[i] for i in rng.integers(names, size=names)])
            for _ in range(DRAWS if names > 1 else 0)
        ]
        return [
            SlideMeasure(
                name, unit, statistic(self.cells), *_interval([statistic(self.cells[d]) for d in drawn])
            )
            for name, unit, statistic in _statistics(self.unit)
        ]


def _statistics(unit: str) -> list[tuple[str, str, Callable[[Real], float]]]:
    return [
        ("diameter", unit, lambda cells: float(cells[:, 0].mean())),
        ("anisocytosis (CV of the diameter)", "%", lambda cells: 100 * _variation(cells[:, 0])),
        ("roundness (1: a circle)", "", lambda cells: float(cells[:, 1].mean())),
        ("central pallor (0: even stain)", "", lambda cells: float(cells[:, 2].mean())),
    ]


def _variation(values: Real) -> float:
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else math.nan


def _interval(values: list[float]) -> tuple[float, float]:
    known = np.array([value for value in values if math.isfinite(value)])
    return tuple(np.quantile(known, (0.025, 0.975)).tolist()) if len(known) else (math.nan, math.nan)


def shapes_of(cells: Real, sides: Real, um_per_px: Real, fields: npt.NDArray[np.int64]) -> Shapes:
    """Return the shapes of a slide from what was measured of its cells.

    Args:
        cells: (n, 3) in the order of `COLUMNS`; NaN where not measured.
        sides: (n,) of the views, in pixels.
        um_per_px: (n,) micrometres of a pixel; NaN where unknown. Where one is, the diameter is in pixels.
        fields: (n,) number of each cell's field.
    """
    known = np.isfinite(cells).all(axis=1)
    in_um = bool(known.any()) and bool(np.isfinite(um_per_px[known]).all())
    scaled = cells.copy()
    scaled[:, 0] *= sides * (um_per_px if in_um else 1.0)
    typical = float(np.median(scaled[known, 0])) if known.any() else math.nan
    with np.errstate(invalid="ignore"):
        single = known & (scaled[:, 0] > SMALLEST * typical) & (scaled[:, 0] < LARGEST * typical)
    kept = np.unique(fields[single], return_inverse=True)[1] if single.any() else fields[:0]
    return Shapes(scaled[single], "µm" if in_um else "px", kept, int(len(cells) - single.sum()))


def with_references(measures: list[SlideMeasure], references: list[list[SlideMeasure]]) -> list[SlideMeasure]:
    """Return the measures of a slide with those of reference slides, of the same unit."""
    found = []
    for one in measures:
        others = [
            other.value
            for slide in references
            for other in slide
            if (other.name, other.unit) == (one.name, one.unit) and math.isfinite(other.value)
        ]
        spread = (min(others), float(np.median(others)), max(others)) if others else None
        found.append(SlideMeasure(one.name, one.unit, one.value, one.low, one.high, spread))
    return found
