"""Weights against the classes' numbers while a network is tuned, and what its probabilities presume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


def class_weights(truth: Classes, classes: int) -> Real:
    """Return weights (k,) against the classes' numbers, with mean 1 over the cells; 1 for absent classes."""
    counts = np.bincount(truth, minlength=classes)
    present = counts > 0
    return np.where(present, len(truth) / (present.sum() * np.maximum(counts, 1)), 1.0)


def presumed_priors(truth: Classes, weights: Real, *, undone: bool) -> tuple[float, ...]:
    """Return the fraction (k,) of each class that a head presumes which learned with class weights (k,).

    Args:
        truth: (n,) numbers of the classes that the head learned from.
        weights: (k,) its weight of each class.
        undone: whether an offset takes the weights off again.
    """
    counts = np.maximum(np.bincount(truth, minlength=len(weights)), 0.5) * (1.0 if undone else weights)
    return tuple((counts / counts.sum()).tolist())
