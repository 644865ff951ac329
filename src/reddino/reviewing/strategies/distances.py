"""Squared distances between cells' components, a block at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors

Numbers = npt.NDArray[np.int64]

#: Distances that are held at once (64 MB).
BLOCK_NUMBERS = 2**24


def squared(points: Vectors, others: Vectors) -> Vectors:
    """Return squared Euclidean distances (n, m) of points (n, p) to others (m, p)."""
    lengths = np.einsum("ij,ij->i", points, points)[:, None] + np.einsum("ij,ij->i", others, others)
    found: Vectors = np.maximum(lengths - 2 * (points @ others.T), 0)
    return found


def to_nearest(points: Vectors, others: Vectors) -> Vectors:
    """Return the squared distance (n,) of each point to the nearest of others (m, p); infinity if m is 0."""
    least = np.full(len(points), np.inf, dtype=np.float32)
    if not len(others):
        return least
    step = max(1, BLOCK_NUMBERS // len(others))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        least[part] = squared(points[part], others).min(axis=1)
    return least


def nearest_of(points: Vectors, others: Vectors) -> Numbers:
    """Return which of others (m, p) is nearest to each point (n,)."""
    found = np.empty(len(points), dtype=np.int64)
    step = max(1, BLOCK_NUMBERS // max(1, len(others)))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        found[part] = squared(points[part], others).argmin(axis=1)
    return found
