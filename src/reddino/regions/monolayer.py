"""The monolayer of a slide: connected areas of good squares, the best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reddino.regions.choices import CROWDED, FLAT, GOOD
from reddino.regions.measures import COLUMNS

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Squares that touch, in their own sides, and the fewest that make an area.
_TOUCHING, LEAST_SQUARES = 1.5, 3
#: Neighbours of a square that is crowded or flat, of which this many are good: it belongs to the area.
_FILLED = 5


def square_scores(squares: Real) -> Real:
    """Return how good squares (n,) are, from 0 to 1: cells lie singly, with pallor, and are many."""
    overlap = np.nan_to_num(squares[:, COLUMNS.index("overlap")], nan=1.0)
    pale = np.nan_to_num(squares[:, COLUMNS.index("pale")], nan=0.0)
    cells = squares[:, COLUMNS.index("cells")]
    usual = np.median(cells[cells > 0]) if (cells > 0).any() else 1.0
    return np.asarray((1.0 - overlap) * (0.5 + 0.5 * pale) * np.minimum(cells / usual, 1.0))


def monolayer(squares: Real, verdicts: Sequence[str]) -> Numbers:
    """Return the area of the monolayer that squares (n,) belong to: 1 the best, 2 the next, 0 none.

    Areas are connected; the best has the most good cells. A crowded square among good ones belongs to theirs.

    Args:
        squares: (n, 12) of one slide, `x` and `y` in its level 0.
        verdicts: (n,) on them.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree  # slow to import

    area = np.zeros(len(squares), np.int64)
    good = np.array([verdict == GOOD for verdict in verdicts], np.bool_)
    if not good.any():
        return area
    centres = squares[:, :2] + squares[:, 2:4] / 2
    places = centres / np.median(squares[:, 2:4], axis=0)
    pairs = cKDTree(places).query_pairs(_TOUCHING, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    around = np.bincount(both[:, 0], good[both[:, 1]], len(squares))
    nearly = np.array([verdict in (CROWDED, FLAT) for verdict in verdicts], np.bool_)
    good |= nearly & (around >= _FILLED)
    inner = pairs[good[pairs[:, 0]] & good[pairs[:, 1]]]
    ones = np.ones(len(inner))
    graph = coo_matrix((ones, (inner[:, 0], inner[:, 1])), shape=(len(squares), len(squares)))
    labels = connected_components(graph, directed=False)[1]
    value = np.bincount(labels[good], (square_scores(squares) * squares[:, 4])[good], labels.max() + 1)
    size = np.bincount(labels[good], minlength=labels.max() + 1)
    least = min(LEAST_SQUARES, max(1, int(good.sum())))
    ranked = [label for label in np.argsort(-value, kind="stable").tolist() if size[label] >= least]
    for rank, label in enumerate(ranked, start=1):
        area[good & (labels == label)] = rank
    return area
