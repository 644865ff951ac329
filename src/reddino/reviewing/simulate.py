"""The proof of a strategy: labels that are known are hidden and given out one page after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.metrics import score
from reddino.evaluation.splits import folds_of_groups
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.reviewing.choices import Strategy
from reddino.reviewing.learning import Probe, fit_probe
from reddino.reviewing.pool import CellVectors, Labelled, Numbers, Pool
from reddino.reviewing.ranking import rank

#: Of the groups, one of so many parts is tested.
TESTED = 3


@dataclass(frozen=True)
class Step:
    """The score after a batch of labels.

    Attributes:
        strategy, seed: of the run.
        labels: cells labelled so far.
        macro_f1: on groups of which no cell was ever shown.
        classes: that have a label.
    """

    strategy: str
    seed: int
    labels: int
    macro_f1: float
    classes: int


@dataclass(frozen=True)
class Found:
    """When a run had found cells of a class.

    Attributes:
        strategy, seed: of the run.
        name: of the class.
        cells: of the class that could be shown, of `pool` cells.
        pool: cells that could be shown.
        first, tenth: labels spent until then; None where the budget ended before.
    """

    strategy: str
    seed: int
    name: str
    cells: int
    pool: int
    first: int | None
    tenth: int | None


@dataclass(frozen=True)
class Simulation:
    """All runs: the scores after each batch, when the classes were found, and which were looked for."""

    steps: tuple[Step, ...]
    found: tuple[Found, ...]
    sought: tuple[str, ...] = ()


def simulate(
    cells: CellVectors,
    labels: Sequence[str],
    strategies: Sequence[Strategy],
    *,
    budget: int = 500,
    batch: int = 20,
    seeds: int = 3,
    sought: Sequence[str] = (),
) -> Simulation:
    """Label cells in the order of each strategy, and score the probe after each batch.

    Each seed tests about a third of the groups, which give no cell to label. All strategies share the deal
    of a seed.

    Args:
        cells: that all have a class, in at least two groups.
        labels: (n,) their classes.
        strategies: to compare.
        budget: labels to spend.
        batch: labels between two fits.
        seeds: runs of each strategy.
        sought: classes that `rare` and `default` look for, as a reader names them in the page.

    Raises:
        RedDinoError: fewer than two groups, or a sought class that no cell has.
    """
    names, truth = np.unique(np.asarray(labels), return_inverse=True)
    unknown = [name for name in sought if name not in names]
    if unknown:
        raise RedDinoError(
            f"no cell is labelled '{unknown[0]}', which is sought: there are {', '.join(names)}"
        )
    steps: list[Step] = []
    found: list[Found] = []
    for seed, tested in enumerate(watched(list(_tested(cells, seeds)), "simulating reviews")):
        shown = np.setdiff1d(np.arange(len(cells)), tested)
        chosen = cells.only(shown).pool()
        test = _Test(chosen.projection.of(cells.vectors[tested]), truth[tested])
        for strategy in strategies:
            run = _Run(chosen, truth[shown], tuple(names.tolist()), strategy, seed, tuple(sought))
            steps += run.spend(test, budget, batch)
            found += run.found()
    return Simulation(tuple(steps), tuple(found), tuple(sought))


def _tested(cells: CellVectors, seeds: int) -> Iterator[Numbers]:
    """Yield the rows that each seed tests: parts of one deal of the groups, then of another."""
    groups = cells.groups.astype(str).tolist()
    known = len(set(groups))
    if known < 2:
        raise RedDinoError(
            "a simulation needs two groups, one to test and one to label: name another --group-by"
        )
    parts = min(TESTED, known)
    for seed in range(seeds):
        yield folds_of_groups(groups, parts, seed // parts)[seed % parts]


@dataclass(frozen=True)
class _Test:
    """What is scored: components (m, p) and class numbers (m,)."""

    features: Vectors
    truth: Numbers


@dataclass
class _Run:
    """One reader who answers truthfully, in the order of one strategy."""

    pool: Pool
    truth: Numbers
    names: tuple[str, ...]
    strategy: Strategy
    seed: int
    sought: tuple[str, ...] = ()
    rows: list[int] = field(default_factory=list)
    probe: Probe | None = None

    def spend(self, test: _Test, budget: int, batch: int) -> Iterator[Step]:
        """Yield the score after each batch, until the budget is spent or no cell is left."""
        while len(self.rows) < min(budget, len(self.pool)):
            count = min(batch, budget - len(self.rows))
            order = rank(
                self.strategy,
                self.pool,
                self._labelled(),
                count=count,
                batch=batch,
                probe=self.probe,
                sought=self.sought,
                seed=self.seed,
            )
            self.rows += order.tolist()
            yield self._score(test)

    def _labelled(self) -> Labelled:
        rows = np.array(self.rows, dtype=np.int64)
        return Labelled(rows, self.truth[rows].astype(np.int64), self.names)

    def _score(self, test: _Test) -> Step:
        labelled = self._labelled()
        self.probe = fit_probe(self.pool, labelled)
        if self.probe is None:
            predicted = np.full(len(test.truth), labelled.classes[0])
        else:
            predicted = self.probe.of_features(test.features).argmax(axis=1)
        macro = score(test.truth, predicted, len(self.names)).macro_f1
        return Step(self.strategy, self.seed, len(self.rows), macro, int((labelled.counts > 0).sum()))

    def found(self) -> Iterator[Found]:
        """Yield when the first and the tenth cell of each class were labelled."""
        answers = self.truth[self.rows]
        for one, name in enumerate(self.names):
            places = np.flatnonzero(answers == one) + 1
            yield Found(
                self.strategy,
                self.seed,
                name,
                int((self.truth == one).sum()),
                len(self.pool),
                int(places[0]) if len(places) else None,
                int(places[9]) if len(places) > 9 else None,
            )
