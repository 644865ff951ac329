"""What is measured of whole fields by their cells: which lie on each other, and how sharp fields are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Red-cell diameters between two centres, below which the cells lie on each other.
NEAR = 0.8


def crowded_cells(paths: Sequence[str], x: Real, y: Real, diameter: Real, clumped: Flags) -> Flags:
    """Return which cells (n,) lie on another of their picture, or are a clump.

    Args:
        paths: (n,) pictures.
        x: (n,) of the centres in pixels; NaN where unknown.
        y: (n,) of the same.
        diameter: (n,) red-cell diameter of the picture in pixels; NaN where unknown.
        clumped: (n,) which are clumps.
    """
    from scipy.spatial import cKDTree  # slow to import

    crowded = clumped.copy()
    number = np.unique(np.asarray(paths, dtype=object), return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    placed = np.isfinite(x) & np.isfinite(y) & (diameter > 0)
    for inside in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        rows = inside[placed[inside]]
        if len(rows) < 2:
            continue
        points = np.column_stack([x[rows], y[rows]])
        distance = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
        crowded[rows] |= distance < NEAR * diameter[rows]
    return np.asarray(crowded)


def relative_sharpness(sharpness: dict[str, float], sources: dict[str, str]) -> dict[str, float]:
    """Return the sharpness of pictures as a fraction of that of the median picture of their source.

    Args:
        sharpness: natural logarithm by picture; NaN where not measured.
        sources: by picture.
    """
    by_source: dict[str, list[float]] = {}
    for path, value in sharpness.items():
        if math.isfinite(value):
            by_source.setdefault(sources[path], []).append(value)
    usual = {source: float(np.median(values)) for source, values in by_source.items()}
    return {
        path: math.exp(value - usual[sources[path]]) if math.isfinite(value) else math.nan
        for path, value in sharpness.items()
    }
