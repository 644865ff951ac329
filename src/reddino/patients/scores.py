"""Scores of models of patients, their intervals over patients, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.evaluation.intervals import PredictedRows, group_weights, interval, resampled_scores
from reddino.evaluation.metrics import score_rows
from reddino.patients.influence import (
    Score,
    brier,
    macro_auroc,
    mean_score,
    paired_interval,
    patients_needed,
    smallest_shown,
)
from reddino.patients.models import BOTH, CLINICAL, PICTURE
from reddino.patients.protocol import Repeat

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
RESAMPLES = 1000
#: Metrics in the order of tables, and which is better.
METRICS = ("auroc", "macro_f1", "balanced_accuracy", "brier")
AUROC_RESAMPLED = "auroc_bootstrap"
_F1, _ACCURACY = 3, 1


@dataclass(frozen=True)
class ResultRow:
    """A score of a model, or the paired difference of two.

    Attributes:
        model: name, or 'both - clinical'.
        metric: of `METRICS`, or auroc_bootstrap: AUROC with the interval of a bootstrap.
        value: mean over repeats.
        low, high: 95 % interval over patients; None where it cannot be computed.
    """

    model: str
    metric: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Power:
    """What a difference of AUROC would take to be shown, with 80 % power at 5 %.

    Attributes:
        difference: 'both - clinical'.
        value: the difference of AUROC here.
        patients: that would show a difference of this size; None where it is 0.
        smallest: the smallest difference that so many patients as here show.
    """

    difference: str
    value: float
    patients: int | None
    smallest: float


def score_models(truth: Rows, classes: int, repeats: Sequence[Repeat], seed: int = 0) -> list[ResultRow]:
    """Score every model, and every pair that a reader compares.

    AUROC and Brier score: intervals from the influence of each patient (`influence`). Macro F1 and balanced
    accuracy: predictions of a repeat's folds are pooled; intervals by bootstrap over patients, the same
    patients for all models. A score is the mean over the repeats.

    Args:
        truth: (n,) class numbers.
        classes: K.
        repeats: of the protocol.
        seed: of the bootstrap.
    """
    names = list(repeats[0].likely)
    resampled = {name: _resampled(truth, classes, repeats, name, seed) for name in names}
    rows: list[ResultRow] = []
    for name in names:
        rows += _of_model(name, truth, repeats, resampled[name])
    for one, other in compared_pairs(names):
        rows += _of_pair((one, other), truth, repeats, resampled)
    return rows


def compared_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs whose difference is scored: every model with the picture against clinical columns."""
    if CLINICAL not in names:
        return []
    pairs = [(BOTH, CLINICAL), (BOTH, PICTURE), (PICTURE, CLINICAL)]
    listed = {name for pair in pairs for name in pair}
    pairs += [(name, CLINICAL) for name in names if name not in listed and "withheld" not in name]
    return [pair for pair in pairs if pair[0] in names]


def powers(truth: Rows, repeats: Sequence[Repeat]) -> list[Power]:
    """Return what each difference of AUROC would take; none where a score is 1 or 0, without a spread."""
    found = []
    for one, other in compared_pairs(list(repeats[0].likely)):
        a, b = _auroc(truth, repeats, one), _auroc(truth, repeats, other)
        if a is not None and b is not None and not (a.at_bound or b.at_bound):
            gap = a - b
            found.append(Power(f"{one} - {other}", gap.value, patients_needed(gap), smallest_shown(gap)))
    return found


def mean_probabilities(repeats: Sequence[Repeat]) -> dict[str, Real]:
    """Return (n, K) probabilities of each model: the mean over the repeats."""
    return {name: np.mean([repeat.likely[name] for repeat in repeats], axis=0) for name in repeats[0].likely}


def _auroc(truth: Rows, repeats: Sequence[Repeat], name: str) -> Score | None:
    found = [macro_auroc(truth, repeat.likely[name], repeat.fold) for repeat in repeats]
    known = [score for score in found if score is not None]
    return mean_score(known) if known else None


def _brier(truth: Rows, repeats: Sequence[Repeat], name: str) -> Score:
    return mean_score([brier(truth, repeat.likely[name]) for repeat in repeats])


@dataclass(frozen=True)
class _Resampled:
    """Macro F1, balanced accuracy and AUROC: of all patients, and of resampled ones."""

    macro_f1: float
    accuracy: float
    macro_f1_of: Real
    accuracy_of: Real
    auroc_of: Real


