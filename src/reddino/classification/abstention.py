"""Which predictions are kept at an error rate that the user names, calibrated on held-out groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit  # scipy.stats takes a second to import

from reddino.classification.novelty import FAR
from reddino.foundations.errors import RedDinoError

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: With how much confidence the error rate among the answered stays below the one that is named.
CONFIDENCE = 0.95
#: Held-out groups with answers that a threshold is calibrated on, at least.
LEAST_GROUPS = 10
#: Fractions of the held-out cells that candidate thresholds answer.
COVERAGES = np.arange(0.1, 1.001, 0.05)


@dataclass(frozen=True)
class HeldOutCells:
    """Training cells as a classifier saw them that had not learned from their groups.

    Attributes:
        probability: (n,) of the predicted class, calibrated.
        novelty: (n,) quantile among the held-out cells.
        correct: (n,) whether the predicted class was the true one.
        group: (n,) number of the group.
        truth: (n,) number of the true class; None in folders of earlier versions.
        probabilities: (n, k) of all classes, calibrated; None in folders of earlier versions.
        of_slides: whether groups are whole slides or patients, and not pictures alone.
    """

    probability: Real
    novelty: Real
    correct: Flags
    group: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64] | None = None
    probabilities: Real | None = None
    of_slides: bool = False

    def __post_init__(self) -> None:
        """Refuse columns of several lengths."""
        columns = (self.probability, self.novelty, self.correct, self.group, self.truth, self.probabilities)
        if len({len(column) for column in columns if column is not None}) != 1:
            raise ValueError("the held-out cells have columns of several lengths")


@dataclass(frozen=True)
class AnswerRule:
    """Cells below a probability, or too novel, get no answer.

    Attributes:
        risk: error rate among the answered that the user named.
        probability: least that an answer needs.
        novelty: highest that an answer may have.
        coverage: fraction of the held-out cells that are answered.
        answered, errors: held-out cells, and the wrong ones among them.
        groups: held-out groups with an answered cell.
        bound: upper end of the error rate among the answered, with confidence `CONFIDENCE`.
    """

    risk: float
    probability: float
    novelty: float
    coverage: float
    answered: int
    errors: int
    groups: int
    bound: float

    def abstained(self, probability: Real, novelty: Real) -> Flags:
        """Return which cells (n,) get no answer."""
        return np.asarray((probability < self.probability) | (novelty > self.novelty))

    def sentence(self) -> str:
        """Return what the rule is worth, for the user."""
        return (
            f"answered are cells with a probability of at least {self.probability:.3f} and a novelty of at "
            f"most {self.novelty:g}: {100 * self.coverage:.0f} % of the held-out cells, {self.errors} of "
            f"{self.answered} wrong, in {self.groups} groups (at most {self.bound:.3f} with "
            f"{100 * CONFIDENCE:.0f} % confidence); this holds for smears like the training ones"
        )


def answer_rule(held: HeldOutCells, risk: float) -> AnswerRule:
    """Return the rule that answers most cells while the error rate among them stays below `risk`.

    Thresholds are tried from the strictest on, and the first whose bound exceeds `risk` ends the search, so
    that trying many costs no confidence (fixed-sequence testing, Angelopoulos et al. 2021). The bound is
    Clopper and Pearson's on the effective number of cells: cells of one group err together (Korn and
    Graubard 1998).

    Raises:
        RedDinoError: `risk` is no rate, or the held-out cells or groups are too few, or too often wrong.
    """
    if not 0 < risk < 1:
        raise RedDinoError(f"a risk of {risk:g} is no error rate: give a number between 0 and 1, such as 0.1")
    groups = len(np.unique(held.group))
    if groups < LEAST_GROUPS:
        raise RedDinoError(
            f"a risk can only be named where {LEAST_GROUPS} groups were held out, and there are {groups}: "
            "fit on cells of more fields, slides or patients"
        )
    best: AnswerRule | None = None
    tried: AnswerRule | None = None
    whole = max(1.0, _design_effect(~held.correct, held.group))
    for probability in _thresholds(held):
        tried = _judged(held, risk, probability, whole)
        if tried.groups < LEAST_GROUPS or _upper_bound(risk / 2, tried.answered / whole) > risk:
            continue  # so few that they could hardly show it, even at half of the rate
        if tried.bound > risk:
            break
        best = tried
    if best is None:
        held_out = f"{groups} held-out groups with {len(held.correct)} cells"
        seen = "" if tried is None else f" (the surest {tried.answered}: {tried.errors} wrong)"
        raise RedDinoError(
            f"an error rate of {risk:g} among the answered cannot be shown by {held_out}{seen}: name a "
            "higher risk, or fit on more cells and groups"
        )
    return best


def _thresholds(held: HeldOutCells) -> Iterator[float]:
    """Yield probabilities from strict to lax, by the fraction of the cells above them."""
    admitted = held.probability[held.novelty <= FAR]
    for coverage in COVERAGES:
        if len(admitted):
            yield float(np.quantile(admitted, 1 - min(coverage, 1.0)))


def _judged(held: HeldOutCells, risk: float, probability: float, whole: float) -> AnswerRule:
    """Return the rule of a threshold, with its bound; `whole` is the design effect over all cells."""
    answered = (held.probability >= probability) & (held.novelty <= FAR)
    wrong, group = ~held.correct[answered], held.group[answered]
    count, groups = len(wrong), len(np.unique(group))
    effective = count / max(whole, _design_effect(wrong, group), 1.0) if count else 0.0
    return AnswerRule(
        risk=risk,
        probability=probability,
        novelty=FAR,
        coverage=float(answered.mean()),
        answered=count,
        errors=int(wrong.sum()),
        groups=groups,
        bound=_upper_bound(float(wrong.mean()) if count else 0.0, effective * _few_groups(count, groups)),
    )


def _design_effect(wrong: Flags, group: npt.NDArray[np.int64]) -> float:
    """Return by how much the errors' variance exceeds that of independent cells; 1 without errors."""
    count, rate = len(wrong), float(wrong.mean()) if len(wrong) else 0.0
    _, number = np.unique(group, return_inverse=True)
    groups = int(number.max(initial=-1)) + 1
    if groups < 2 or not 0 < rate < 1:
        return 1.0
    residual = np.bincount(number, wrong - rate)
    variance = groups / (groups - 1) * float((residual**2).sum()) / count**2
    return variance / (rate * (1 - rate) / count)


def _few_groups(cells: int, groups: int) -> float:
    """Return Korn and Graubard's factor on the effective number, for a variance from few groups."""
    if cells < 2 or groups < 2:
        return 0.0
    middle = (1 + CONFIDENCE) / 2
    return float((stdtrit(cells - 1, middle) / stdtrit(groups - 1, middle)) ** 2)


def _upper_bound(rate: float, cells: float) -> float:
    """Return Clopper and Pearson's upper bound of a rate seen on a number of cells."""
    if cells <= 0:
        return 1.0
    return float(betaincinv(rate * cells + 1, cells - rate * cells, CONFIDENCE)) if rate < 1 else 1.0
