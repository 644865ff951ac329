"""Fractions of cells with intervals that allow for cells of one field being alike."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]

#: Of a normal distribution, for 95 %.
Z = 1.959964


def fraction_interval(hits: Real, cells: Real) -> tuple[float, float, float]:
    """Return a fraction with its 95 % interval: Wilson's, with the cells worth what their fields let them be.

    The variance of the ratio over fields (the linearised estimator of survey sampling) gives the effective
    number of cells, which is never more than there are. Of one field alone the cells count as independent,
    which is too narrow.

    Args:
        hits: (m,) cells of the class in each field.
        cells: (m,) counted cells of each field.

    Returns:
        Fraction, lower and upper end; nan where no cell was counted.
    """
    total = float(cells.sum())
    if total <= 0:
        return float("nan"), float("nan"), float("nan")
    fraction = float(hits.sum()) / total
    effective = total
    fields = int((cells > 0).sum())
    if fields > 1 and 0 < fraction < 1:
        off = hits - fraction * cells
        variance = float((off**2).sum()) / total**2 * fields / (fields - 1)
        if variance > 0:
            effective = min(total, fraction * (1 - fraction) / variance)
    centre = (fraction + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = (
        Z / (1 + Z**2 / effective) * sqrt(fraction * (1 - fraction) / effective + (Z / (2 * effective)) ** 2)
    )
    return fraction, max(0.0, centre - half), min(1.0, centre + half)
