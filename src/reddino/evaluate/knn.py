"""Exact k-nearest-neighbour classification in flat memory, equal to scikit-learn's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from reddino.embed.encoder import Vectors
from reddino.errors import RedDinoError

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

# A block of approximate distances takes at most this many float32 numbers (64 MB).
BLOCK_NUMBERS = 2**24
# Past this, ranking a shortlist costs as much as ranking everything.
LONGEST_SHORTLIST = 4096


def predict(
    train: Vectors, labels: Indices, test: Vectors, ks: Sequence[int] = (1, 20)
) -> Mapping[int, Indices]:
    """Predict class numbers by uniform votes of the k nearest training rows (Euclidean, raw features).

    One search serves every k. A tie in votes goes to the smallest class number, as in scikit-learn.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
        ks: numbers of neighbours.

    Returns:
        For each k, (m,) class numbers.

    Raises:
        RedDinoError: fewer training rows than the largest k.
    """
    if len(train) < max(ks):
        raise RedDinoError(
            f"{max(ks)}-NN needs at least {max(ks)} training cells, but there are {len(train)}."
        )
    voters = labels[nearest(train, test, max(ks))]
    return {k: vote(voters[:, :k]) for k in ks}


def vote(voters: Indices) -> Indices:
    """The most frequent class number of each row (m, k); the smallest on a tie."""
    classes = int(voters.max(initial=0)) + 1
    counts = np.zeros((len(voters), classes), dtype=np.int64)
    np.add.at(counts, (np.arange(len(voters))[:, None], voters), 1)
    winners: Indices = counts.argmax(axis=1)
    return winners


def nearest(train: Vectors, queries: Vectors, k: int) -> Indices:
    """Rows (m, k) of `train` nearest to each query, nearest first; equal distances in order of the row.

    A float32 matrix product gives a shortlist, which float64 ranks. Where the product's rounding error, or
    many equal distances, could have kept a true neighbour off it, a longer one is tried, then all rows.
    """
    # Distances do not change under translation, and small numbers round less.
    centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    corpus, asked = train - centre, queries - centre
    norms = np.einsum("ij,ij->i", corpus, corpus)
    found = np.empty((len(queries), k), dtype=np.int64)
    block = max(1, BLOCK_NUMBERS // len(train))
    shortlist = max(2 * k, k + 16)
    unsure = np.arange(len(queries))
    while len(unsure) and shortlist < min(len(train), LONGEST_SHORTLIST):
        still: list[Indices] = []
        for rows in np.split(unsure, range(block, len(unsure), block)):
            candidates, beyond = _shortlist(corpus, norms, asked[rows], shortlist)
            found[rows], farthest = _rank(train, queries[rows], candidates, k)
            still.append(rows[farthest >= beyond - _product_error(asked[rows], float(norms.max()))])
        unsure = np.concatenate(still)
        shortlist *= 8
    for row in unsure:
        found[row] = _exhaustive(train, queries[row], k)
    return found


def _shortlist(corpus: Vectors, norms: Vectors, asked: Vectors, size: int) -> tuple[Indices, Real]:
    """Candidates (b, size), and the largest approximate squared distance (b,) among them."""
    # |x - y|^2 less |x|^2, which is the same for the whole row.
    approximate = asked @ corpus.T
    approximate *= -2
    approximate += norms
    values, rows = torch.topk(torch.from_numpy(approximate), size, dim=1, largest=False, sorted=False)
    own = np.einsum("ij,ij->i", asked, asked, dtype=np.float64)
    return rows.numpy(), values.numpy().max(axis=1).astype(np.float64) + own


def _product_error(asked: Vectors, largest_norm: float) -> Real:
    """Bound (b,) on an approximate squared distance's rounding error: d eps (|x| + |y|)^2, summed anyhow."""
    own = np.linalg.norm(asked.astype(np.float64), axis=1)
    eps = float(np.finfo(np.float32).eps)
    bound: Real = (asked.shape[1] + 4) * eps * (own + np.sqrt(largest_norm)) ** 2
    return bound


def _rank(train: Vectors, queries: Vectors, candidates: Indices, k: int) -> tuple[Indices, Real]:
    """The k nearest of each row's candidates in float64, and the squared distance (b,) of the k-th."""
    candidates = np.sort(candidates, axis=1)
    squared = np.stack(
        [_squared_distances(train[near], query) for near, query in zip(candidates, queries, strict=True)]
    )
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    ranked = np.take_along_axis(candidates, order, axis=1)
    return ranked, np.take_along_axis(squared, order[:, -1:], axis=1)[:, 0]


def _exhaustive(train: Vectors, query: Vectors, k: int, block: int = 8192) -> Indices:
    """The k nearest rows of one query, all distances in float64."""
    squared = np.concatenate(
        [_squared_distances(train[start : start + block], query) for start in range(0, len(train), block)]
    )
    return np.argsort(squared, kind="stable")[:k].astype(np.int64)


def _squared_distances(points: Vectors, query: Vectors) -> Real:
    """Squared Euclidean distances (n,) of points (n, d) to one query (d,), in float64."""
    difference = points.astype(np.float64) - query.astype(np.float64)
    squared: Real = np.einsum("ij,ij->i", difference, difference)
    return squared
