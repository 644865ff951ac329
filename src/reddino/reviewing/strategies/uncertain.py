"""Uncertainty sampling: the cells of which the current classifier is least sure.

The scores equal those of scikit-activeml's `uncertainty_scores` (the tests compare them), whose import alone
takes longer than a page may take to open.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


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


def most_first(value: Probabilities, count: int) -> Numbers:
    """Return the places (k <= count,) of the greatest values (n,), greatest first."""
    count = min(count, len(value))
    best = np.argpartition(-value, count - 1)[:count] if 0 < count < len(value) else np.arange(len(value))
    found: Numbers = best[np.argsort(-value[best], kind="stable")].astype(np.int64)
    return found


def doubtful_by_class(probabilities: Probabilities, count: int) -> dict[int, Numbers]:
    """Return by predicted class the places (k <= count,) of its cells with the least margin, least first."""
    predicted, doubt = probabilities.argmax(axis=1), margin(probabilities)
    found = {}
    for one in np.unique(predicted).tolist():
        own = np.flatnonzero(predicted == one)
        found[one] = own[most_first(doubt[own], count)].astype(np.int64)
    return found
