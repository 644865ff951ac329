"""Exact nearest neighbours in flat memory: a fast product finds a shortlist, float64 ranks it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reddino.embedding.view_encoder import Vectors
from reddino.foundations.runtime import cpu_computes_bf16

Indices = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

# Approximate distances of a block of queries take at most this many bytes.
BLOCK_BYTES = 2**27
# Rows of the corpus that are multiplied at once: the result is read before it leaves the cache.
TILE = 8192
# Columns of which only the least is read first; in large corpora tiles are so many lanes, or a multiple.
LANE, LANES = 64, 32
# Vectors that are ranked at once in float64, as numbers (2 MB).
RANKED_NUMBERS = 2**18
# Past this, ranking a shortlist costs as much as ranking everything.
LONGEST_SHORTLIST = 4096
# Below this many multiplications the conversion to bfloat16 is not worth its while.
WORTH_BF16 = 2**32
# Queries that are handled together, at most, and candidates of theirs that are gathered at once.
BLOCK_ROWS, GATHERED = 2048, 2**21
# Half a squared distance of what is no row, and numbers whose squares stay far below it.
FAR, LARGEST = 1e37, 1e15


def nearest(train: Vectors, queries: Vectors, k: int) -> Indices:
    """Return the rows (m, k) of `train` nearest to each query, nearest first; ties in order of the row.

    A product of low precision gives a shortlist, which float64 ranks. Where the product's rounding error, or
    many equal distances, could have kept a true neighbour off it, a longer one is tried, then all rows.
    """
    found = np.empty((len(queries), k), dtype=np.int64)
    if not all(np.abs(part).max(initial=0) < LARGEST for part in (train, queries)):  # or not a number
        for row, query in enumerate(queries):
            found[row] = _exhaustive(train, query, k)
        return found
    corpus = _Corpus(train, len(queries), bf16=cpu_computes_bf16() and train.size * len(queries) > WORTH_BF16)
    for start in range(0, len(queries), corpus.block):
        block = queries[start : start + corpus.block]
        near = corpus.approximate(block)
        unsure, shortlist = np.arange(len(block)), max(2 * k, k + 28)
        while len(unsure) and shortlist < min(len(train), LONGEST_SHORTLIST):
            candidates, beyond = near.shortlist(unsure, shortlist, k)
            found[start + unsure], farthest = _rank(train, block[unsure], candidates, k)
            unsure = unsure[~(farthest < beyond)]
            shortlist *= 8
        for row in unsure.tolist():
            found[start + row] = _exhaustive(train, block[row], k)
    return found


class _Corpus:
    """Training vectors ready for products with queries; float32, or bfloat16 where hardware computes it.

    Further coordinates hold the squared lengths of both sides, so that the product itself is half the squared
    distance. It is small where it matters, and rounding takes a fraction of it.
    """

    def __init__(self, train: Vectors, queries: int, *, bf16: bool) -> None:
        # Distances do not change under translation, and small numbers round less.
        self.centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.rows, self.bf16 = len(train), bf16
        tiles = -(-self.rows // TILE)
        unit = LANE * (LANES if self.rows > 4 * LANE * LANES else 1)
        self.tile = -(-self.rows // (tiles * unit)) * unit
        points = np.zeros((tiles * self.tile, train.shape[1]), np.float32)
        np.subtract(train, self.centre, out=points[: self.rows])
        half = np.einsum("ij,ij->i", points, points) / 2
        self.longest = float(2 * half.max()) ** 0.5
        half[self.rows :] = FAR
        kind = torch.bfloat16 if bf16 else torch.float32
        exact = torch.from_numpy(points)
        rounded = exact.to(kind)
        self.moved = float(_moved(exact, rounded).max()) if bf16 else 0.0
        norms = _parts(torch.from_numpy(half), kind)
        corpus = torch.cat([rounded.neg_(), norms, torch.ones_like(norms)], dim=1)
        self.tiles = [part.T for part in torch.split(corpus, self.tile)]
        size = torch.empty((), dtype=kind).element_size()
        self.block = min(max(1, BLOCK_BYTES // (size * len(corpus))), BLOCK_ROWS, max(1, queries))
        self.products = torch.empty((tiles, self.block, self.tile), dtype=kind)
        self.least = torch.empty((self.block, tiles, self.tile // LANE), dtype=kind)

    def approximate(self, queries: Vectors) -> _Near:
        """Return half the squared distances of up to `block` queries (b, d) to all rows."""
        exact = torch.from_numpy(queries - self.centre)
        own = exact.double().square().sum(dim=1)
        rounded = exact.to(self.products.dtype)
        norms = _parts((own / 2).float(), rounded.dtype)
        augmented = torch.cat([rounded, torch.ones_like(norms), norms], dim=1)
        count = len(augmented)
        for number, part in enumerate(self.tiles):
            # A whole block's leading part lies in one piece, as an output must.
            product = self.products[number].flatten()[: count * self.tile].view(count, self.tile)
            self._multiply(augmented, part, product)
            torch.amin(product.view(count, LANE, -1), dim=1, out=self.least[:count, number])
        lengths = own.sqrt().numpy()
        moved = _moved(exact, rounded) if self.bf16 else np.zeros(count)
        return _Near(self, count, self._error(lengths, exact.shape[1], moved))

    def _multiply(self, augmented: Tensor, part: Tensor, product: Tensor) -> None:
        if self.bf16:
            torch.mm(augmented, part, out=product)
        else:
            # numpy's library, since torch's takes a generic path on some processors, and may multiply in
            # lower precision if set so elsewhere.
            np.matmul(augmented.numpy(), part.numpy(), out=product.numpy())

    def _error(self, own: Real, dim: int, moved: Real) -> Real:
        """Bound (b,) on the error of half a squared distance, but for the rounding of the result itself.

        Summing in float32, in whatever order; and what rounding the vectors did to their product:
        |x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|.
        """
        kind = np.finfo(np.float32)
        summing = (dim + 16) * (float(kind.eps) * (own + self.longest) ** 2 + float(kind.tiny))
        bound: Real = summing + moved * self.longest + (own + moved) * self.moved
        return bound

    @property
    def rounding(self) -> float:
        """The fraction of the result that rounding may take."""
        return float(torch.finfo(torch.bfloat16).eps) if self.bf16 else 0.0


class _Near:
    """What a block of queries is near, by half the squared distance as the product gave it."""

    def __init__(self, corpus: _Corpus, count: int, error: Real) -> None:
        self.corpus, self.count, self.error = corpus, count, error

    def shortlist(self, rows: Indices, size: int, k: int) -> tuple[Indices, Real]:
        """Return candidates (r, k or more) of some queries, and squared distances (r,) that bound the others.

        Of the `size` least approximate distances those are left out that lie too far behind the k-th to be
        among the k nearest, whatever the rounding was.
        """
        values, columns = self._smallest(torch.from_numpy(rows), size)
        values, order = values.float().sort(dim=1)
        near, error = values.numpy().astype(np.float64), self.error[rows]
        # Half the squared distances are at least these, and that of the k-th nearest at most the second.
        least = near - self.corpus.rounding * np.abs(near) - error[:, None]
        kth = near[:, k - 1] + self.corpus.rounding * np.abs(near[:, k - 1]) + error
        needed = max(k, int((least <= kth[:, None]).sum(axis=1).max()))
        return columns.gather(1, order[:, :needed]).numpy(), 2 * least[:, -1]

    def _smallest(self, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return the `size` least values of some queries, unsorted, and their columns."""
        tiles, lanes = self.corpus.least.shape[1:]
        by_lanes = tiles * lanes >= 4 * size
        looked_at = size * LANE if by_lanes else tiles * self.corpus.tile
        parts = rows.split(max(1, GATHERED // looked_at))
        pick = self._smallest_by_lanes if by_lanes else self._smallest_of_all
        values, columns = zip(*(pick(part, size) for part in parts), strict=True)
        return torch.cat(values), torch.cat(columns)

    def _smallest_of_all(self, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        tile = self.corpus.tile
        slabs = (
            slab.flatten()[: self.count * tile].view(self.count, tile)[rows] for slab in self.corpus.products
        )
        found, columns = torch.topk(torch.cat(list(slabs), dim=1), size, dim=1, largest=False, sorted=False)
        return found, columns

    def _smallest_by_lanes(self, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return the least s values; they lie in lanes whose own least is among the s least of all lanes'.

        A selection over n / LANE numbers so replaces one over n. Lane j of a tile holds its columns j, j +
        lanes, ...
        """
        corpus = self.corpus
        lanes = corpus.least.shape[2]
        least = corpus.least[: self.count].flatten(1)[rows]
        chosen = torch.topk(least, size, dim=1, largest=False, sorted=False).indices
        first = (
            (chosen // lanes) * (corpus.block * corpus.tile) + chosen % lanes + rows[:, None] * corpus.tile
        )
        places = (first[:, :, None] + torch.arange(LANE) * lanes).flatten(1)
        found, order = torch.topk(corpus.products.view(-1)[places], size, dim=1, largest=False, sorted=False)
        lane = chosen.gather(1, order // LANE)
        return found, (lane // lanes) * corpus.tile + lane % lanes + (order % LANE) * lanes


def _parts(values: Tensor, kind: torch.dtype) -> Tensor:
    """Split numbers (n,) into (n, 3) numbers of a kind that together make the float32 ones."""
    parts = []
    for _ in range(3):
        parts.append(values.to(kind))
        values = values - parts[-1].float()
    return torch.stack(parts, dim=1)


def _moved(exact: Tensor, rounded: Tensor) -> Real:
    """Return how far (n,) rounding moved each vector."""
    far: Real = torch.linalg.vector_norm(exact - rounded.float(), dim=1).numpy().astype(np.float64)
    return far


def _rank(train: Vectors, queries: Vectors, candidates: Indices, k: int) -> tuple[Indices, Real]:
    """Return the k nearest of each row's candidates in float64, and the squared distance (b,) of the k-th."""
    candidates = np.sort(candidates, axis=1)
    squared = np.empty(candidates.shape)
    step = max(1, RANKED_NUMBERS // max(1, candidates.shape[1] * train.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        difference = np.subtract(train[candidates[part]], queries[part, None], dtype=np.float64)
        squared[part] = np.einsum("bnd,bnd->bn", difference, difference)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    ranked = np.take_along_axis(candidates, order, axis=1)
    return ranked, np.take_along_axis(squared, order[:, -1:], axis=1)[:, 0]


def _exhaustive(train: Vectors, query: Vectors, k: int, block: int = 8192) -> Indices:
    """Return the k nearest rows of one query, all distances in float64."""
    squared = np.concatenate(
        [_squared_distances(train[start : start + block], query) for start in range(0, len(train), block)]
    )
    return np.argsort(squared, kind="stable")[:k].astype(np.int64)


def _squared_distances(points: Vectors, query: Vectors) -> Real:
    """Return squared Euclidean distances (n,) of points (n, d) to one query (d,), in float64."""
    difference = points.astype(np.float64) - query.astype(np.float64)
    squared: Real = np.einsum("ij,ij->i", difference, difference)
    return squared
