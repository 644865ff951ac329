"""The patient-level protocol: repeated nested cross-validation by patient, or each source left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.foundations.visible import short
from reddino.patients.attention import AttentionSettings, predict_attention
from reddino.patients.bags import Bags
from reddino.patients.choices import OptionalModel, PatientProtocol
from reddino.patients.features import Features
from reddino.patients.models import predict_fold

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Patients of a class, at least: each outer and each inner training set then has some.
LEAST_PATIENTS = 6
#: Classes that an error lists.
_NAMED = 8


@dataclass(frozen=True)
class PatientQuestion:
    """The question that is put to a cohort.

    Attributes:
        truth: (n,) class numbers.
        classes: their names.
        clinical: features of all patients, or None.
        pictures: pictures of all patients, by what follows a model's name; the first is the main one.
        bags: cells of all patients, for models over cells; None without these.
        sources: (n,) names, for leaving sources out.
    """

    truth: Rows
    classes: tuple[str, ...]
    clinical: Features | None
    pictures: Mapping[str, Features]
    bags: Bags | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Repeat:
    """One round of the protocol: every patient is tested once.

    Attributes:
        fold: (n,) in which fold each patient was tested.
        likely: by model, (n, K) probabilities.
    """

    fold: Rows
    likely: Mapping[str, Real]


def run_protocol(
    question: PatientQuestion,
    *,
    protocol: PatientProtocol = "patients",
    folds: int = 5,
    repeats: int = 10,
    also: Sequence[OptionalModel] = (),
    attention: AttentionSettings | None = None,
    seed: int = 0,
) -> list[Repeat]:
    """Predict every patient by models that were fitted to others.

    Args:
        question: truth and features.
        protocol: patients, `repeats` times over stratified folds, or leave-one-source-out, once.
        folds: outer folds.
        repeats: of them, each with other folds.
        also: models beyond the linear ones.
        attention: settings of the attention models.
        seed: of every fold and fit.

    Raises:
        RedDinoError: too few patients of a class, or a class in one source alone.
    """
    _require_patients(question, folds if protocol == "patients" else 2)
    draws = (
        _stratified(question, folds, repeats, seed) if protocol == "patients" else [_source_folds(question)]
    )
    plans = [(number, fold, one) for number, fold in enumerate(draws) for one in np.unique(fold)]
    likely: list[dict[str, Real]] = [{} for _ in draws]
    for number, fold, one in watched(plans, "fitting and testing patients"):
        train, test = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        own = int(np.random.SeedSequence([seed, number, int(one)]).generate_state(1)[0]) % 2**31
        found = predict_fold(
            question.clinical, question.pictures, question.truth, train, test,
            boosted="boosted" in also, seed=own,
        )  # fmt: skip
        if question.bags is not None:
            found |= predict_attention(
                question.bags, question.clinical, question.truth, train, test,
                settings=attention or AttentionSettings(), seed=own, also=also,
            )  # fmt: skip
        for name, values in found.items():
            all_of = likely[number].setdefault(
                name, np.full((len(question.truth), len(question.classes)), np.nan)
            )
            all_of[test] = values
    return [Repeat(fold, found) for fold, found in zip(draws, likely, strict=True)]


def _stratified(question: PatientQuestion, folds: int, repeats: int, seed: int) -> list[Rows]:
    return list(_draws(question.truth, folds, repeats, seed))


def _draws(truth: Rows, folds: int, repeats: int, seed: int) -> Iterator[Rows]:
    for number in range(repeats):
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed + number)
        fold = np.empty(len(truth), dtype=np.int64)
        for one, (_, test) in enumerate(splitter.split(truth, truth)):
            fold[test] = one
        yield fold


def _source_folds(question: PatientQuestion) -> Rows:
    names, fold = np.unique(np.array(question.sources, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        raise RedDinoError(
            "leave-one-source-out needs two sources of patients: the embedding table has "
            f"{'none' if names[0] == '' else f'one, {short(str(names[0]))}'}; use --protocol patients"
        )
    for one, name in enumerate(names):
        counts = np.bincount(question.truth[fold != one], minlength=len(question.classes))
        for number, count in enumerate(counts.tolist()):
            if count < LEAST_PATIENTS // 2:
                raise RedDinoError(
                    f"without source '{short(str(name))}', {counted(count, 'patient')} of class "
                    f"'{short(question.classes[number])}' would train: too few; use --protocol patients"
                )
    return fold.astype(np.int64)


def _require_patients(question: PatientQuestion, folds: int) -> None:
    counts = np.bincount(question.truth, minlength=len(question.classes))
    if not len(question.truth):
        raise RedDinoError("no patient has a target: fill its column, or choose another --target")
    if len(question.classes) < 2:
        raise RedDinoError("all patients have one class: choose another --target")
    least = max(LEAST_PATIENTS, folds)
    few = [
        f"'{short(name)}' ({count})"
        for name, count in zip(question.classes, counts.tolist(), strict=True)
        if count < least
    ]
    if len(few) > _NAMED:
        raise RedDinoError(
            f"{least} patients of each class are needed, and {len(few)} of {len(question.classes)} classes "
            "have fewer: is the target a measurement? name a column of classes with --target"
        )
    if few:
        raise RedDinoError(
            f"{least} patients of each class are needed, but there are fewer of {', '.join(few)}: join or "
            "drop these classes in the clinical table"
        )
