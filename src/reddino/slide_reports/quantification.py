"""Fractions of the classes on a slide, of which the classifier's own errors are taken away.

A classifier that calls a fraction of each class by another's name gives counts that are wrong even of endless
cells. How often it does is known from its held-out cells: row i of the confusion matrix M holds how cells of
class i are answered. The expected answers on a slide with fractions p are p M.

The fractions that make the answers most probable (EM on M) take all errors away, and are further from the
truth than plain counts where a few hundred cells of a dozen classes are counted: they follow each accident of
the counts. The fraction that is reported is the first step of that EM from the plain counts, as in iterative
unfolding (D'Agostini 1995). Its interval is that of the fractions by which the answers can be explained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Cells that are added to each row of a confusion matrix, spread over the answers as all cells are.
PRIOR_CELLS = 1.0
#: Draws of the intervals, and steps that each takes from the plain counts.
DRAWS, STEPS = 400, 40
#: Cells of each class that are presumed before the slide is seen: few, since most slides hold few classes.
SPARSE = 0.15
#: Smallest singular value of a confusion matrix, relative to the largest, with which it is inverted.
LEAST_SINGULAR = 0.02
#: Fraction of a class's cells with an answer, at least, for whose missing ones its count is raised.
LEAST_ANSWERED = 0.05
#: Fractions below this are none.
TRACE = 1e-6
#: Held-out groups with fewer of which nothing is adjusted.
LEAST_GROUPS = 10
#: Smallest and largest correlation that is drawn: one row would be one answer alone, or never differ.
_LEAST_ALIKE, _MOST_ALIKE = 1e-3, 0.9


@dataclass(frozen=True)
class Errors:
    """How a classifier answers cells of each class, on groups that it did not learn from.

    Attributes:
        by_group: (g, k, m) held-out cells of a group by class and answer; m is k, or k + 1 where the last
            answer is none.
        alike: intra-class correlation of the answers to cells of one class and one group: 0 where groups
            differ by chance alone.
        of_slides: whether the groups are slides or patients, as the new slide is one; else pictures.
    """

    by_group: Real
    alike: float
    of_slides: bool

    @classmethod
    def of(cls, by_group: Real, *, of_slides: bool) -> Errors:
        """Return the errors of confusions by group (g, k, m)."""
        return cls(by_group, intraclass(by_group), of_slides)

    @property
    def counts(self) -> Real:
        """Return (k, m) held-out cells by class and answer."""
        return np.asarray(self.by_group.sum(axis=0))

    @property
    def groups(self) -> int:
        """Return the number of groups that hold a cell."""
        return int((self.by_group.sum(axis=(1, 2)) > 0).sum())

    def recognised(self) -> Flags:
        """Return (k,) which classes were right at least once."""
        return np.diagonal(self.counts) > 0

    def matrix(self) -> Real:
        """Return (k, m) how often each class is given each answer."""
        return smoothed(self.counts)

    def why_not(self) -> str:
        """Return why no fraction can be adjusted; "" where it can."""
        if self.groups < LEAST_GROUPS:
            return f"it was held out on {self.groups} groups, of which its errors need {LEAST_GROUPS}"
        known = self.recognised()
        if known.sum() < 2:
            return "it recognised fewer than two of its classes where they were held out"
        rates = self.counts[known] / self.counts[known].sum(axis=1, keepdims=True)
        singular = np.linalg.svd(rates, compute_uv=False)
        if singular[-1] < LEAST_SINGULAR * singular[0]:
            return "it answers two classes so much alike that their fractions cannot be separated"
        return ""


def smoothed(counts: Real) -> Real:
    """Return counts (..., k, m) as rates of each row, with `PRIOR_CELLS` added to it.

    They are spread as the answers to all cells are, so that an error that was never seen is not taken for
    impossible. A row without a cell is that spread.
    """
    spread = counts.sum(axis=-2, keepdims=True) + 0.5
    spread = spread / spread.sum(axis=-1, keepdims=True)
    added = counts + PRIOR_CELLS * spread
    return np.asarray(added / added.sum(axis=-1, keepdims=True))


def intraclass(by_group: Real) -> float:
    """Return how alike the answers to cells of one class and group are, from counts (g, k, m).

    The one-way ANOVA estimator of the intra-class correlation, over the answers as indicators, pooled over
    the classes; 0 where groups differ less than by chance, or none has two cells.
    """
    between = within = 0.0
    sizes = by_group.sum(axis=2)  # (g, k)
    for one in range(by_group.shape[1]):
        table, size = by_group[sizes[:, one] > 0, one], sizes[sizes[:, one] > 0, one]
        groups, cells = len(size), float(size.sum())
        if groups < 2 or cells <= groups:
            continue
        rate = table / size[:, None]
        mean = table.sum(axis=0) / cells
        above = float((size[:, None] * (rate - mean) ** 2).sum()) / (groups - 1)
        inside = float((size[:, None] * rate * (1 - rate)).sum()) / (cells - groups)
        typical = (cells - float((size**2).sum()) / cells) / (groups - 1)
        # The variance between groups and the one inside them, in the weight of the class's cells.
        between += cells * (above - inside) / typical
        within += cells * inside
    total = between + within
    return float(np.clip(between / total, 0.0, _MOST_ALIKE)) if total > 0 else 0.0


def unfolded(answers: Real, start: Real, matrix: Real, steps: int = 1) -> Real:
    """Return fractions after steps of EM towards those that make answers most probable.

    Args:
        answers: (m,) fractions of each answer.
        start: (k,) fractions that it begins with.
        matrix: (k, m) how often each class is given each answer.
        steps: of EM; many give the adjusted counts of maximum likelihood.

    Returns:
        (k,) fractions with sum 1.
    """
    found = start
    for _ in range(steps):
        expected = found @ matrix
        found = found * (
            matrix @ np.divide(answers, expected, out=np.zeros_like(answers), where=expected > 0)
        )
        found = found / found.sum()
    return found


@dataclass(frozen=True)
class Estimate:
    """Fractions (k,) of the classes with their 95 % intervals; NaN where nothing is known of one."""

    fraction: Real
    low: Real
    high: Real


def estimate(by_field: Real, errors: Errors, *, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Return the adjusted fractions of a slide, with intervals of the cells' and of the classifier's chance.

    The interval holds the middle 95 % of draws, each of which resamples the held-out groups (a Bayesian
    bootstrap: weights from a flat Dirichlet distribution), draws the rates of this one slide, which differ
    from the mean as those of groups do among each other, and then by Gibbs sampling the true classes of the
    answers and the fractions. Where fields differ, the cells of a field are worth fewer.

    Args:
        by_field: (f, m) cells of each field by answer.
        errors: of the classifier; `why_not` must be "".
        draws: of the intervals.
        seed: of the draws.

    Returns:
        Fractions (k,); NaN for classes that were never recognised, of which the slide is presumed to hold
        none.
    """
    known = errors.recognised()
    answers = by_field.sum(axis=0)
    total = float(answers.sum())
    matrix = errors.matrix()[known]
    # Classes are answered more or less often; where none is, all begin alike.
    answered = np.maximum(matrix[:, : len(known)].sum(axis=1), LEAST_ANSWERED)
    start = answers[: len(known)][known] / answered + 1e-9
    fraction = unfolded(answers / total, start / start.sum(), matrix)
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(errors.by_group)), draws) * len(errors.by_group)
    matrices = smoothed(np.einsum("bg,gkm->bkm", weights, errors.by_group))[:, known]
    worth = np.rint(answers * effective_cells(by_field) / total).astype(np.int64)
    spread = _explanations(worth, matrices, _alike_here(errors, by_field), rng)
    low, high = np.quantile(spread, (0.025, 0.975), axis=0)
    low, high = np.minimum(low, fraction), np.maximum(high, fraction)
    return Estimate(*(_filled(values, known) for values in (fraction, low, high)))


