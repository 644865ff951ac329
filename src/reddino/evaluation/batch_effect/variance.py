"""The fraction of an embedding's variance that groups explain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors

Groups = npt.NDArray[np.int64]


def eta_squared(vectors: Vectors, groups: Groups) -> float:
    """Return multivariate eta^2: the sum of squares between groups over that of all, over all dimensions.

    The same number as principal-component regression's R^2 weighted by the components' variance (all
    components kept), and as the R^2 of PERMANOVA on Euclidean distances (Anderson 2001).

    Args:
        vectors: (n, d).
        groups: (n,) numbers.

    Returns:
        0 to 1; nan where the vectors do not vary.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    total = float((centred**2).sum())
    return _between(centred, groups) / total if total > 0 else float("nan")


def eta_squared_within(vectors: Vectors, groups: Groups, blocks: Groups) -> float:
    """Return the fraction of all variance that groups explain beyond blocks: eta^2 of both less blocks.

    With sources as groups and classes as blocks: what the source adds to cells of one class. Unlike plain
    eta^2 it is not raised when sources merely hold other classes.
    """
    together = np.unique(np.stack([groups, blocks]), axis=1, return_inverse=True)[1].ravel()
    return eta_squared(vectors, together) - eta_squared(vectors, blocks)


def eta_squared_by_chance(groups: Groups) -> float:
    """Return what groups explain on average where they mean nothing: (k - 1) / (n - 1)."""
    return (len(np.unique(groups)) - 1) / max(len(groups) - 1, 1)


def _between(centred: npt.NDArray[np.float64], groups: Groups) -> float:
    _, own, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), centred.shape[1]))
    np.add.at(sums, own, centred)
    return float(((sums**2).sum(axis=1) / sizes).sum())
