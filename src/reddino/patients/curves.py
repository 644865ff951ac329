"""Calibration and decision curves of models of patients, for two classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Real = NDArray[np.float64]
_BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Patients of similar predicted probability.

    Attributes:
        predicted: their mean.
        observed: fraction of them that has the class, with its exact 95 % interval (Clopper-Pearson).
        low, high: of the interval.
        patients: how many.
    """

    predicted: float
    observed: float
    low: float
    high: float
    patients: int


def calibration_curve(positive: NDArray[np.bool_], likely: Real, bins: int = _BINS) -> list[CalibrationBin]:
    """Return bins of as many patients each, from the least likely to the most.

    Args:
        positive: (n,) who has the class.
        likely: (n,) probabilities of patients that the model did not see.
        bins: at most; each holds twenty patients or more where there are as many.
    """
    order = np.argsort(likely, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order) // 20)))
    return [_bin(positive[part], likely[part]) for part in parts if len(part)]


def _bin(positive: NDArray[np.bool_], likely: Real) -> CalibrationBin:
    n, k = len(positive), int(positive.sum())
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return CalibrationBin(float(likely.mean()), k / n, low, high, n)


def net_benefit(positive: NDArray[np.bool_], likely: Real, thresholds: Real) -> Real:
    """Return the net benefit (t,) of acting from a threshold probability on (Vickers and Elkin 2006).

    True positives less false positives weighed by the odds of the threshold, per patient.

    Args:
        positive: (n,) who has the class.
        likely: (n,) probabilities.
        thresholds: (t,) in 0..1, below 1.
    """
    acted = likely[None, :] >= thresholds[:, None]
    hits = (acted & positive[None, :]).sum(axis=1)
    misses = (acted & ~positive[None, :]).sum(axis=1)
    return np.asarray((hits - misses * thresholds / (1 - thresholds)) / len(positive), dtype=np.float64)
