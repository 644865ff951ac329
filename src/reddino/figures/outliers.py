"""Distances between vectors: the nearest to each other, and those far from all others of their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.nearest import nearest as nearest_rows
from reddino.figures.palette import numbered

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Neighbours that an outlier score averages over.
OUTLIER_NEIGHBOURS = 10
#: Of a larger source, so many vectors drawn at random stand for all when distances are measured.
MOST_REFERENCES = 20_000
# Gaps between vectors that are held at once take at most this many numbers (16 MB).
_BLOCK_NUMBERS = 2**21


def nearest(corpus: Vectors, queries: Vectors, k: int) -> tuple[Indices, Real]:
    """Return rows (m, k) of `corpus` (n, d) nearest to queries (m, d), nearest first, and distances (m, k).

    Euclidean and exact, as `reddino.evaluation.nearest.nearest`; k is n where there are no more.
    """
    k = min(k, len(corpus))
    found = nearest_rows(corpus, queries, k)
    far = np.empty(found.shape)
    step = max(1, _BLOCK_NUMBERS // max(1, k * corpus.shape[1]))
    for first in range(0, len(queries), step):
        part = slice(first, first + step)
        gaps = corpus[found[part]].astype(np.float64) - queries[part, None]
        far[part] = np.sqrt(np.einsum("ijk,ijk->ij", gaps, gaps))
    return found, far


def outlier_scores(
    vectors: Vectors,
    sources: Sequence[str],
    *,
    k: int = OUTLIER_NEIGHBOURS,
    most: int = MOST_REFERENCES,
    seed: int = 0,
) -> Real:
    """Score how far each vector lies from its own source: 1 is the source's median, 2 is twice as far.

    The score is the mean Euclidean distance to the k nearest other vectors of the same source, divided by
    the median of that over the source, so that a source with a coarser picture has not more outliers.

    Args:
        vectors: (n, d).
        sources: (n,).
        k: neighbours; in a source of k vectors or fewer, as many as there are.
        most: in a source of more vectors, neighbours are sought among so many, drawn at random.
        seed: of that draw.

    Returns:
        (n,); NaN for the only vector of a source; infinite, and so the highest, for those that differ where
        most of a source's vectors are equal.
    """
    return fit_outliers(vectors, sources, k=k, most=most, seed=seed)[0]


@dataclass(frozen=True)
class SourceScale:
    """What the vectors of one source are measured by.

    Attributes:
        references: (m, d) among which neighbours are sought.
        typical: median distance to these over the vectors that the scale was found on.
        k: neighbours.
    """

    references: Vectors
    typical: float
    k: int

    def scores(self, vectors: Vectors) -> Real:
        """Return the scores (n,) of further vectors (n, d): none of those that the scale was found on."""
        others, own = np.full(len(vectors), -1), np.arange(len(self.references))
        near = _mean_distance(self.references, own, vectors, others, self.k)
        return _over(near, self.typical)


def fit_outliers(
    vectors: Vectors,
    sources: Sequence[str],
    *,
    k: int = OUTLIER_NEIGHBOURS,
    most: int = MOST_REFERENCES,
    seed: int = 0,
) -> tuple[Real, Mapping[str, SourceScale]]:
    """Return what `outlier_scores` returns, and by source the scale for further vectors of it.

    A source of a single vector has no scale.
    """
    scores = np.full(len(vectors), np.nan)
    scales: dict[str, SourceScale] = {}
    names = sorted(set(sources))
    of_source = numbered(sources, names)
    for number in range(len(names)):
        rows = np.flatnonzero(of_source == number)
        if len(rows) < 2:
            continue
        references = rows
        if len(rows) > most:
            draw = np.random.default_rng([seed, number])
            references = np.sort(draw.choice(rows, most, replace=False))
        mean = _mean_distance(vectors[references], references, vectors[rows], rows, k)
        scales[names[number]] = SourceScale(vectors[references], float(np.median(mean)), k)
        scores[rows] = _over(mean, scales[names[number]].typical)
    return scores, scales


def _over(mean: Real, typical: float) -> Real:
    """Return distances (n,) over the typical one.

    Where most vectors are equal, any that is not is infinitely unusual; equal ones are ordinary.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean == typical, 1.0, mean / typical)


def _mean_distance(references: Vectors, numbers: Indices, vectors: Vectors, rows: Indices, k: int) -> Real:
    """Return the mean distance (n,) of vectors to their k nearest references, themselves left out.

    Args:
        references: (m, d).
        numbers: (m,) rows of these.
        vectors: (n, d).
        rows: (n,) of these.
        k: neighbours.
    """
    near, distances = nearest(references, vectors, min(k + 1, len(references)))
    own = numbers[near] == rows[:, None]
    distances = np.where(own, np.inf, distances)
    distances.sort(axis=1)
    count = min(k, len(references) - 1)
    mean: Real = distances[:, :count].mean(axis=1)
    return mean
