"""Uncertainty sampling: the cells of which the current classifier is least sure.

The scores equal those of scikit-activeml's `uncertainty_scores` (the tests compare them), whose import alone
takes longer than a page may take to open.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]


def margin(probabilities: Probabilities) -> Probabilities:
    """Return 1 less the gap between the two likeliest classes (n,), of probabilities (n, k)."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities), dtype=np.float32)
    top = np.partition(probabilities, -2, axis=1)
    return np.asarray(1 - (top[:, -1] - top[:, -2]), dtype=np.float32)


def entropy(probabilities: Probabilities) -> Probabilities:
    """Return the entropy in nats (n,) of probabilities (n, k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(probabilities > 0, probabilities * np.log(probabilities), 0.0)
    return np.asarray(-parts.sum(axis=1), dtype=np.float32)
