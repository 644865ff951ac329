"""Arms side by side: means and spreads over seeds, and paired differences with intervals over groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ablation.score import Scored
from reddino.evaluation.intervals import interval
from reddino.foundations.errors import RedDinoError

Real = npt.NDArray[np.float64]
#: A task of a fold.
Unit = tuple[str, str]


@dataclass(frozen=True)
class Measured:
    """One measure, or a mean of several, of one model.

    Attributes:
        value: what it is.
        resamples: (b,) what it is for resampled groups; None where there are too few groups.
    """

    value: float
    resamples: Real | None = None


@dataclass(frozen=True)
class Comparison:
    """A measure of an arm over its seeds, and against the reference.

    Attributes:
        seeds: that went in.
        mean: over the seeds.
        sd: sample standard deviation over the seeds; None for one.
        difference: mean over the seeds that both have, arm less reference; None for the reference itself.
        interval: 95 % of that difference, by bootstrap over groups, the seeds' mean in every resample.
        difference_sd: over the seeds, of the difference; None for one.
    """

    seeds: int
    mean: float
    sd: float | None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    difference_sd: float | None = None


class Arms:
    """Results of a campaign: by arm and seed, every measure of every task.

    Args:
        scored: by arm, then seed, then fold and task.
        fixed: arms without seeds of their own, which stand beside every seed of the reference.
    """

    def __init__(
        self, scored: Mapping[str, Mapping[int, Mapping[Unit, Scored]]], fixed: Iterable[str] = ()
    ) -> None:
        self.scored, self._fixed = scored, set(fixed)
        self._require_pairs()

    def units(self) -> list[Unit]:
        """Every task of a fold that some run was scored on, in order of appearance."""
        runs = (run for arm in self.scored.values() for run in arm.values())
        return list(dict.fromkeys(unit for run in runs for unit in run))

    def measures(self, unit: Unit) -> list[str]:
        """Names of what was measured on a task of a fold."""
        runs = (run[unit] for arm in self.scored.values() for run in arm.values() if unit in run)
        return list(dict.fromkeys(name for one in runs for name in one.values))

    def measured(self, arm: str, weights: Mapping[tuple[Unit, str], float]) -> dict[int, Measured]:
        """By seed, a weighted mean of measures; seeds that lack one of them are left out.

        Args:
            weights: by unit and measure; they are divided by their sum.
        """
        total = sum(weights.values())
        found = {}
        for seed, run in self.scored.get(arm, {}).items():
            if not weights or any(unit not in run or name not in run[unit].values for unit, name in weights):
                continue
            value = sum(run[unit].values[name] * share for (unit, name), share in weights.items()) / total
            drawn = [(run[unit].resamples.get(name), share) for (unit, name), share in weights.items()]
            parts = [one * (share / total) for one, share in drawn if one is not None]
            found[seed] = Measured(value, np.sum(parts, axis=0) if len(parts) == len(drawn) else None)
        return found

    def compare(
        self, arm: str, reference: str, weights: Mapping[tuple[Unit, str], float]
    ) -> Comparison | None:
        """A measure of an arm, and how far it is from that of the reference; None where no seed has it."""
        own, other = self.measured(arm, weights), self.measured(reference, weights)
        if not own:
            return None
        mean, sd = mean_and_sd([one.value for one in own.values()])
        seeds = len(own)
        # A network stands beside every seed of the other side.
        if arm in self._fixed and other:
            own = dict.fromkeys(other, *own.values())
        elif reference in self._fixed and other:
            other = dict.fromkeys(own, *other.values())
        both = sorted(set(own) & set(other))
        if arm == reference or not both:
            return Comparison(seeds, mean, sd)
        gain, spread = mean_and_sd([own[seed].value - other[seed].value for seed in both])
        drawn = [_difference(own[seed], other[seed]) for seed in both]
        known = [one for one in drawn if one is not None]
        found = interval(np.mean(known, axis=0), gain) if len(known) == len(both) else None
        return Comparison(seeds, mean, sd, gain, found, spread)

    def _require_pairs(self) -> None:
        """Refuse results on other cells: their differences would not be paired."""
        first: dict[Unit, tuple[str, str]] = {}
        for arm, runs in self.scored.items():
            for seed, run in runs.items():
                for unit, one in run.items():
                    name, cells = first.setdefault(unit, (f"{arm}, seed {seed}", one.cells))
                    if cells != one.cells:
                        raise RedDinoError(
                            f"{unit[0]} / {unit[1]}: '{arm}, seed {seed}' was scored on other cells than "
                            f"'{name}': delete the result.json of one, and it is scored again"
                        )


def _difference(a: Measured, b: Measured) -> Real | None:
    return None if a.resamples is None or b.resamples is None else a.resamples - b.resamples


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def task_weights(units: Sequence[Unit], measures: Sequence[str]) -> dict[tuple[Unit, str], float]:
    """Weights by which each task has the same share, whatever the folds in which it is scored.

    A task that two folds score counts half in each; each of its measures has the same share in it.
    """
    titles = [title for _, title in units]
    return {
        (unit, measure): 1.0 / titles.count(unit[1]) / len(measures) for unit in units for measure in measures
    }
