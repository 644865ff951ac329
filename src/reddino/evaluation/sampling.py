"""A random sample of labelled rows: each class in its proportion, and rare ones kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.evaluation.few_shot import spread_over_groups
from reddino.foundations.counting import counted

Indices = npt.NDArray[np.int64]

#: Rows of a class (of a source, or of a side of the split) that a sample keeps at least, or all there are.
LEAST = 1_000
#: Fraction of a sample by which classes with more than their proportion exceed it, from which it is stated.
MOVED = 0.02


@dataclass(frozen=True)
class NeighbourLoss:
    """What k-NN loses by seeking neighbours in the sample, measured on some tested cells.

    Attributes:
        classifier: which k-NN.
        in_sample: fraction of these cells that it recognises with neighbours in the sample.
        in_table: the same with the exact neighbours among all cells of the table that may train.
    """

    classifier: str
    in_sample: float
    in_table: float


@dataclass(frozen=True)
class DrawnSample:
    """What was drawn of a table.

    Attributes:
        rows: drawn.
        of: labelled rows that could be drawn.
        groups, of_groups: that the drawn ones are of, and that all are of.
        seed: of the draw.
        strata: what each has its proportion of.
        least: rows of each of these that are kept at least, or all of them.
        by_class: class -> drawn rows, and all.
        queries: tested cells that the loss of k-NN was measured on; 0: it was not.
        neighbours: that loss.
    """

    rows: int
    of: int
    groups: int
    of_groups: int
    seed: int
    strata: str
    least: int
    by_class: Mapping[str, tuple[int, int]]
    queries: int = 0
    neighbours: tuple[NeighbourLoss, ...] = ()

    def notes(self) -> list[str]:
        """Return the sentences that stand next to the scores."""
        drawn = (
            f"SAMPLE: {self.rows:,} of {self.of:,} labelled cells were drawn (--rows; seed {self.seed}), of "
            f"{self.groups:,} of {counted(self.of_groups, 'group')}: each {self.strata} in its proportion, "
            f"but at least {self.least:,} cells of it, or all there are. Groups are those of the whole "
            "table: none stands on two sides of a split by way of cells that were not drawn."
        )
        return [drawn, *self._on_proportions(), *self._on_neighbours()]

    def title(self) -> str:
        """Return what stands above figures."""
        return f"sample of {self.rows:,} of {self.of:,} cells"

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **asdict(self),
            "by_class": {name: {"rows": a, "of": b} for name, (a, b) in self.by_class.items()},
            "neighbours": [asdict(one) for one in self.neighbours],
        }

    def _on_proportions(self) -> list[str]:
        """Return what scores that weigh classes by their cells are not of."""
        gains = {name: a / self.rows - b / self.of for name, (a, b) in self.by_class.items()}
        more = [name for name, gain in sorted(gains.items(), key=lambda one: -one[1]) if gain > 0]
        if sum(gains[name] for name in more) < MOVED:
            return []
        drawn, every = self.by_class[more[0]]
        return [
            "Acc, wF1, precision and the largest class are those of the sample and not of the table: the "
            f"sample has more than their proportion of {len(more):,} of its {len(gains):,} classes, such as "
            f"'{more[0]}' ({drawn / self.rows:.1%} of its cells, and {every / self.of:.1%} of the table's). "
            "bAcc and recall do not depend on it."
        ]

    def _on_neighbours(self) -> list[str]:
        if not self.neighbours:
            return []
        found = "; ".join(
            f"{one.classifier} {one.in_sample:.3f} and {one.in_table:.3f} "
            f"({one.in_sample - one.in_table:+.3f})"
            for one in self.neighbours
        )
        return [
            "k-NN seeks neighbours among the cells of the sample. Accuracy so, and with the exact "
            f"neighbours among all cells of the table that may train, on {self.queries:,} tested cells: "
            f"{found}."
        ]


def least_rows(rows: int, strata: int) -> int:
    """Return how many rows of a stratum are kept at least: not more than its even part of the sample."""
    return max(1, min(LEAST, rows // max(1, strata)))


def draw_rows(strata: Indices, groups: Indices, rows: int, seed: int) -> Indices:
    """Draw rows at random, each stratum in its proportion but at least `least_rows` of it.

    Rows of small strata come from as many groups as they can.

    Args:
        strata: (n,) numbers from 0; rows of a negative one are not drawn.
        groups: (n,) number of each row's group.
        rows: to draw, at most.
        seed: of the draw.

    Returns:
        Row numbers, sorted.
    """
    counts = np.bincount(strata[strata >= 0])
    shares, small = _shares(counts, rows)
    chosen = [np.empty(0, np.int64)]
    for stratum in np.flatnonzero(shares).tolist():
        draw = np.random.default_rng([seed, stratum])
        own = np.flatnonzero(strata == stratum)
        if small[stratum]:
            chosen.append(spread_over_groups(own, groups, draw)[: shares[stratum]])
        else:
            chosen.append(draw.choice(own, int(shares[stratum]), replace=False, shuffle=False))
    return np.sort(np.concatenate(chosen))


def _shares(counts: Indices, rows: int) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Return how many rows of each stratum are drawn, and which strata give more than their proportion."""
    least = np.minimum(counts, least_rows(rows, int((counts > 0).sum())))
    small = np.zeros(len(counts), np.bool_)
    while True:
        left, of = rows - int(least[small].sum()), int(counts[~small].sum())
        share = counts * (left / max(of, 1))
        further = ~small & (share < least)
        if not further.any():
            whole = np.where(small, least, np.floor(share).astype(np.int64))
            # Rows that rounding left go to those that it took most of.
            most = np.argsort(np.where(small, 1.0, whole - share), kind="stable")
            whole[most[: rows - int(whole.sum())]] += 1
            return whole, small
        small |= further
