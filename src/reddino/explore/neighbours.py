"""Which vectors lie near each other, and which lie far from all others of their source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from reddino.embed.encoder import Vectors

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Neighbours that an outlier score averages over.
OUTLIER_NEIGHBOURS = 10
#: Of a larger source, so many vectors drawn at random stand for all when distances are measured.
MOST_REFERENCES = 20_000
# A block of distances takes at most this many float32 numbers (64 MB).
_BLOCK_NUMBERS = 2**24


def nearest(corpus: Vectors, queries: Vectors, k: int) -> tuple[Indices, Real]:
    """Rows (m, k) of `corpus` (n, d) nearest to each query (m, d), nearest first, and their distances (m, k).

    Euclidean. A float32 matrix product finds the rows; the distances are then computed in float64, and
    neighbours whose distances differ by less than the product's rounding may be swapped with the next.
    """
    k = min(k, len(corpus))
    # Distances do not change under translation, and small numbers round less.
    centre = corpus.mean(axis=0, dtype=np.float64).astype(np.float32)
    moved = corpus - centre
    norms = np.einsum("ij,ij->i", moved, moved)
    found, far = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    block = max(1, _BLOCK_NUMBERS // len(corpus))
    for first in range(0, len(queries), block):
        asked = queries[first : first + block] - centre
        # |x - y|^2 less |x|^2, which is the same for the whole row.
        approximate = torch.from_numpy(norms - 2 * (asked @ moved.T))
        rows = torch.topk(approximate, k, dim=1, largest=False).indices.numpy()
        gaps = moved[rows].astype(np.float64) - asked[:, None].astype(np.float64)
        distances = np.sqrt(np.einsum("ijk,ijk->ij", gaps, gaps))
        order = np.argsort(distances, axis=1, kind="stable")
        found[first : first + block] = np.take_along_axis(rows, order, axis=1)
        far[first : first + block] = np.take_along_axis(distances, order, axis=1)
    return found, far


def outlier_scores(
    vectors: Vectors,
    sources: Sequence[str],
    *,
    k: int = OUTLIER_NEIGHBOURS,
    most: int = MOST_REFERENCES,
    seed: int = 0,
) -> Real:
    """How far each vector lies from its own source: 1 is the source's median, 2 is twice as far.

    The score is the mean Euclidean distance to the k nearest other vectors of the same source, divided by
    the median of that over the source, so that a source with a coarser picture has not more outliers.

    Args:
        vectors: (n, d).
        sources: (n,).
        k: neighbours; in a source of k vectors or fewer, as many as there are.
        most: in a source of more vectors, neighbours are sought among so many, drawn at random.
        seed: of that draw.

    Returns:
        (n,); NaN for the only vector of a source.
    """
    scores = np.full(len(vectors), np.nan)
    names = np.asarray(sources, dtype=np.str_)
    for number, name in enumerate(np.unique(names)):
        rows = np.flatnonzero(names == name)
        if len(rows) < 2:
            continue
        references = rows
        if len(rows) > most:
            draw = np.random.default_rng([seed, number])
            references = np.sort(draw.choice(rows, most, replace=False))
        mean = _mean_distance_to_others(vectors, rows, references, k)
        typical = float(np.median(mean))
        # Where most vectors are equal, any that is not is infinitely unusual; equal ones are ordinary.
        with np.errstate(divide="ignore", invalid="ignore"):
            scores[rows] = np.where(mean == typical, 1.0, mean / typical)
    return scores


def _mean_distance_to_others(vectors: Vectors, rows: Indices, references: Indices, k: int) -> Real:
    """Mean distance (m,) of `rows` to their k nearest `references`, themselves left out."""
    near, distances = nearest(vectors[references], vectors[rows], min(k + 1, len(references)))
    own = references[near] == rows[:, None]
    distances = np.where(own, np.inf, distances)
    distances.sort(axis=1)
    count = min(k, len(references) - 1)
    mean: Real = distances[:, :count].mean(axis=1)
    return mean
