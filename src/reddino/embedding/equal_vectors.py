"""Equal vectors: copies of one picture, or a network that collapsed; and the notes on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from reddino.embedding.view_encoder import Vectors

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Vectors that differ by less than this fraction of their typical length differ by rounding alone.
ROUNDING = 1e-5
#: Fraction of equal vectors from which results carry a note.
WORTH_A_NOTE = 0.1
_DIRECTIONS = 4
_BLOCK = 16_384


@dataclass(frozen=True)
class EqualVectors:
    """Which vectors are the same, but for rounding.

    Attributes:
        group: (n,) number of the vector each row has; rows with one number have equal vectors.
        first: (m,) the first row of each group.
    """

    group: Indices
    first: Indices

    @property
    def count(self) -> int:
        """Rows whose vector another row has too."""
        sizes = np.bincount(self.group, minlength=len(self.first))
        return int(sizes[sizes > 1].sum())

    def sentence(self) -> str:
        """Describe how many are equal, and what that may mean; "" where all differ."""
        rows, different = len(self.group), len(self.first)
        if self.count == 0:
            return ""
        if different == 1:
            return f"{rows} of {rows} vectors are equal: a network that collapsed, or copies of one picture"
        return (
            f"{self.count} of {rows} vectors are equal to another ({different} are different): copies of "
            "pictures, or a network that sees no difference"
        )


def equal_vectors(vectors: Vectors) -> EqualVectors:
    """Find equal vectors among vectors (n, d), in time that hardly grows faster than n.

    Candidates fall into one cell, or neighbouring ones, of a fine grid over a few fixed random directions;
    they are equal if no two of them can be farther apart than `ROUNDING`.
    """
    if not len(vectors):
        return EqualVectors(np.empty(0, np.int64), np.empty(0, np.int64))
    lengths = np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1) for block in _blocks(vectors)])
    reach = ROUNDING * float(np.median(lengths[lengths > 0])) if lengths.any() else 0.0
    candidates = _candidates(vectors, reach) if reach else np.zeros(len(vectors), np.int64)
    group = _confirmed(vectors, candidates, reach)
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    return EqualVectors(group.reshape(-1).astype(np.int64), first.astype(np.int64))


def equal_notes(vectors: Vectors) -> list[str]:
    """Return a note for results where so many vectors (n, d) are equal that scores mean something else."""
    found = equal_vectors(vectors)
    return [f"{found.sentence()}."] if found.count >= WORTH_A_NOTE * len(vectors) and found.count else []


def _candidates(vectors: Vectors, reach: float) -> Indices:
    """Return the number (n,) of each row's connected cells in a grid of `reach` a side."""
    directions = np.random.default_rng(0).normal(size=(vectors.shape[1], _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    places = np.concatenate([block.astype(np.float64) @ directions for block in _blocks(vectors)])
    cells, own = np.unique(np.floor(places / reach), axis=0, return_inverse=True)
    near = cKDTree(cells).query_pairs(1.5, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(near), np.int8), (near[:, 0], near[:, 1])), shape=(len(cells),) * 2)
    return np.asarray(connected_components(links, directed=False)[1], np.int64)[own.reshape(-1)]


def _confirmed(vectors: Vectors, candidates: Indices, reach: float) -> Indices:
    """Separate those candidates (n,) whose vectors are not within reach of each other after all."""
    group = candidates.copy()
    fresh = int(candidates.max()) + 1
    order = np.argsort(candidates, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(candidates[order])) + 1):
        if len(rows) == 1:
            continue
        mean = vectors[rows].mean(axis=0, dtype=np.float64)
        far = max(float(np.linalg.norm(vectors[part] - mean, axis=1).max()) for part in _blocks_of(rows))
        if far > reach / 2:
            _, exact = np.unique(vectors[rows] + np.float32(0), axis=0, return_inverse=True)
            group[rows] = fresh + exact.reshape(-1)
            fresh += len(rows)
    return group


def _blocks(vectors: Vectors) -> list[Vectors]:
    return [vectors[first : first + _BLOCK] for first in range(0, len(vectors), _BLOCK)]


def _blocks_of(rows: Indices) -> list[Indices]:
    return [rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)]
