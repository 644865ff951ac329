"""How well groups of points are mixed: silhouette, LISI and kBET, as functions of arrays, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.nearest import nearest
from reddino.foundations.errors import RedDinoError

Real = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

#: Rows of distances that are held at once.
BLOCK = 512
#: The entropy of a neighbourhood's weights is met to this many nats.
ENTROPY_TOLERANCE = 1e-5


def silhouette(vectors: Vectors, groups: Groups) -> Real:
    """Return the silhouette (n,) of each point (Rousseeuw 1987), Euclidean, as scikit-learn has it.

    (b - a) / max(a, b), a the mean distance to the others of its group, b that to the nearest other group; 0
    for a point alone in its group.

    Args:
        vectors: (n, d).
        groups: (n,) numbers 0 to k - 1, at least two of them in use.

    Raises:
        RedDinoError: there is one group only.
    """
    points = vectors.astype(np.float64)
    points -= points.mean(axis=0)
    names, own = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise RedDinoError("a silhouette needs at least two groups, and all rows are of one")
    members = np.eye(len(names))[own]
    sizes = members.sum(axis=0)
    values = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        rows = slice(start, start + BLOCK)
        sums = _distances(points[rows], points, start) @ members
        index = np.arange(len(sums))
        mine = own[rows]
        inside = sums[index, mine] / np.maximum(sizes[mine] - 1, 1)
        means = sums / sizes
        means[index, mine] = np.inf
        nearest = means.min(axis=1)
        larger = np.maximum(inside, nearest)
        ratio = np.divide(nearest - inside, larger, out=np.zeros_like(larger), where=larger > 0)
        values[rows] = np.where(sizes[mine] > 1, ratio, 0.0)
    return values


def _distances(block: Real, points: Real, start: int) -> Real:
    """Return Euclidean distances (b, n) from a block of points, which begins at row `start`, to all."""
    squared = (block**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2 * block @ points.T
    # The product leaves a rounding error where the distance is nought.
    squared[np.arange(len(block)), start + np.arange(len(block))] = 0.0
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def neighbours(vectors: Vectors, count: int) -> tuple[Groups, Real]:
    """Return the `count` nearest other points of each: rows and distances (n, count), nearest first."""
    if count < 1:
        raise RedDinoError(f"{len(vectors)} rows are too few to find the neighbours of one")
    if len(vectors) <= count:
        raise RedDinoError(f"{count} neighbours need more than {count} rows, and there are {len(vectors)}")
    found = nearest(vectors, vectors, count + 1)
    own = found == np.arange(len(vectors))[:, None]
    # Among many equal points a point may not be among its own nearest: then the last one gives way.
    own[~own.any(axis=1), -1] = True
    others = found[~own].reshape(len(vectors), count)
    distances = np.empty(others.shape)
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        apart = vectors[others[rows]].astype(np.float64) - vectors[rows, None].astype(np.float64)
        distances[rows] = np.sqrt((apart**2).sum(axis=2))
    return others, distances


def lisi(vectors: Vectors, groups: Groups, perplexity: float = 30) -> Real:
    """Return the local inverse Simpson index (n,): the effective number of groups around each point.

    Korsunsky et al. 2019 (Harmony), as published with it: of the 3 x perplexity nearest points (itself
    counted, then left out) each weighs exp(-beta x distance), with beta such that the weights have the wanted
    perplexity; the index is 1 / sum over groups of (fraction of weight)^2. 1: one group; k: k equal groups.

    Args:
        vectors: (n, d).
        groups: (n,) numbers 0 to k - 1.
        perplexity: effective number of neighbours.
    """
    others, distances = neighbours(vectors, int(perplexity * 3) - 1)
    weights = perplexity_weights(distances, perplexity)
    index = np.zeros(len(vectors))
    for group in np.unique(groups):
        index += np.einsum("ij,ij->i", weights, groups[others] == group) ** 2
    return np.asarray(1.0 / index)


def perplexity_weights(distances: Real, perplexity: float) -> Real:
    """Return weights (n, k) of sum 1, exp(-beta x distance), whose entropy is ln perplexity.

    Bisection on ln beta, all rows at once. Where even equal weights cannot reach the perplexity they are
    equal; distances count from the nearest, which changes nothing but keeps the exponential in range.
    """
    apart = distances - distances[:, :1]
    scale = np.maximum(apart.mean(axis=1, keepdims=True), 1e-300)
    low, high = np.full(scale.shape, -30.0), np.full(scale.shape, 30.0)
    wanted = np.log(min(perplexity, distances.shape[1]))
    for _ in range(64):
        middle = (low + high) / 2
        weights = np.exp(-np.exp(middle) * apart / scale)
        weights /= weights.sum(axis=1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1, keepdims=True)
        if np.abs(entropy - wanted).max() < ENTROPY_TOLERANCE:
            break
        low, high = np.where(entropy > wanted, middle, low), np.where(entropy > wanted, high, middle)
    return np.asarray(weights)


@dataclass(frozen=True)
class Rejections:
    """A k-nearest-neighbour batch effect test.

    Attributes:
        rate: fraction of the tested neighbourhoods whose mix of groups differs from the whole's.
        by_chance: the same with the groups shuffled: what the test rejects without any effect.
        neighbourhood: points of a neighbourhood, its middle among them.
        tested: neighbourhoods.
    """

    rate: float
    by_chance: float
    neighbourhood: int
    tested: int


def kbet(
    vectors: Vectors, groups: Groups, *, neighbourhood: int | None = None, alpha: float = 0.05, seed: int = 0
) -> Rejections:
    """Run the k-nearest-neighbour batch effect test (Büttner et al. 2019): Pearson's chi^2 in neighbourhoods.

    Args:
        vectors: (n, d).
        groups: (n,) numbers 0 to k - 1, at least two of them in use.
        neighbourhood: points of each; None: a quarter of the mean group, between 10 and 100.
        alpha: level of each test.
        seed: of the shuffled groups.

    Raises:
        RedDinoError: one group only, or fewer points than a neighbourhood.
    """
    own = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    count = int(own.max()) + 1
    if count < 2:
        raise RedDinoError("kBET needs at least two groups, and all rows are of one")
    size = neighbourhood or int(np.clip(len(own) / count / 4, 10, 100))
    others, _ = neighbours(vectors, size - 1)
    near = np.concatenate([np.arange(len(own))[:, None], others], axis=1)
    dealt = np.random.default_rng(seed).permutation(own)
    return Rejections(
        rate=float((_p_values(own[near], own) < alpha).mean()),
        by_chance=float((_p_values(dealt[near], dealt) < alpha).mean()),
        neighbourhood=size,
        tested=len(own),
    )


def _p_values(near: Groups, groups: Groups) -> Real:
    """Return p (m,) of the chi^2 test that neighbourhoods (m, size) hold the groups as all (n,) do."""
    count = int(groups.max()) + 1
    expected = np.bincount(groups, minlength=count) / len(groups) * near.shape[1]
    observed = np.stack([(near == group).sum(axis=1) for group in range(count)], axis=1)
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return np.asarray(chdtrc(count - 1, statistic))
