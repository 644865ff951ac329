"""95 % intervals of scores, by bootstrap over groups, from each group's confusion counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from reddino.evaluation.metrics import Classes, Real, score_rows

RESAMPLES = 1000
#: With fewer groups a bootstrap shows little of how scores vary from group to group.
LEAST_GROUPS = 10
#: With fewer, an interval covers the true score less often than it claims: in some 88 to 90 % of cases.
ENOUGH_GROUPS = 30
FEW_GROUPS = " Of fewer than 30 groups, 95 % intervals are too narrow: they cover some 88 to 90 %."
# Weights that are drawn and multiplied at once (32 MB).
CHUNK_NUMBERS = 2**22
LEVEL = 0.95


@dataclass(frozen=True)
class PredictedRows:
    """A test set's predictions by one classifier, as the bootstrap resamples them.

    Attributes:
        group: (m,) number of each row's group.
        truth, predicted: (m,) class numbers.
        positive: (m,) how likely class 1 is; None unless there are two classes.
    """

    group: Classes
    truth: Classes
    predicted: Classes
    positive: Real | None = None


def resampled_scores(
    tests: Mapping[str, Sequence[PredictedRows]],
    groups: int,
    classes: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Real]:
    """Return scores of resampled groups: by classifier (resamples, 5), the four scores and AUROC.

    Every resample draws `groups` groups with replacement, the same for all test sets and classifiers and,
    given the seed, for all models that were tested on the same groups. Its score is the mean over the test
    sets, as in the tables; a test set of which no group was drawn does not count. A missing AUROC is NaN.
    """
    counted = {name: [_Counted.of(rows, groups, classes) for rows in sets] for name, sets in tests.items()}
    found: dict[str, list[Real]] = {name: [] for name in tests}
    for weights in group_weights(groups, resamples, seed):
        for name, sets in counted.items():
            scores = np.stack([one.scores(weights) for one in sets])
            known = np.isfinite(scores)
            with np.errstate(invalid="ignore"):
                found[name].append(np.where(known, scores, 0).sum(axis=0) / known.sum(axis=0))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def group_weights(groups: int, resamples: int, seed: int) -> Iterator[Real]:
    """Yield how often each group is drawn: chunks (b, groups) of `resamples` rows in all."""
    draw = np.random.default_rng(seed)
    step = max(1, CHUNK_NUMBERS // max(1, groups))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draw.integers(groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


def interval(values: Real, estimate: float, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the middle `level` of resampled values (b,), moved so that their mean is the score.

    Macro F1 over rare classes falls when groups are drawn twice and others not at all. By the bootstrap, the
    score itself is too low by as much; intervals of percentiles alone would be too low twice.

    Args:
        values: (b,) scores of resampled groups; those that are not finite do not count.
        estimate: the score of the groups as they are.
        level: fraction of the values between the ends, in 0..1.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    known = known + (estimate - known.mean())
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_confusions(
    tests: Sequence[PredictedRows],
    groups: int,
    classes: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Real:
    """Return confusion matrices (tests, resamples, C, C) of resampled groups, drawn as in `resampled_scores`.

    `positive` of the rows is not used.
    """
    plain = [replace(rows, positive=None) for rows in tests]
    counted = [_Counted.of(rows, groups, classes) for rows in plain]
    chunks = [
        np.stack([one.confusions(weights) for one in counted])
        for weights in group_weights(groups, resamples, seed)
    ]
    return np.concatenate(chunks, axis=1)


def unless_constant(
    values: Real, estimate: float, groups: int, level: float = LEVEL
) -> tuple[float, float] | None:
    """Return `interval`, within 0..1; of a score that is 0 or 1 in each resample, what so many groups show.

    A bootstrap of groups without a mistake holds no mistake. Each group then counts as one trial: with none
    missed among g groups, the score lies above (1 - level)^(1/g), the "rule of three".

    Args:
        values: (b,) scores of resampled groups, NaN where undefined.
        estimate: the score of the groups as they are.
        groups: that bear on it.
        level: fraction of the values between the ends, in 0..1.
    """
    found = interval(values, estimate, level)
    if found is None:
        return None
    if estimate in (0.0, 1.0) and found[0] == found[1]:
        least = (1 - level) ** (1 / max(groups, 1))
        return (least, 1.0) if estimate == 1.0 else (0.0, 1 - least)
    return max(found[0], 0.0), min(found[1], 1.0)


@dataclass(frozen=True)
class _Counted:
    """A test set as counts a group, and its rows in the order of their scores."""

    used: npt.NDArray[np.int64]
    counts: Any
    classes: int
    curve: _Curve | None

    @classmethod
    def of(cls, rows: PredictedRows, groups: int, classes: int) -> _Counted:
        used, group = np.unique(rows.group, return_inverse=True)
        cell = rows.truth * classes + rows.predicted
        curve = None if rows.positive is None else _Curve.of(rows.truth == 1, rows.positive, rows.group)
        return cls(used, _counts(group, cell, len(used), classes**2), classes, curve)

    def confusions(self, weights: Real) -> Real:
        """Return (b, classes, classes) of group weights (b, groups)."""
        return np.asarray(weights[:, self.used] @ self.counts).reshape(-1, self.classes, self.classes)

    def scores(self, weights: Real) -> Real:
        """Return (b, 5) of group weights (b, groups)."""
        confusion = self.confusions(weights)
        area = np.full(len(weights), np.nan) if self.curve is None else self.curve.area(weights)
        return np.concatenate([score_rows(confusion), area[:, None]], axis=1)


def _counts(group: Classes, cell: Classes, groups: int, cells: int) -> Any:
    """Return counts (groups, cells), sparse where each group has few rows of many kinds."""
    if groups * cells <= CHUNK_NUMBERS:
        counted = np.bincount(group * cells + cell, minlength=groups * cells).reshape(groups, cells)
        return counted.astype(np.float64)
    return coo_array((np.ones(len(cell)), (group, cell)), shape=(groups, cells)).tocsr()


@dataclass(frozen=True)
class _Curve:
    """What AUROC under group weights needs: rows from the least likely to the most, and where ties begin."""

    group: Classes
    positive: npt.NDArray[np.bool_]
    starts: Classes

    @classmethod
    def of(cls, truth: npt.NDArray[np.bool_], likely: Real, group: Classes) -> _Curve:
        order = np.argsort(likely, kind="stable")
        ordered = likely[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        return cls(group[order], truth[order], starts)

    def area(self, weights: Real) -> Real:
        """Return (b,) AUROC of each resample; NaN where one kind was not drawn."""
        step = max(1, CHUNK_NUMBERS // max(1, len(self.group)))
        return np.concatenate(
            [self._area(weights[start : start + step]) for start in range(0, len(weights), step)]
        )

    def _area(self, weights: Real) -> Real:
        row = weights[:, self.group]
        ones = np.add.reduceat(np.where(self.positive, row, 0.0), self.starts, axis=1)
        others = np.add.reduceat(np.where(self.positive, 0.0, row), self.starts, axis=1)
        below = np.cumsum(others, axis=1) - others / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            area: Real = (ones * below).sum(axis=1) / (ones.sum(axis=1) * others.sum(axis=1))
        return area
