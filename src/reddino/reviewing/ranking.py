"""The queue: which cells are shown next, by a named strategy, and never one picture alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.choices import STRATEGIES, Strategy
from reddino.reviewing.learning import Probe, fit_probe
from reddino.reviewing.pool import Labelled, Numbers, Pool
from reddino.reviewing.strategies.coverage import coverage_first
from reddino.reviewing.strategies.diverse import spread_over_fields
from reddino.reviewing.strategies.rare import in_turn, likely_first, rare_classes, strange_first
from reddino.reviewing.strategies.schedule import parts
from reddino.reviewing.strategies.typical import typical_first
from reddino.reviewing.strategies.uncertain import doubtful_by_class, entropy, margin, most_first

#: Cells of a page; one field gives only a part of them where there are others.
BATCH = 20
#: Rows that a strategy orders for each that is returned, so that pages can be spread over fields.
SPARE = 3
#: Of a page of `rare`, the part that neighbours of rare cells make, and not strange ones.
NEIGHBOURS = 0.7


@dataclass(frozen=True)
class _Situation:
    """What an order is made of: everything that `rank` was given, and what follows from it."""

    pool: Pool
    labelled: Labelled
    rows: Numbers
    count: int
    probe: Probe | None
    named: Collection[str]
    draw: np.random.Generator

    @cached_property
    def answered(self) -> Numbers:
        return np.concatenate([self.labelled.rows, self.labelled.passed])

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float32] | None:
        """Of the rows (len(rows), k); None before there is a classifier."""
        probe = self.probe or fit_probe(self.pool, self.labelled)
        return None if probe is None else probe.of_features(self.pool.features[self.rows])

    @cached_property
    def sought(self) -> Numbers:
        """Numbers of the classes to look for."""
        if not self.named:
            return rare_classes(self.labelled)
        return np.array([self.labelled.names.index(name) for name in self.named], dtype=np.int64)

    def random(self) -> Numbers:
        return self.draw.permutation(self.rows)[: self.count]

    def typical(self) -> Numbers:
        return typical_first(
            self.pool.features,
            self.pool.strangeness,
            self.answered,
            self.rows,
            count=self.count,
            draw=self.draw,
        )

    def coverage(self) -> Numbers:
        return coverage_first(self.pool.features, self.answered, self.rows, self.count, draw=self.draw)

    def strange(self) -> Numbers:
        return strange_first(
            self.pool.features, self.pool.strangeness, self.answered, self.rows, count=self.count
        )

    def likely(self) -> Numbers:
        return likely_first(
            self.pool.features,
            self.labelled,
            self.sought,
            self.rows,
            self.count,
            probabilities=self.probabilities,
        )

    def rare(self) -> Numbers:
        return in_turn([self.likely(), self.strange()], [NEIGHBOURS, 1 - NEIGHBOURS], self.count)

    def margin(self) -> Numbers:
        return self._by(margin)

    def entropy(self) -> Numbers:
        return self._by(entropy)

    def balanced(self) -> Numbers:
        if self.probabilities is None:
            return self._before_a_probe()
        doubtful = doubtful_by_class(self.probabilities, self.count)
        counts = self.labelled.counts
        needs = [1 / max(int(counts[one]), 1) for one in doubtful]
        return in_turn([self.rows[places] for places in doubtful.values()], needs, self.count)

    def default(self) -> Numbers:
        page = parts(
            len(self.answered),
            probe=self.probabilities is not None,
            sought=len(self.sought) > 0,
            named=len(self.named) > 0,
        )
        makers = [
            (self.coverage, page.coverage),
            (self.strange, page.strange),
            (self.likely, page.likely),
            (self.balanced, page.doubtful),
            (self.random, page.random),
        ]
        made = [(make(), fraction) for make, fraction in makers if fraction > 0]
        return in_turn([order for order, _ in made], [fraction for _, fraction in made], self.count)

    def _by(self, score: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]) -> Numbers:
        if self.probabilities is None:
            return self._before_a_probe()
        return self.rows[most_first(score(self.probabilities), self.count)]

    def _before_a_probe(self) -> Numbers:
        return in_turn([self.coverage(), self.strange()], [0.5, 0.5], self.count)


_ORDERS: Mapping[str, Callable[[_Situation], Numbers]] = {
    "default": _Situation.default,
    "random": _Situation.random,
    "typical": _Situation.typical,
    "coverage": _Situation.coverage,
    "rare": _Situation.rare,
    "margin": _Situation.margin,
    "entropy": _Situation.entropy,
    "balanced": _Situation.balanced,
}


def rank(
    strategy: Strategy,
    pool: Pool,
    labelled: Labelled,
    *,
    count: int = 200,
    batch: int = BATCH,
    probe: Probe | None = None,
    sought: Collection[str] = (),
    among: Numbers | None = None,
    seed: int = 0,
) -> Numbers:
    """Return the rows (k <= count,) to show next, best first; none that has an answer.

    Args:
        strategy: its name; with fewer than two classes `margin`, `entropy` and `balanced` mix coverage and
            strange cells.
        pool: all cells.
        labelled: the labels so far.
        count: rows to return; fewer where fewer are left.
        batch: cells of a page, of which one field gives only a part while others have cells.
        probe: the current classifier, for all but `random`, `typical`, `coverage`; None: fitted here.
        sought: classes that `rare` and `default` look for; none named: those that are rare among the labels.
        among: rows that may be shown, such as those of one slide; None: all.
        seed: of draws and ties; the same labels and seed give the same rows.

    Raises:
        RedDinoError: no such strategy, or a sought class that is no class.
    """
    if strategy not in _ORDERS:
        raise RedDinoError(f"no strategy '{strategy}': choose from {', '.join(STRATEGIES)}")
    unknown = [name for name in sought if name not in labelled.names]
    if unknown:
        raise RedDinoError(f"no class '{unknown[0]}' to look for: there are {', '.join(labelled.names)}")
    rows = labelled.open_rows(pool)
    if among is not None:
        rows = np.intersect1d(rows, among)
    if not len(rows) or count < 1:
        return np.empty(0, dtype=np.int64)
    draw = np.random.default_rng([seed, len(labelled) + len(labelled.passed)])
    wanted = count if strategy == "random" else min(SPARE * count, len(rows))
    situation = _Situation(pool, labelled, rows, wanted, probe, sought, draw)
    return spread_over_fields(_ORDERS[strategy](situation), pool.fields, batch, count)
