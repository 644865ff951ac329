"""Choose cells from the best squares, spread over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Cells in the squares that are drawn from, as a multiple of those wanted; and the fewest squares.
_RESERVE, _LEAST = 2.0, 12


def spread_over(place: Numbers, rank: Numbers, score: Real, cells: int, seed: int) -> Numbers:
    """Return numbers of chosen cells, sorted; all of them where there are not more.

    Squares are taken in the order of their rank, and of their score within it, until they hold twice the
    cells wanted (and are twelve). From each of them as many cells are drawn as from the others, as far as it
    has them.

    Args:
        place: (n,) the square of each cell.
        rank: (n,) of its area, the best is the lowest.
        score: (n,) of its square, the best is the highest.
        cells: that are wanted.
        seed: of the draw.
    """
    if len(place) <= cells:
        return np.arange(len(place))
    squares, first, counts = np.unique(place, return_index=True, return_counts=True)
    order = np.lexsort((squares, -score[first], rank[first]))
    enough = int(np.searchsorted(np.cumsum(counts[order]), _RESERVE * cells)) + 1
    order = order[: max(enough, _LEAST)]
    quota = _shared(counts[order], cells)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(place == squares[square]))[:wanted]
        for square, wanted in zip(order.tolist(), quota.tolist(), strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _shared(counts: Numbers, wanted: int) -> Numbers:
    """Return how many cells each square gives (n,), as evenly as their counts allow."""
    given = np.zeros(len(counts), np.int64)
    while given.sum() < min(wanted, int(counts.sum())):
        open_ones = np.flatnonzero(given < counts)
        left = wanted - int(given.sum())
        each = max(left // len(open_ones), 1)
        some = open_ones[: left if each == 1 else len(open_ones)]
        given[some] = np.minimum(given[some] + each, counts[some])
    return given
