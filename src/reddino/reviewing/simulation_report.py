"""What a simulation showed: labels that each strategy needs, compared with random picking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reddino.evaluation.intervals import LEVEL
from reddino.reviewing.pool import Real
from reddino.reviewing.simulate import Found, Simulation, Step

RANDOM = "random"
#: Scores of so many batches are averaged before labels are read off a curve, which jumps from batch to batch.
SMOOTHED = 3
#: With fewer seeds there is no interval.
LEAST_SEEDS = 3
#: Classes up to this fraction of the cells are rare ones.
RARE = 0.03
#: Labels after which a summary gives the score, with those at the end.
MILESTONES = (100, 300, 1000)


@dataclass(frozen=True)
class Average:
    """A mean over seeds; its 95 % interval (Student's t) is missing with fewer than three."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float] | Real) -> Average:
        """Return the mean of values (n,) with its interval."""
        known = np.asarray(values, dtype=np.float64)
        mean = float(known.mean())
        if len(known) < LEAST_SEEDS:
            return cls(mean, None, None)
        wide = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
        return cls(mean, mean - wide, mean + wide)

    def shown(self, digits: int = 3) -> str:
        """Return `0.712 (0.690 to 0.734)`."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class StrategyResult:
    """One strategy over all seeds.

    Attributes:
        strategy: its name.
        macro_f1: at the end of the budget.
        gain: of macro F1 over random at the end, paired by seed; None without random.
        labels_for_random: labels until the score that random has at the end, over the labels that random
            needs for it; the median over seeds, infinite where it was not reached. None without random.
        rare_tenth: labels until the tenth cell of each rare class, as a fraction of those that random order
            takes on average: the median over classes and seeds, infinite where fewer were found; None where
            no class is rare. Where classes were sought, of these instead.
    """

    strategy: str
    macro_f1: Average
    gain: Average | None
    labels_for_random: float | None
    rare_tenth: float | None


@dataclass(frozen=True)
class SimulationReport:
    """A simulation and what it showed.

    Attributes:
        simulation: all runs.
        strategies: the results, in the order in which the strategies were named.
    """

    simulation: Simulation
    strategies: tuple[StrategyResult, ...]

    @classmethod
    def of(cls, sim: Simulation) -> SimulationReport:
        """Summarise a simulation."""
        names = list(dict.fromkeys(one.strategy for one in sim.steps))
        return cls(sim, tuple(_result(sim, name, RANDOM in names) for name in names))

    @property
    def labels(self) -> int:
        """Labels that were spent."""
        return max(self._spent())

    @property
    def labels_shown(self) -> str:
        """Labels that were spent, as `500`, or as `195 to 210` where seeds had fewer cells."""
        spent = self._spent()
        return f"{spent[0]}" if spent[0] == spent[-1] else f"{spent[0]} to {spent[-1]}"

    def milestones(self) -> list[int]:
        """Return the numbers of labels that a summary gives scores after: `MILESTONES`, and the last."""
        reached, _ = curve(self.simulation, self.strategies[0].strategy)
        return [one for one in reached if one in MILESTONES or one == reached[-1]]

    def after(self, strategy: str, labels: int) -> Average:
        """Return the macro F1 of a strategy after so many labels, which a page ended with."""
        places, averages = curve(self.simulation, strategy)
        return averages[places.index(labels)]

    def _spent(self) -> list[int]:
        """Return the labels that the runs spent, sorted."""
        last = {(one.strategy, one.seed): one.labels for one in self.simulation.steps}
        return sorted(last.values())

    def rows(self) -> list[list[str]]:
        """Return name, macro F1, gain, labels for random's score and labels to a rare class's tenth cell."""
        return [
            [
                one.strategy,
                one.macro_f1.shown(),
                "" if one.gain is None else one.gain.shown(),
                *(_fraction_shown(value) for value in (one.labels_for_random, one.rare_tenth)),
            ]
            for one in self.strategies
        ]


def _fraction_shown(value: float | None) -> str:
    if value is None:
        return ""
    return "not reached" if np.isinf(value) else f"{value:.2f}"


def curve(sim: Simulation, strategy: str) -> tuple[list[int], list[Average]]:
    """Return the labels after each batch and the mean macro F1 over seeds, while all have cells."""
    by_labels: dict[int, list[float]] = {}
    for one in sim.steps:
        if one.strategy == strategy:
            by_labels.setdefault(one.labels, []).append(one.macro_f1)
    seeds = max(map(len, by_labels.values()))
    labels = sorted(number for number, scores in by_labels.items() if len(scores) == seeds)
    return labels, [Average.of(by_labels[one]) for one in labels]


def expected_labels(place: int, found: Found) -> float:
    """Return after how many labels, on average, random order has shown the `place`-th cell of a class.

    The mean of the k-th order statistic of K places among n: k (n + 1) / (K + 1). Infinite with fewer cells.
    """
    return place * (found.pool + 1) / (found.cells + 1) if found.cells >= place else float("inf")


def _result(sim: Simulation, name: str, compared: bool) -> StrategyResult:
    runs = _runs(sim, name)
    ends = {seed: run[-1].macro_f1 for seed, run in runs.items()}
    gain = labels = None
    if compared:
        random = _runs(sim, RANDOM)
        gain = Average.of([ends[seed] - random[seed][-1].macro_f1 for seed in ends])
        labels = float(np.median([_fraction(runs[seed], random[seed]) for seed in runs]))
    rare = [
        (one.tenth or np.inf) / expected_labels(10, one)
        for one in sim.found
        if one.strategy == name and _is_rare(one, sim.sought)
    ]
    return StrategyResult(
        name, Average.of(list(ends.values())), gain, labels, float(np.median(rare)) if rare else None
    )


def _is_rare(found: Found, sought: Sequence[str]) -> bool:
    """Return whether a class counts among the rare ones, or those sought; ten of it must be there."""
    wanted = found.name in sought if sought else found.cells <= RARE * found.pool
    return wanted and found.cells >= 10


def _runs(sim: Simulation, strategy: str) -> dict[int, list[Step]]:
    runs: dict[int, list[Step]] = {}
    for one in sim.steps:
        if one.strategy == strategy:
            runs.setdefault(one.seed, []).append(one)
    return runs


def _fraction(run: Sequence[Step], random: Sequence[Step]) -> float:
    """Return labels until random's last score by a run, over those by random itself."""
    target = float(_smoothed(random)[-1])
    return _reached(run, target) / _reached(random, target)


def _reached(run: Sequence[Step], target: float) -> float:
    reached = np.flatnonzero(_smoothed(run) >= target)
    return float(run[reached[0]].labels) if len(reached) else float("inf")


def _smoothed(run: Sequence[Step]) -> Real:
    """Return means (n,) of each score and those before it, `SMOOTHED` at most."""
    scores = [one.macro_f1 for one in run]
    return np.array([np.mean(scores[max(0, k + 1 - SMOOTHED) : k + 1]) for k in range(len(scores))])
