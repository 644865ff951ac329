"""How far a vector lies from those that a classifier, or a network, learned from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.foundations.errors import RedDinoError

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Training vectors that are kept: of every class equally many while there are, of its groups in turn.
KEPT = 2048
#: Training vectors whose distances are the scale of the score, drawn at random.
SCALED_BY = 8192
#: Distance is the mean to so many of the nearest kept vectors.
NEIGHBOURS = 10
#: Quantiles of the held-out distances that are kept.
STEPS = 1000
#: Cells beyond this score are as far as the farthest twentieth of the held-out training cells.
FAR = 0.95
_AT_ONCE = 1024


@dataclass(frozen=True)
class Novelty:
    """A bounded sample of training vectors, and the distances of held-out ones from it.

    Attributes:
        kept: (m, d) float16, vectors over `unit`.
        unit: root mean square of the training vectors, so that float16 holds them.
        held_out: (STEPS + 1,) quantiles 0 to 1 of the distances of training vectors from the kept vectors of
            other groups, in units of `unit`.
    """

    kept: npt.NDArray[np.float16]
    unit: float
    held_out: Real

    def score(self, vectors: Vectors) -> Real:
        """Return how novel each vector (n, d) is: the quantile (n,) of its distance among held-out cells.

        0.5 is as far as the median training cell lies from those of other groups; 1 is farther than all.

        Raises:
            RedDinoError: vectors of another length.
        """
        if vectors.shape[1] != self.kept.shape[1]:
            raise RedDinoError(
                f"novelty is measured on vectors of {self.kept.shape[1]} numbers, not of {vectors.shape[1]}"
            )
        distance = nearest_distances(vectors / self.unit, self.kept.astype(np.float32))
        below = np.searchsorted(self.held_out, distance, side="right") - 1
        below = np.clip(below, 0, len(self.held_out) - 2)
        low, high = self.held_out[below], self.held_out[below + 1]
        within = np.clip((distance - low) / np.maximum(high - low, 1e-12), 0, 1)
        return np.asarray((below + within) / (len(self.held_out) - 1))


def fit_novelty(
    vectors: Vectors,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    held: Numbers | None = None,
    kept: int = KEPT,
    seed: int = 0,
) -> tuple[Novelty, Numbers, Real] | None:
    """Keep a sample of training vectors, and measure held-out ones against those of other groups.

    Args:
        vectors: (n, d) finite.
        labels: (n,) their classes.
        groups: (n,) what stays on one side of a split.
        held: rows that the network itself did not learn from, where it learned; None: all.
        kept: vectors to keep, at most.
        seed: of the sample.

    Returns:
        The novelty; the rows (k,) that its scale was measured on; and their distances (k,) as quantiles. None
        where there are fewer than two groups, so that nothing can be held out.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None
    unit = float(np.sqrt((vectors.astype(np.float64) ** 2).mean() * vectors.shape[1])) or 1.0
    chosen = balanced_sample(labels, groups, kept, seed)
    sample = (vectors[chosen] / unit).astype(np.float16)
    candidates = np.arange(len(vectors)) if held is None else held
    rows = np.sort(np.random.default_rng(seed).permutation(candidates)[:SCALED_BY])
    distance = nearest_distances(
        vectors[rows] / unit, sample.astype(np.float32), apart=(group[rows], group[chosen])
    )
    known = np.isfinite(distance)
    rows, distance = rows[known], distance[known]
    if not len(rows):
        return None
    novelty = Novelty(sample, unit, np.quantile(distance, np.linspace(0, 1, STEPS + 1)))
    order = np.searchsorted(np.sort(distance), distance, side="right") / len(distance)
    return novelty, rows, order


def nearest_distances(vectors: Vectors, kept: Vectors, apart: tuple[Numbers, Numbers] | None = None) -> Real:
    """Return the mean Euclidean distance (n,) of vectors (n, d) to their nearest kept ones (m, d).

    Args:
        vectors: (n, d).
        kept: (m, d).
        apart: groups (n,) and (m,); vectors of a row's own group are passed over. A row that has no other
            gets infinity.
    """
    count = min(NEIGHBOURS, len(kept))
    squares = (kept**2).sum(axis=1)
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _AT_ONCE):
        part = np.asarray(vectors[start : start + _AT_ONCE], np.float32)
        squared = (part**2).sum(axis=1)[:, None] + squares - 2 * (part @ kept.T)
        if apart is not None:
            squared[apart[0][start : start + _AT_ONCE, None] == apart[1]] = np.inf
        nearest = np.partition(squared, count - 1, axis=1)[:, :count]
        real = np.isfinite(nearest)
        distance = np.sqrt(np.maximum(np.where(real, nearest, 0.0), 0.0)).sum(axis=1, dtype=np.float64)
        found[start : start + _AT_ONCE] = np.where(
            real.any(axis=1), distance / np.maximum(real.sum(axis=1), 1), np.inf
        )
    return found


def balanced_sample(labels: Sequence[str], groups: Sequence[str], most: int, seed: int) -> Numbers:
    """Return rows (k <= most), sorted: classes in turn, and within a class its groups in turn."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = _places(list(zip(labels, groups, strict=True)), order)
    order = order[np.argsort(place[order], kind="stable")]
    place = _places(list(labels), order)
    order = order[np.argsort(place[order], kind="stable")]
    return np.asarray(np.sort(order[:most]), dtype=np.int64)


def _places(keys: Sequence[Hashable], order: Numbers) -> Numbers:
    """Return for each row how many rows of its key stand before it in `order`."""
    seen: dict[Hashable, int] = {}
    place = np.zeros(len(keys), dtype=np.int64)
    for row in order.tolist():
        place[row] = seen.get(keys[row], 0)
        seen[keys[row]] = int(place[row]) + 1
    return place
