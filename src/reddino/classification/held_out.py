"""How a classifier does on groups that it did not learn from: scores, each class, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
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
from reddino.evaluation.metrics import confusion_matrix, precision_recall_f1, score, score_rows

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
        tests: row numbers of each test set; every row is in one.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    names: Sequence[str]
    truth: Classes
    predicted: Classes
    groups: Sequence[str]
    tests: Sequence[Classes]
    resamples: int = RESAMPLES
    seed: int = 0

    def report(self) -> dict[str, Any]:
        """Return scores, classes and confusion as JSON values.

        Returns:
            `scores`: means over the test sets; `intervals`: theirs, 95 %, by bootstrap over groups, empty
            with fewer than 10 of them; `by_class`: a list with `name`, `cells`, `predicted` (cells taken for
            it), `groups`, precision, recall and F1 over all test sets together, and `<rate>_interval`, None
            where the class is in fewer than 10 groups; `confusion`: counts, rows are the truth;
            `interval_notes`: sentences.
        """
        names, number = np.unique(np.asarray(self.groups), return_inverse=True)
        enough = len(names) >= LEAST_GROUPS
        drawn = self._resampled(number, len(names)) if enough else None
        by_class = self._by_class(number, None if drawn is None else drawn.sum(axis=0))
        own = [score(self.truth[rows], self.predicted[rows], len(self.names)).as_row() for rows in self.tests]
        scores = dict(zip(SCORES, np.mean(own, axis=0).tolist(), strict=True))
        return {
            "scores": scores,
            "intervals": {} if drawn is None else _score_intervals(drawn, scores, len(names)),
            "by_class": by_class,
            "confusion": confusion_matrix(self.truth, self.predicted, len(self.names)).tolist(),
            "interval_notes": self._notes(len(names), by_class),
        }

    def _resampled(self, number: Classes, groups: int) -> Real:
        tests = [PredictedRows(number[rows], self.truth[rows], self.predicted[rows]) for rows in self.tests]
        return resampled_confusions(tests, groups, len(self.names), resamples=self.resamples, seed=self.seed)

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
                "these are told in other groups is not known from so few."
            )
        return notes


def _score_intervals(drawn: Real, scores: dict[str, float], groups: int) -> dict[str, list[float]]:
    """Return the interval of each score from confusions (tests, b, C, C), as mean over the test sets."""
    each = score_rows(drawn)
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        means = np.where(known, each, 0).sum(axis=0) / known.sum(axis=0)
    found = {
        name: unless_constant(means[:, place], scores[name], groups) for place, name in enumerate(SCORES)
    }
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
