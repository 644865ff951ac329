"""How the cells of sources and slides look: a sample of their views, cut once more and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.view_encoder import Images
from reddino.foundations.errors import RedDinoError
from reddino.rbc.appearance import MEASURES, measure_views
from reddino.smears.decode import decode_image
from reddino.smears.readings import Readings
from reddino.views.cutting import cut_square
from reddino.views.spec import DEFAULT_SIDES, ViewSpec
from reddino.views.stain_normaliser import StainNormaliser

Numbers = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
#: The measures of a cell: how its view looks, and the logarithm of the pixels that it is across.
ALL_MEASURES = (*MEASURES, "scale")
#: Pixels a side at which views are measured, whatever the network takes.
SIDE = 112
#: Pictures that are opened again in all, however many units there are.
MOST_PICTURES = 240


@dataclass(frozen=True)
class Looks:
    """A sample of cells and how they look.

    Attributes:
        rows: (n,) rows of the table.
        views: (n, SIDE, SIDE, 3) uint8.
        measures: (n, 9) in the order of `ALL_MEASURES`; NaN where one cannot be measured.
    """

    rows: Numbers
    views: Images
    measures: Real


def look_at(
    table: pa.Table,
    root: Path,
    view: ViewSpec,
    units: Sequence[Any],
    *,
    pictures: int,
    cells: int,
    seed: int = 0,
) -> Looks:
    """Cut and measure a sample of the rows of a table.

    Args:
        table: rows with `path`, `view_x`, `view_y`, `view_side` and `cell_diameter`.
        root: folder that `path` is relative to.
        view: that the rows were cut as.
        units: (n,) what is sampled alike: sources, or slides.
        pictures: of each unit, at most.
        cells: of each picture, at most.
        seed: of the sample.
    """
    paths = [str(path) for path in table.column("path").to_pylist()]
    rows = sampled(units, paths, pictures, cells, seed)
    x, y, side = (_numbers(table, name)[rows] for name in ("view_x", "view_y", "view_side"))
    diameter = _numbers(table, "cell_diameter")[rows]
    if view.unit == "diameters":
        diameter = side / view.side
    stains = StainNormaliser(view.stain)  # what could not be normalised was reported by the pass
    readings, views = Readings(table), np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)
    usable = np.zeros(len(rows), np.bool_)
    chosen = np.array([paths[row] for row in rows.tolist()], dtype=object)
    for path in dict.fromkeys(chosen.tolist()):
        try:
            image = stains.of(path, decode_image(root / path, **readings.of(path)))
        except RedDinoError:
            continue  # it was listed when it was embedded
        for place in np.flatnonzero(chosen == path).tolist():
            views[place] = cut_square(image, float(x[place]), float(y[place]), float(side[place]), SIDE)
            usable[place] = True
    rows, views, diameter, side = rows[usable], views[usable], diameter[usable], side[usable]
    known = diameter[diameter > 0]
    # Where the diameter of a cell is unknown, a crop is taken for one of the usual size.
    across = float(np.median(side[diameter > 0] / known)) if len(known) else DEFAULT_SIDES["cells"][0]
    scale = np.log(np.where(diameter > 0, diameter, np.nan))
    return Looks(rows, views, np.column_stack([measure_views(views, across), scale]))


def sampled(units: Sequence[Any], paths: Sequence[str], pictures: int, cells: int, seed: int) -> Numbers:
    """Return rows (k,), sorted: of each unit some pictures, and of each picture some rows."""
    rng = np.random.default_rng(seed)
    by_unit: dict[Any, dict[str, list[int]]] = {}
    for row, (unit, path) in enumerate(zip(units, paths, strict=True)):
        by_unit.setdefault(unit, {}).setdefault(path, []).append(row)
    each = max(1, min(pictures, MOST_PICTURES // max(1, len(by_unit))))
    rows: list[int] = []
    for unit in sorted(by_unit, key=str):
        names = sorted(by_unit[unit])
        for place in sorted(rng.permutation(len(names))[:each].tolist()):
            mine = by_unit[unit][names[place]]
            rows += [mine[i] for i in rng.permutation(len(mine))[:cells].tolist()]
    return np.array(sorted(rows), dtype=np.int64)


def medians(measures: Real, keys: Sequence[Any]) -> tuple[list[Any], Real]:
    """Return the distinct keys (k), and the median of each measure (k, m) over the rows of each key.

    NaN where no row of a key has the measure.
    """
    names = list(dict.fromkeys(keys))
    place = {name: number for number, name in enumerate(names)}
    number = np.array([place[key] for key in keys], dtype=np.int64)
    return names, np.array([nanmedian(measures[number == i]) for i in range(len(names))]).reshape(
        len(names), measures.shape[1]
    )


def nanmedian(values: Real) -> Real:
    """Return the median of each column (n, m) without its NaN; NaN for a column of them."""
    return np.array([_or_nan(np.median, column[np.isfinite(column)]) for column in values.T])


def _or_nan(statistic: Callable[[Real], Any], values: Real) -> float:
    return float(statistic(values)) if len(values) else float("nan")


def _numbers(table: pa.Table, name: str) -> Real:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    values = table.column(name).to_pylist()
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
