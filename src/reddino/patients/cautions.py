"""What makes scores of a cohort misleading: columns or laboratories that leak the target, few patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from reddino.evaluation.metrics import auroc
from reddino.foundations.visible import short
from reddino.patients.clinical_columns import ClinicalColumn

Rows = NDArray[np.int64]
#: A single column with this AUROC, or this fraction of patients right by its categories, leaks the target.
_LEAKS = 0.98
#: Cramér's V from which on the sources predict the target.
_CONFOUNDED = 0.3
#: A class with fewer patients has wide intervals, which are also less sure than they claim.
_FEW = 20


def leaking_columns(columns: Sequence[ClinicalColumn], truth: Rows, classes: Sequence[str]) -> list[str]:
    """Return a sentence for each column that names the target almost outright."""
    found = []
    for column in columns:
        if column.kind == "unused":
            continue
        if column.numbers is not None:
            how = _number_leak(column.numbers, truth, len(classes))
        else:
            how = _category_leak(column.texts, truth)
        how = how or _missing_leak(column.missing, truth, len(classes))
        if how:
            found.append(
                f"Column '{short(column.name)}' predicts the target almost by itself ({how}): if it was "
                "recorded because of the diagnosis, leave it out with --drop."
            )
    return found


def confounded_sources(sources: Sequence[str], truth: Rows) -> float | None:
    """Return Cramér's V between sources and classes where they go together, else None.

    Together means V of 0.3 or more, and more than chance gives (chi-squared test, p below 0.01).
    """
    names, number = np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    table = np.zeros((len(names), int(truth.max()) + 1))
    np.add.at(table, (number, truth), 1)
    table = table[:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return None
    tested = chi2_contingency(table)
    v = float(np.sqrt(tested.statistic / (table.sum() * (min(table.shape) - 1))))
    return v if v >= _CONFOUNDED and tested.pvalue < 0.01 else None


def few_patients(truth: Rows, classes: Sequence[str]) -> list[str]:
    """Return a sentence where a class has few patients."""
    counts = np.bincount(truth, minlength=len(classes)).tolist()
    few = [f"{short(name)} ({count})" for name, count in zip(classes, counts, strict=True) if count < _FEW]
    if not few:
        return []
    return [f"Fewer than {_FEW} patients of {', '.join(few)}: intervals are too narrow."]


def _number_leak(values: NDArray[np.float64], truth: Rows, classes: int) -> str:
    known = np.isfinite(values)
    if known.sum() < 10:
        return ""
    for one in [1] if classes == 2 else range(classes):
        area = auroc(truth[known] == one, values[known])
        if area is not None and max(area, 1 - area) >= _LEAKS:
            return f"AUROC {max(area, 1 - area):.3f}"
    return ""


def _category_leak(texts: Sequence[str], truth: Rows) -> str:
    known = np.array([text != "" for text in texts])
    if known.sum() < 10 or len(np.unique(truth[known])) < 2:
        return ""
    names, number = np.unique(np.array(texts, dtype=object)[known].astype(str), return_inverse=True)
    table = np.zeros((len(names), int(truth.max()) + 1))
    np.add.at(table, (number, truth[known]), 1)
    right = float(table.max(axis=1).sum() / table.sum())
    largest = float(table.sum(axis=0).max() / table.sum())
    return f"right for {100 * right:.0f} % of patients" if right >= _LEAKS and right > largest + 0.02 else ""


def _missing_leak(missing: NDArray[np.bool_], truth: Rows, classes: int) -> str:
    if not missing.any() or missing.all():
        return ""
    for one in [1] if classes == 2 else range(classes):
        area = auroc(truth == one, missing.astype(np.float64))
        if area is not None and max(area, 1 - area) >= _LEAKS:
            return f"by who lacks it, AUROC {max(area, 1 - area):.3f}"
    return ""
