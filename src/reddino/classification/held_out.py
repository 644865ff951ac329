"""How a classifier does on groups that it did not learn from: scores, each class, and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.evaluation.intervals import (
    ENOUGH_GROUPS,
    LEAST_GROUPS,
    RESAMPLES,
    PredictedRows,
    resampled_confusions,
    unless_constant,
)
from reddino.evaluation.metrics import confusion_matrix, precision_recall_f1, score_rows

Classes = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
#: Keys of scores, in the order of `reddino.evaluation.metrics.METRICS`.
SCORES = ("weighted_f1", "balanced_accuracy", "accuracy", "macro_f1")
RATES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class HeldOut:
    """Rows with the class that a classifier gave them which had not learned from their groups.

    Attributes:
        names: of the classes.
        truth, predicted: (n,) class numbers.
        groups: (n,) names.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    names: Sequence[str]
    truth: Classes
    predicted: Classes
    groups: Sequence[str]
    resamples: int = RESAMPLES
    seed: int = 0

    def report(self) -> dict[str, Any]:
        """Return scores, classes and confusion as JSON values.

        Returns:
            `scores` over all rows together, since a fold of few classes has a score that means little;
            `intervals`: theirs, 95 %, by bootstrap over groups, empty with fewer than 10 of them;
            `by_class`: a list with `name`, `cells`, `predicted` (cells taken for it), `groups`, precision,
            recall and F1, and `<rate>_interval`, None where the class is in fewer than 10 groups;
            `confusion`: counts, rows are the truth; `pooled`: True, False in reports of before, whose scores
            are means over the folds; `interval_notes`: sentences.
        """
        names, number = np.unique(np.asarray(self.groups), return_inverse=True)
        enough = len(names) >= LEAST_GROUPS
        drawn = self._resampled(number, len(names)) if enough else None
        by_class = self._by_class(number, drawn)
        confusion = confusion_matrix(self.truth, self.predicted, len(self.names))
        scores = dict(zip(SCORES, score_rows(confusion).tolist(), strict=True))
        return {
            "scores": scores,
            "pooled": True,
            "intervals": {} if drawn is None else _score_intervals(drawn, scores, len(names)),
            "by_class": by_class,
            "confusion": confusion.tolist(),
            "interval_notes": self._notes(len(names), by_class),
        }

    def _resampled(self, number: Classes, groups: int) -> Real:
        rows = [PredictedRows(number, self.truth, self.predicted)]
        every = resampled_confusions(rows, groups, len(self.names), resamples=self.resamples, seed=self.seed)
        return np.asarray(every[0])

    def _by_class(self, number: Classes, drawn: Real | None) -> list[dict[str, Any]]:
        classes = len(self.names)
        confusion = confusion_matrix(self.truth, self.predicted, classes)
        rates = dict(zip(RATES, precision_recall_f1(confusion), strict=True))
        sampled = None if drawn is None else _sampled_rates(drawn)
        groups = [len(np.unique(number[self.truth == one])) for one in range(classes)]
        found = []
        for one, name in enumerate(self.names):
            known = sampled if groups[one] >= LEAST_GROUPS else None
            entry: dict[str, Any] = {
                "name": name,
                "cells": int(confusion[one].sum()),
                "predicted": int(confusion[:, one].sum()),
                "groups": groups[one],
            }
            for rate in RATES:
                entry[rate] = float(rates[rate][one])
                spread = (
                    None if known is None else unless_constant(known[rate][:, one], entry[rate], groups[one])
                )
                entry[f"{rate}_interval"] = None if spread is None else list(spread)
            found.append(entry)
        return found

    def _notes(self, groups: int, by_class: Sequence[dict[str, Any]]) -> list[str]:
        if groups < LEAST_GROUPS:
            return [f"No intervals: {groups} held-out groups, and at least {LEAST_GROUPS} are needed."]
        notes = [
            f"Intervals: 95 %, bootstrap over {groups} held-out groups ({self.resamples} resamples)."
            + (
                f" Of fewer than {ENOUGH_GROUPS} groups they are too narrow: they cover some 88 to 90 %."
                if groups < ENOUGH_GROUPS
                else ""
            )
        ]
        few = [f"'{one['name']}' ({one['groups']})" for one in by_class if one["groups"] < LEAST_GROUPS]
        if few:
            notes.append(
                f"No intervals of classes in fewer than {LEAST_GROUPS} groups: {', '.join(few)}; how well "
                "these are recognised in other groups cannot be estimated from so few."
            )
        return notes


def held_out_summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report of a classifier comes to, for readers of its predictions.

    Args:
        report: as `fit` keeps it, of this version or before.

    Returns:
        `cells` that were held out; `balanced_accuracy` over all folds together; `evidence`, False where the
        folds could not show anything of the classes; `classes`: of each its `name`, `cells`, `groups`,
        `recall`, `recall_interval` (None where groups are too few), and `taken_for`, the other class that
        most of its cells were taken for, None where none was; `never_found`: classes of which no cell was
        recognised, with their cells.
    """
    confusion, by_class = report.get("confusion") or (), report.get("by_class") or ()
    names = [one["name"] for one in by_class]
    classes = [
        {
            **{key: one[key] for key in ("name", "cells", "groups", "recall", "recall_interval")},
            "taken_for": _taken_for(place, row, names),
        }
        for place, (one, row) in enumerate(zip(by_class, confusion, strict=False))
    ]
    known = [one["recall"] for one in classes if one["cells"]]
    mean = float(np.mean(known)) if known else (report.get("scores") or {}).get("balanced_accuracy")
    missed = {one["name"]: one["cells"] for one in classes if one["cells"] and not one["recall"]}
    return {
        "cells": report.get("cells"),
        "balanced_accuracy": mean,
        "evidence": report.get("evidence", True),
        **({"classes": classes} if classes else {}),
        **({"never_found": missed} if missed else {}),
    }


def _taken_for(place: int, row: Sequence[int], names: Sequence[str]) -> str | None:
    """Return what most cells of class number `place` were wrongly taken for; None where none was."""
    wrong = [0 if number == place else count for number, count in enumerate(row)]
    return names[int(np.argmax(wrong))] if any(wrong) else None


def _score_intervals(drawn: Real, scores: dict[str, float], groups: int) -> dict[str, list[float]]:
    """Return the interval of each score from confusions (b, C, C)."""
    each = score_rows(drawn)
    found = {name: unless_constant(each[:, place], scores[name], groups) for place, name in enumerate(SCORES)}
    return {name: list(spread) for name, spread in found.items() if spread is not None}


def _sampled_rates(drawn: Real) -> dict[str, Real]:
    """Return precision, recall and F1 (b, C) of confusions (b, C, C); NaN where nothing bears on them."""
    hits = np.diagonal(drawn, axis1=1, axis2=2)
    actual, predicted = drawn.sum(axis=2), drawn.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": hits / predicted,
            "recall": hits / actual,
            "f1": 2 * hits / (actual + predicted),
        }
