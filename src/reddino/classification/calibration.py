"""Calibrated probabilities: temperature scaling, whether it helps, and how far from calibrated they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from reddino.classification.softmax import softmax

Real = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

#: The natural logarithm of the temperature is searched between these.
LOG_RANGE = (-4.0, 4.0)
NONE, OFFSET, TEMPERATURE, BOTH = "none", "offset", "temperature", "temperature and offset"


@dataclass(frozen=True)
class Calibration:
    """The calibration that gave the best likelihood on groups that it was not fitted on.

    Attributes:
        chosen: NONE, OFFSET, TEMPERATURE or BOTH.
        temperature: 1 where none was kept.
        offset: (k,), zeros where none was kept.
        tried: mean negative log-likelihood of each on groups that it was not fitted on, in nats.
        judged: (n, k) logits under the chosen one, of each row as fitted on other groups.
    """

    chosen: str
    temperature: float
    offset: Real
    tried: dict[str, float]
    judged: Real

    def as_json(self) -> dict[str, Any]:
        """Return what a report keeps."""
        return {"chosen": self.chosen, "temperature": self.temperature, "tried": self.tried}


def choose_calibration(
    logits: Real, truth: Classes, folds: Sequence[Classes], offset: Real | None = None
) -> Calibration:
    """Keep a temperature, or an offset, only where it makes the likelihood of other groups better.

    Each candidate is fitted without a fold and judged on it, for every fold. On a tie the simplest stays. The
    one that is kept is fitted on all rows. Without two folds nothing can be judged, and no temperature is
    kept.

    Args:
        logits: (n, k) of rows that the classifier was not fitted on.
        truth: (n,) their classes.
        folds: row numbers of each fold, of whole groups; together all rows.
        offset: (k,) that may be added to the scaled logits, such as what undoes class weights.
    """
    none = np.zeros(logits.shape[1])
    candidates = {NONE: (none, False), TEMPERATURE: (none, True)}
    if offset is not None:
        candidates = {NONE: (none, False), OFFSET: (offset, False), BOTH: (offset, True)}
    filled = [rows for rows in folds if len(rows)]
    if len(filled) < 2:
        candidates = {name: one for name, one in candidates.items() if not one[1]}
    judged = {
        name: _judged(logits, truth, filled, added, scaled) for name, (added, scaled) in candidates.items()
    }
    tried = {name: negative_log_likelihood(one, truth) for name, one in judged.items()}
    chosen = min(tried, key=lambda name: tried[name])
    added, scaled = candidates[chosen]
    temperature = fit_temperature(logits, truth, added) if scaled else 1.0
    return Calibration(chosen, temperature, added, tried, judged[chosen])


def _judged(logits: Real, truth: Classes, folds: Sequence[Classes], offset: Real, scaled: bool) -> Real:
    """Return the logits (n, k) of each fold, calibrated by the others."""
    if not scaled:
        return logits + offset
    changed = np.empty_like(logits)
    for test in folds:
        others = np.ones(len(truth), dtype=np.bool_)
        others[test] = False
        changed[test] = logits[test] / fit_temperature(logits[others], truth[others], offset) + offset
    return changed


def negative_log_likelihood(logits: Real, truth: Classes) -> float:
    """Mean negative log-likelihood in nats of the true classes (n,) under logits (n, k)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normal = np.log(np.exp(shifted).sum(axis=1))
    return float((normal - shifted[np.arange(len(truth)), truth]).mean())


def fit_temperature(logits: Real, truth: Classes, offset: Real | None = None) -> float:
    """Fit the temperature T for which logits / T + offset fit held-out classes best (Guo et al. 2017).

    Args:
        logits: (n, k) of rows that the classifier was not fitted on.
        truth: (n,) their classes.
        offset: (k,) added to each class's scaled logit; None: nothing.

    Returns:
        T > 0; above 1 where the classifier was too sure of itself.
    """
    added = np.zeros(logits.shape[1]) if offset is None else offset

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits * np.exp(-log_temperature) + added, truth)

    found = minimize_scalar(loss, bounds=LOG_RANGE, method="bounded", options={"xatol": 1e-4})
    # The search is local; a classifier that needs no mending must not be made worse.
    return float(np.exp(found.x)) if found.fun <= loss(0.0) else 1.0


def calibration_error(probabilities: Real, truth: Classes, bins: int = 15) -> float:
    """Return the expected calibration error: confidence against accuracy over equal bins (Guo et al.)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def calibration_report(calibration: Calibration, logits: Real, truth: Classes) -> dict[str, Any]:
    """Return likelihood and calibration error before and after, on groups other than those it was fitted on.

    Args:
        calibration: that was chosen for these rows.
        logits: (n, k), as they were.
        truth: (n,) their classes.
    """
    return {
        "nll_raw": negative_log_likelihood(logits, truth),
        "nll_calibrated": negative_log_likelihood(calibration.judged, truth),
        "calibration_error_raw": calibration_error(softmax(logits), truth),
        "calibration_error_calibrated": calibration_error(softmax(calibration.judged), truth),
        "calibration": calibration.as_json(),
    }
