"""Calibrated probabilities: temperature scaling, and how far from calibrated a classifier is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Real = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

#: The natural logarithm of the temperature is searched between these.
LOG_RANGE = (-4.0, 4.0)


def softmax(logits: Real) -> Real:
    """Return probabilities (n, k) of logits (n, k)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


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