def _resampled(truth: Rows, classes: int, repeats: Sequence[Repeat], name: str, seed: int) -> _Resampled:
    patients = len(truth)
    cells = np.zeros((len(repeats), patients, classes * classes))
    for number, repeat in enumerate(repeats):
        cells[number, np.arange(patients), truth * classes + repeat.likely[name].argmax(axis=1)] = 1.0
    exact = score_rows(cells.sum(axis=1).reshape(-1, classes, classes))
    parts = []
    for weights in group_weights(patients, RESAMPLES, seed):
        confusions = np.einsum("bn,rnc->brc", weights, cells, optimize=True)
        scores = score_rows(confusions.reshape(-1, classes, classes)).reshape(len(weights), len(repeats), -1)
        parts.append(scores.mean(axis=1))
    found = np.concatenate(parts)
    return _Resampled(
        float(exact[:, _F1].mean()),
        float(exact[:, _ACCURACY].mean()),
        found[:, _F1],
        found[:, _ACCURACY],
        _resampled_auroc(truth, classes, repeats, name, seed),
    )


def _resampled_auroc(truth: Rows, classes: int, repeats: Sequence[Repeat], name: str, seed: int) -> Real:
    """Return AUROC (b,) of resampled patients: the mean over folds, repeats and classes."""
    found = []
    for one in [1] if classes == 2 else range(classes):
        tests = []
        for repeat in repeats:
            likely = repeat.likely[name][:, one]
            for fold in np.unique(repeat.fold):
                rows = np.flatnonzero(repeat.fold == fold)
                is_one = (truth[rows] == one).astype(np.int64)
                if 0 < is_one.sum() < len(rows):
                    tests.append(PredictedRows(rows, is_one, is_one, likely[rows]))
        if tests:
            found.append(
                resampled_scores({name: tests}, len(truth), 2, resamples=RESAMPLES, seed=seed)[name][:, -1]
            )
    return np.mean(found, axis=0) if found else np.full(RESAMPLES, np.nan)


def _of_model(name: str, truth: Rows, repeats: Sequence[Repeat], resampled: _Resampled) -> list[ResultRow]:
    rows = []
    area = _auroc(truth, repeats, name)
    if area is not None:
        rows.append(ResultRow(name, "auroc", area.value, *area.unit_interval()))
        rows.append(ResultRow(name, AUROC_RESAMPLED, area.value, *_ends(resampled.auroc_of, area.value, 0.0)))
    for metric, value, values in (
        ("macro_f1", resampled.macro_f1, resampled.macro_f1_of),
        ("balanced_accuracy", resampled.accuracy, resampled.accuracy_of),
    ):
        rows.append(ResultRow(name, metric, value, *_ends(values, value, 0.0)))
    errors = _brier(truth, repeats, name)
    rows.append(ResultRow(name, "brier", errors.value, *errors.interval()))
    return rows


def _of_pair(
    pair: tuple[str, str], truth: Rows, repeats: Sequence[Repeat], resampled: Mapping[str, _Resampled]
) -> list[ResultRow]:
    one, other = pair
    name = f"{one} - {other}"
    rows = []
    first, second = _auroc(truth, repeats, one), _auroc(truth, repeats, other)
    if first is not None and second is not None:
        gap = first - second
        rows.append(ResultRow(name, "auroc", gap.value, *paired_interval(first, second)))
        resampled_gap = resampled[one].auroc_of - resampled[other].auroc_of
        rows.append(ResultRow(name, AUROC_RESAMPLED, gap.value, *_ends(resampled_gap, gap.value, -1.0)))
    a, b = resampled[one], resampled[other]
    for metric, value, values in (
        ("macro_f1", a.macro_f1 - b.macro_f1, a.macro_f1_of - b.macro_f1_of),
        ("balanced_accuracy", a.accuracy - b.accuracy, a.accuracy_of - b.accuracy_of),
    ):
        rows.append(ResultRow(name, metric, value, *_ends(values, value, -1.0)))
    gap = _brier(truth, repeats, one) - _brier(truth, repeats, other)
    rows.append(ResultRow(name, "brier", gap.value, *gap.interval()))
    return rows


def _ends(resampled: Real, value: float, least: float) -> tuple[float | None, float | None]:
    """Return the interval of a score that lies in least..1; none where no resample differs from another.

    Of scores of 1 the bootstrap draws nothing but 1: an interval without a width would be wrong.
    """
    known = resampled[np.isfinite(resampled)]
    found = interval(resampled, value) if known.size and np.ptp(known) > 0 else None
    return (None, None) if found is None else (max(found[0], least), min(found[1], 1.0))
