"""Scores of patients with the influence of each patient on them, from which intervals follow.

AUROC of cross-validation after LeDell, Petersen and van der Laan (2015), "Computationally efficient
confidence intervals for cross-validated area under the ROC curve estimates", Electronic Journal of
Statistics 9: the mean over test folds, with the influence curve of each observation within its own fold. Of
one fold, its variance is DeLong's (1988) but for a factor (n - 1) / n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, t

Real = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """A score and the influence of each patient on it.

    Attributes:
        value: the score.
        influence: (n,) of mean 0: how much the score would move, times n, if a patient weighed more.
        fewest: patients of the rarer class, on whom a perfect AUROC rests; None counts all.
    """

    value: float
    influence: Real
    fewest: int | None = None

    @property
    def standard_error(self) -> float:
        """Of the score, over patients."""
        n = len(self.influence)
        return float(np.sqrt(np.square(self.influence).sum() / (n * max(n - 1, 1))))

    def __sub__(self, other: Score) -> Score:
        """Return the paired difference of two scores of the same patients."""
        return Score(self.value - other.value, self.influence - other.influence, self.fewest)

    @property
    def at_bound(self) -> bool:
        """Whether a score in 0..1 is 0 or 1, where no patient has an influence on it."""
        return not 0 < self.value < 1

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of Student's t with n - 1 degrees of freedom."""
        half = float(t.ppf((1 + level) / 2, max(len(self.influence) - 1, 1))) * self.standard_error
        return self.value - half, self.value + half

    def unit_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of a score in 0..1, computed on the logit scale, which keeps it inside.

        Of an AUROC of 1 its lower end is the least true value at which all m patients of the rarer class
        still lie above the others with a chance of 5 %: if a fraction of that class is never recognised,
        all m are with a chance of value ** m, whatever the other class; so 0.05 ** (1 / m).
        """
        if self.at_bound:
            least = (1 - level) ** (1 / max(self.fewest or len(self.influence), 1))
            return (least, 1.0) if self.value >= 1 else (0.0, 1 - least)
        half = float(t.ppf((1 + level) / 2, max(len(self.influence) - 1, 1))) * self.standard_error
        logit = np.log(self.value / (1 - self.value))
        half /= self.value * (1 - self.value)
        low, high = 1 / (1 + np.exp(-np.array([logit - half, logit + half])))
        return float(low), float(high)


def paired_interval(one: Score, other: Score, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the difference `one - other` of two scores in 0..1 of the same patients.

    Where one of them is at a bound, the patients have no influence on it; the interval is wider by what its
    own interval (`Score.unit_interval`) leaves open.
    """
    low, high = (one - other).interval(level)
    for score, sign in ((one, 1), (other, -1)):
        if score.at_bound:
            ends = [sign * (end - score.value) for end in score.unit_interval(level)]
            low, high = low + min(ends), high + max(ends)
    return max(low, -1.0), min(high, 1.0)


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of scores of the same patients, such as repeats of cross-validation."""
    value = float(np.mean([one.value for one in scores]))
    counted = [one.fewest for one in scores if one.fewest is not None]
    return Score(value, np.mean([one.influence for one in scores], axis=0), min(counted, default=None))


def fold_auroc(truth: NDArray[np.bool_], likely: Real, fold: Rows) -> Score | None:
    """Return the mean AUROC of test folds (LeDell et al. 2015, eq. 10).

    Args:
        truth: (n,) who has the class.
        likely: (n,) how likely the model finds it, without having seen that patient.
        fold: (n,) in which fold each is tested.

    Returns:
        None where no fold holds both kinds. Folds of one kind do not count; their patients have no influence.
    """
    areas, influence, used = [], np.zeros(len(truth)), np.zeros(len(truth), dtype=bool)
    tested = [rows for rows in (np.flatnonzero(fold == one) for one in np.unique(fold)) if _both(truth[rows])]
    if not tested:
        return None
    counted = sum(len(rows) for rows in tested)
    for rows in tested:
        ones, others = rows[truth[rows]], rows[~truth[rows]]
        below = _fraction_below(likely[ones], likely[others])
        above = 1 - _fraction_below(likely[others], likely[ones])
        area = float(below.mean())
        areas.append(area)
        # Each fold weighs the same in the mean, whatever its size.
        weight = len(truth) / len(tested)
        influence[ones] = weight * (below - area) / len(ones)
        influence[others] = weight * (above - area) / len(others)
        used[rows] = True
    assert counted == used.sum()
    with_class = sum(int(truth[rows].sum()) for rows in tested)
    return Score(float(np.mean(areas)), influence, min(with_class, counted - with_class))


def macro_auroc(truth: Rows, likely: Real, fold: Rows) -> Score | None:
    """Return AUROC of class 1, or with more classes the mean over classes, each against the rest.

    Args:
        truth: (n,) class numbers.
        likely: (n, K) probabilities.
        fold: (n,) in which fold each is tested.
    """
    classes = likely.shape[1]
    if classes == 2:
        return fold_auroc(truth == 1, likely[:, 1], fold)
    found = [fold_auroc(truth == one, likely[:, one], fold) for one in range(classes)]
    known = [score for score in found if score is not None]
    return mean_score(known) if known else None


def brier(truth: Rows, likely: Real) -> Score:
    """Return the Brier score (1950): squared errors of (n, K) probabilities; of two classes, of class 1."""
    aim = np.eye(likely.shape[1])[truth]
    each = np.square(likely - aim)
    errors = each[:, 1] if likely.shape[1] == 2 else each.sum(axis=1)
    return Score(float(errors.mean()), errors - errors.mean())


def patients_needed(difference: Score, power: float = 0.8, level: float = 0.95) -> int | None:
    """Return how many patients would show a difference of this size with this power; None where it is 0.

    Two-sided test of the paired difference, with the variance over the patients at hand.
    """
    if not np.isfinite(difference.value) or abs(difference.value) < 1e-12:
        return None
    variance = float(np.square(difference.influence).sum() / max(len(difference.influence) - 1, 1))
    reach = float(norm.ppf((1 + level) / 2) + norm.ppf(power))
    return max(2, int(np.ceil(variance * (reach / difference.value) ** 2)))


def smallest_shown(difference: Score, power: float = 0.8, level: float = 0.95) -> float:
    """Return the smallest true difference that so many patients show with this power."""
    return float(norm.ppf((1 + level) / 2) + norm.ppf(power)) * difference.standard_error


def _both(truth: NDArray[np.bool_]) -> bool:
    return bool(truth.any()) and not bool(truth.all())


def _fraction_below(values: Real, others: Real) -> Real:
    """Return for each of `values` which fraction of `others` lies below it; equal ones count half."""
    together = rankdata(np.concatenate([values, others]))[: len(values)]
    return np.asarray((together - rankdata(values)) / len(others), dtype=np.float64)
