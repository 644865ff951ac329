"""Exact nearest neighbours in flat memory: a fast product finds a shortlist, float64 ranks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reddino.embed.encoder import Vectors
from reddino.runtime import cpu_computes_bf16

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

# A block of approximate distances takes at most this many numbers (64 MB as float32).
BLOCK_NUMBERS = 2**24
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
    corpus = _Corpus(train, bf16=cpu_computes_bf16() and train.size * len(queries) > WORTH_BF16)
    found = np.empty((len(queries), k), dtype=np.int64)
    block = max(1, BLOCK_NUMBERS // max(1, len(train)))
    shortlist = max(2 * k, k + 28)
    unsure = np.arange(len(queries))
    while len(unsure) and shortlist < min(len(train), LONGEST_SHORTLIST):
        still: list[Indices] = []
        for rows in np.split(unsure, range(block, len(unsure), block)):
            candidates, beyond = corpus.shortlist(queries[rows], shortlist)
            found[rows], farthest = _rank(train, queries[rows], candidates, k)
            still.append(rows[farthest >= beyond])
        unsure = np.concatenate(still)
        shortlist *= 8
    for row in unsure:
        found[row] = _exhaustive(train, queries[row], k)
    return found


class _Corpus:
    """Training vectors ready for products with queries; float32, or bfloat16 where hardware computes it."""

    def __init__(self, train: Vectors, *, bf16: bool) -> None:
        # Distances do not change under translation, and small numbers round less.
        self.centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        points = torch.from_numpy(train - self.centre)
        self.norms = torch.linalg.vector_norm(points, dim=1).square_()
        self.points, self.rounding = _rounded(points, self.dtype)
        self.longest = float(self.norms.max()) ** 0.5

    def shortlist(self, queries: Vectors, size: int) -> tuple[Indices, Real]:
        """Candidates (b, size), and a squared distance (b,) below which no other row can be."""
        asked = torch.from_numpy(queries - self.centre)
        rounded, error = _rounded(asked, self.dtype)
        with _float32_products():
            product = rounded @ self.points.T
        # |x - y|^2 less |x|^2, which is the same for the whole row.
        approximate = torch.add(self.norms, product, alpha=-2)
        values, rows = _smallest(approximate, size)
        own = np.linalg.norm(asked.numpy().astype(np.float64), axis=1)
        beyond = values.numpy().max(axis=1).astype(np.float64) + own**2
        return rows.numpy(), beyond - self._error(own, error.numpy().astype(np.float64), asked.shape[1])

    def _error(self, own: Real, rounding: Real, dim: int) -> Real:
        """Bound (b,) on the rounding error of an approximate squared distance, however it was summed."""
        reach = own + self.longest
        eps = float(np.finfo(np.float32).eps)
        bound: Real = (dim + 4) * eps * reach**2
        if self.dtype == torch.bfloat16:
            # Inputs: |x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|. The product itself is rounded to 8 bits.
            inputs = rounding * self.longest + (own + rounding) * self.rounding.max().item()
            product = float(torch.finfo(torch.bfloat16).eps) * (own * self.longest + inputs)
            bound += 2 * (inputs + product)
        return bound


@contextmanager
def _float32_products() -> Iterator[None]:
    """Products whose float32 is float32: "medium" is faster, but may multiply in bfloat16 where it can."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if cpu_computes_bf16() else "medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _rounded(points: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Points (n, d) in another number type, and how far (n,) that moved each."""
    if dtype == torch.float32:
        return points, torch.zeros(len(points))
    rounded = points.to(dtype)
    return rounded, torch.linalg.vector_norm(points - rounded.float(), dim=1)


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