def _explanations(answers: Numbers, means: Real, alike: float, rng: np.random.Generator) -> Real:
    """Draw fractions by which answers (m,) can be explained, one for each mean matrix (b, k, m): (b, k)."""
    drawn = rng.standard_gamma(np.maximum(means * (1 - alike) / alike, 1e-4))
    # Not drawn again from the answers: two classes could then change places.
    rates = np.maximum(drawn / np.maximum(drawn.sum(axis=2, keepdims=True), 1e-300), 1e-9)
    fractions = rng.dirichlet(np.ones(means.shape[1]), len(means))
    repeated = np.repeat(answers[None], len(means), axis=0)
    for _ in range(STEPS):
        blame = fractions[:, :, None] * rates
        blame = blame / blame.sum(axis=1, keepdims=True)
        truth = rng.multinomial(repeated, np.moveaxis(blame, 1, 2))  # (b, m, k)
        drawn = rng.standard_gamma(SPARSE + truth.sum(axis=1))
        fractions = np.maximum(drawn / drawn.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(fractions)


def _alike_here(errors: Errors, by_field: Real) -> float:
    """Return how far the rates of this slide lie from the mean: of groups that are pictures, of its many."""
    fields = 1 if errors.of_slides else max(1, int((by_field.sum(axis=1) > 0).sum()))
    return max(errors.alike / fields, _LEAST_ALIKE)


def effective_cells(by_field: Real) -> float:
    """Return how many independent cells the cells of fields (f, m) are worth: all, where fields are alike."""
    sizes = by_field.sum(axis=1)
    total = float(sizes.sum())
    alike = intraclass(by_field[:, None, :])
    per_field = float((sizes**2).sum()) / max(total, 1.0)
    return total / max(1.0, 1.0 + (per_field - 1.0) * alike)


def _filled(values: Real, known: Flags) -> Real:
    filled = np.full(len(known), np.nan)
    filled[known] = np.where(values < TRACE, 0.0, values)
    return filled
