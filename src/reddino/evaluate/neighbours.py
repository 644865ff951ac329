"""Exact nearest neighbours in flat memory: a fast product finds a shortlist, float64 ranks it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reddino.embed.encoder import Vectors
from reddino.runtime import cpu_computes_bf16

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

# A block of approximate distances takes at most this many numbers (128 MB as float32).
BLOCK_NUMBERS = 2**25
# Vectors that are ranked at once in float64, as numbers (16 MB).
RANKED_NUMBERS = 2**21
# Columns of which only the least is looked at first.
LANE = 64
# Past this, ranking a shortlist costs as much as ranking everything.
LONGEST_SHORTLIST = 4096
# Below this many multiplications the conversion to bfloat16 is not worth its while.
WORTH_BF16 = 2**32


def nearest(train: Vectors, queries: Vectors, k: int) -> Indices:
    """Rows (m, k) of `train` nearest to each query, nearest first; equal distances in order of the row.

    A product of low precision gives a shortlist, which float64 ranks. Where the product's rounding error, or
    many equal distances, could have kept a true neighbour off it, a longer one is tried, then all rows.
    """
    block = min(max(1, BLOCK_NUMBERS // max(1, len(train))), max(1, len(queries)))
    corpus = _Corpus(train, block, bf16=cpu_computes_bf16() and train.size * len(queries) > WORTH_BF16)
    found = np.empty((len(queries), k), dtype=np.int64)
    shortlist = max(2 * k, k + 28)
    unsure = np.arange(len(queries))
    while len(unsure) and shortlist < min(len(train), LONGEST_SHORTLIST):
        still: list[Indices] = []
        for rows in np.split(unsure, range(block, len(unsure), block)):
            candidates, beyond = corpus.shortlist(queries[rows], shortlist, k)
            found[rows], farthest = _rank(train, queries[rows], candidates, k)
            still.append(rows[farthest >= beyond])
        unsure = np.concatenate(still)
        shortlist *= 8
    for row in unsure:
        found[row] = _exhaustive(train, queries[row], k)
    return found


class _Corpus:
    """Training vectors ready for products with queries; float32, or bfloat16 where hardware computes it."""

    def __init__(self, train: Vectors, block: int, *, bf16: bool) -> None:
        # Distances do not change under translation, and small numbers round less.
        self.centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        points = train - self.centre
        norms = np.einsum("ij,ij->i", points, points)
        self.longest = float(norms.max()) ** 0.5
        self.bf16 = bf16
        if bf16:
            self.norms = torch.from_numpy(norms)
            self.rounded, moved = _rounded(points)
            self.moved = float(moved.max())
        else:
            # A last coordinate |y|^2 against 1 makes the product itself -2 x.y + |y|^2.
            self.points = np.concatenate([-2 * points, norms[:, None]], axis=1)
            self.product = np.empty((block, len(train)), dtype=np.float32)

    def shortlist(self, queries: Vectors, size: int, k: int) -> tuple[Indices, Real]:
        """Candidates (b, k or more), and squared distances (b,) below which no row past the list lies.

        Of the `size` least approximate distances those are left out that lie too far behind the k-th to be
        among the k nearest, whatever the rounding was.
        """
        asked = queries - self.centre
        own = np.linalg.norm(asked.astype(np.float64), axis=1)
        error = self._summing_error(own, asked.shape[1])
        # |x - y|^2 less |x|^2, which is the same for the whole row.
        if self.bf16:
            rounded, moved = _rounded(asked)
            approximate = torch.add(self.norms, rounded @ self.rounded.T, alpha=-2)
            error += self._rounding_error(own, moved)
        else:
            out = self.product[: len(asked)]
            # numpy's library, since torch's takes a generic path on some processors, and may multiply in
            # lower precision if so asked elsewhere.
            np.matmul(np.pad(asked, ((0, 0), (0, 1)), constant_values=1), self.points.T, out=out)
            approximate = torch.from_numpy(out)
        values, rows = _smallest(approximate, size)
        values, order = values.float().sort(dim=1)
        near = values.numpy().astype(np.float64)
        needed = int((near <= near[:, k - 1 : k] + 2 * error[:, None]).sum(axis=1).max())
        return rows.gather(1, order[:, :needed]).numpy(), near[:, -1] + own**2 - error

    def _summing_error(self, own: Real, dim: int) -> Real:
        """Bound (b,) on the rounding error of a float32 squared distance, however it is summed."""
        bound: Real = (dim + 5) * float(np.finfo(np.float32).eps) * (own + self.longest) ** 2
        return bound

    def _rounding_error(self, own: Real, moved: Real) -> Real:
        """Bound (b,) on what bfloat16 adds to it: |x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|."""
        inputs = moved * self.longest + (own + moved) * self.moved
        # The product itself is rounded to 8 bits as well.
        output = float(torch.finfo(torch.bfloat16).eps) * (own * self.longest + inputs)
        bound: Real = 2 * (inputs + output)
        return bound


def _rounded(points: Vectors) -> tuple[Tensor, Real]:
    """Points (n, d) in bfloat16, and how far (n,) that moved each."""
    exact = torch.from_numpy(points)
    rounded = exact.bfloat16()
    moved = torch.linalg.vector_norm(exact - rounded.float(), dim=1)
    return rounded, moved.numpy().astype(np.float64)


def _smallest(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The `size` least values of each row (b, n), unsorted, and their columns.

    The least s values lie in lanes whose own least is among the s least of all lanes' (but for ties), so
    that a selection over n / LANE numbers replaces one over n.
    """
    columns = values.shape[1]
    lanes = columns // LANE
    if lanes < 4 * size:
        return torch.topk(values, size, dim=1, largest=False, sorted=False)
    whole = lanes * LANE
    # Lane j holds the columns j, j + lanes, ...: rows then lie in memory as they are read.
    by_lane = values[:, :whole].view(len(values), LANE, lanes)
    chosen = torch.topk(by_lane.amin(dim=1), size, dim=1, largest=False, sorted=False).indices
    steps = torch.arange(LANE)[:, None] * lanes
    candidates = (chosen[:, None, :] + steps).flatten(1)
    tail = torch.arange(whole, columns).expand(len(values), -1)
    candidates = torch.cat([candidates, tail], dim=1)
    found, place = torch.topk(values.gather(1, candidates), size, dim=1, largest=False, sorted=False)
    return found, candidates.gather(1, place)


def _rank(train: Vectors, queries: Vectors, candidates: Indices, k: int) -> tuple[Indices, Real]:
    """The k nearest of each row's candidates in float64, and the squared distance (b,) of the k-th."""
    candidates = np.sort(candidates, axis=1)
    squared = np.empty(candidates.shape)
    step = max(1, RANKED_NUMBERS // max(1, candidates.shape[1] * train.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        difference = train[candidates[part]].astype(np.float64)
        difference -= queries[part, None]
        squared[part] = np.einsum("bnd,bnd->bn", difference, difference)
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
