"""Fractions of the classes on a slide, of which the classifier's own errors are taken away.

A classifier that calls a fraction of each class by another's name gives counts that are wrong even of endless
cells. How often it does is known from its held-out cells: row i of the confusion matrix M holds how cells of
class i are answered. The expected answers on a slide with fractions p are p M, and the fractions that make
the answers on it most probable are found by EM (adjusted counts: Forman 2008, Vaz, Izbicki and Stern 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Steps of EM, and the change of a fraction below which it ends.
MOST_STEPS, TOLERANCE = 2000, 1e-6
#: Cells that are added to each row of a confusion matrix, spread over the answers as all cells are.
PRIOR_CELLS = 1.0
#: Draws of the bootstrap.
DRAWS = 1000
#: Smallest singular value of a confusion matrix, relative to the largest, with which it is inverted.
LEAST_SINGULAR = 0.02
#: Held-out groups with fewer of which nothing is adjusted.
LEAST_GROUPS = 10
#: Largest correlation that is drawn: beyond it, a row would be one answer alone.
_MOST_ALIKE = 0.9


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

    def recognised(self) -> Flags:
        """Return (k,) which classes were right at least once."""
        return np.diagonal(self.counts) > 0

    def matrix(self) -> Real:
        """Return (k, m) how often each class is given each answer."""
        return smoothed(self.counts)

    def why_not(self) -> str:
        """Return why no fraction can be adjusted; "" where it can."""
        groups = int((self.by_group.sum(axis=(1, 2)) > 0).sum())
        if groups < LEAST_GROUPS:
            return f"it was held out on {groups} groups, and {LEAST_GROUPS} are needed to know its errors"
        known = self.recognised()
        if known.sum() < 2:
            return "it recognised fewer than two of its classes where they were held out"
        singular = np.linalg.svd(self.matrix()[known], compute_uv=False)
        if singular[-1] < LEAST_SINGULAR * singular[0]:
            return "it answers two classes so much alike that their fractions cannot be told apart"
        return ""


def smoothed(counts: Real) -> Real:
    """Return counts (..., k, m) as rates of each row, with `PRIOR_CELLS` added to it.

    They are spread as the answers to all cells are, but for the class itself, so that an error that was never
    seen is not taken for impossible. A row without a cell is that spread.
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
        size = sizes[:, one]
        table = by_group[size > 0, one]
        size = size[size > 0]
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


def adjusted_fractions(answers: Real, matrix: Real) -> Real:
    """Return the fractions of the classes that make answers most probable.

    Args:
        answers: (..., m) fractions of each answer.
        matrix: (..., k, m) how often each class is given each.

    Returns:
        (..., k) fractions with sum 1.
    """
    answers, matrix = np.asarray(answers, np.float64), np.asarray(matrix, np.float64)
    classes = matrix.shape[-2]
    found = np.full((*np.broadcast_shapes(answers.shape[:-1], matrix.shape[:-2]), classes), 1.0 / classes)
    for _ in range(MOST_STEPS):
        expected = np.einsum("...k,...km->...m", found, matrix)
        ratio = np.where(answers > 0, answers / np.maximum(expected, 1e-300), 0.0)
        changed = found * np.einsum("...m,...km->...k", ratio, matrix)
        changed /= np.maximum(changed.sum(axis=-1, keepdims=True), 1e-300)
        if np.abs(changed - found).max() < TOLERANCE:
            return np.asarray(changed)
        found = changed
    return found


@dataclass(frozen=True)
class Estimate:
    """Fractions (k,) of the classes with their 95 % intervals; NaN where nothing is known of one."""

    fraction: Real
    low: Real
    high: Real


def estimate(by_field: Real, errors: Errors, *, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Return the adjusted fractions of a slide, with intervals of the cells' and of the classifier's chance.

    Each draw takes the held-out groups anew (a Bayesian bootstrap: weights from a flat Dirichlet
    distribution), draws from their rates those of this one slide, which differ from the mean as groups do
    among each other, and draws the answers of the slide's cells, of which the cells of a field are worth
    fewer where fields differ. The intervals are the 2.5 % and 97.5 % quantiles of the fractions.

    Args:
        by_field: (f, m) cells of each field by answer.
        errors: of the classifier; `why_not` must be "".
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Fractions (k,); NaN for classes that were never recognised, of which the slide is presumed to hold
        none.
    """
    known = errors.recognised()
    answers = by_field.sum(axis=0)
    total = float(answers.sum())
    fraction = adjusted_fractions(answers / total, errors.matrix()[known])
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(errors.by_group)), draws) * len(errors.by_group)
    matrices = smoothed(np.einsum("bg,gkm->bkm", weights, errors.by_group))
    matrices = _of_one_slide(matrices, _alike_here(errors, by_field), rng)[:, known]
    effective = effective_cells(by_field)
    drawn = rng.dirichlet(np.maximum(answers * effective / total, 1e-9) + 0.5 / len(answers), draws)
    spread = adjusted_fractions(drawn, matrices)
    low, high = np.quantile(spread, (0.025, 0.975), axis=0)
    low, high = np.minimum(low, fraction), np.maximum(high, fraction)
    return Estimate(*(_filled(values, known) for values in (fraction, low, high)))


def _alike_here(errors: Errors, by_field: Real) -> float:
    """Return how far the rates of this slide lie from the mean: of groups that are pictures, of its many."""
    fields = 1 if errors.of_slides else max(1, int((by_field.sum(axis=1) > 0).sum()))
    return errors.alike / fields


def _of_one_slide(matrices: Real, alike: float, rng: np.random.Generator) -> Real:
    """Draw rates (b, k, m) of one group from their means, as groups differ (Dirichlet)."""
    if alike <= 0:
        return matrices
    drawn = rng.standard_gamma(np.maximum(matrices * (1 - alike) / alike, 1e-6))
    total = drawn.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(total > 0, drawn / np.where(total > 0, total, 1.0), matrices))


def effective_cells(by_field: Real) -> float:
    """Return how many independent cells the cells of fields (f, m) are worth: all, where fields are alike."""
    sizes = by_field.sum(axis=1)
    total = float(sizes.sum())
    alike = intraclass(by_field[:, None, :])
    per_field = float((sizes**2).sum()) / max(total, 1.0)
    return total / max(1.0, 1.0 + (per_field - 1.0) * alike)


def _filled(values: Real, known: Flags) -> Real:
    filled = np.full(len(known), np.nan)
    filled[known] = values
    return filled
