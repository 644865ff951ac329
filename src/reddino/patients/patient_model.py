"""A fitted model of patients: clinical columns, picture, and their late fusion, as numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.patients.choices import PictureKind
from reddino.patients.clinical_columns import ClinicalColumn, LearnedColumn
from reddino.patients.features import (
    ClinicalFeatures,
    FittedCategory,
    FittedClinical,
    FittedNumber,
    FittedPicture,
    PictureFeatures,
)
from reddino.patients.linear_head import cross_fit, inner_folds, probabilities
from reddino.patients.models import LateFusion

#: Standard deviations beyond which the median of a column is far from what was learned.
FAR = 6.0
Real = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Linear:
    """Weights (K, f) and bias (K,) of a logistic regression; of two classes one row."""

    weights: Real
    bias: Real

    def logits(self, values: Real) -> Real:
        """Return (n, K) or (n, 1)."""
        return np.asarray(values @ self.weights.T + self.bias, dtype=np.float64)


@dataclass(frozen=True)
class PatientModel:
    """A model of patients.

    Attributes:
        classes: names, in the order of the probabilities.
        columns: the clinical columns that it reads: (name, kind).
        units: of the columns, "" without; None: not known, of a folder that an earlier version made.
        clinical: how they become numbers.
        picture: how the mean of cells' vectors becomes components.
        picture_kind: mean or moments.
        of_clinical: logistic regression of the columns.
        of_picture: logistic regression of the components.
        fusion: logistic regression of the logits of both, side by side.
        embedding: what the embedding table must agree in: weights_hash, pooling, view, preprocessing.
        report: scores on held-out patients, as `patients evaluate` found them.
        provenance: where it came from.
    """

    classes: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    clinical: FittedClinical
    picture: FittedPicture
    picture_kind: PictureKind
    of_clinical: Linear
    of_picture: Linear
    fusion: Linear
    embedding: Mapping[str, Any]
    report: Mapping[str, Any]
    provenance: Mapping[str, Any]
    units: tuple[str, ...] | None = None

    def learned(self) -> dict[str, LearnedColumn]:
        """Return what was learned of each column, with which tables must agree."""
        units = self.units if self.units is not None else [None] * len(self.columns)
        return {
            name: LearnedColumn(
                "category" if isinstance(fitted, FittedCategory) else "number",
                unit,
                fitted.categories if isinstance(fitted, FittedCategory) else (),
            )
            for (name, _), unit, fitted in zip(self.columns, units, self.clinical.columns, strict=True)
        }

    def far_columns(self, columns: Sequence[ClinicalColumn]) -> list[str]:
        """Return a sentence for each column of numbers that lies far from what was learned."""
        found = []
        for column, fitted in zip(columns, self.clinical.columns, strict=True):
            if column.numbers is None or not isinstance(fitted, FittedNumber):
                continue
            known = column.numbers[np.isfinite(column.numbers)]
            if known.size and abs(np.median(known) - fitted.mean) > FAR * fitted.scale:
                found.append(
                    f"column '{short(column.name)}' is about {np.median(known):.4g} here, and "
                    f"{fitted.mean:.4g} where the model learned: is it in the same unit?"
                )
        return found

    def probabilities(
        self, columns: Sequence[ClinicalColumn] | None, pictures: Real | None
    ) -> tuple[Real, list[str]]:
        """Return probabilities (n, K) of patients, and which model answered each: both, clinical or picture.

        Args:
            columns: of the model, in its order; a patient without any value has no clinical side. None:
                nobody has one.
            pictures: (n, f), rows of NaN where a patient has none. None: nobody has one.

        Raises:
            RedDinoError: a patient has neither.
        """
        if columns is None and pictures is None:
            raise RedDinoError("patients need clinical values, a picture, or both: give at least one table")
        patients = len(pictures) if pictures is not None else len((columns or [])[0].texts)
        has_clinical: NDArray[np.bool_] = np.zeros(patients, dtype=np.bool_)
        has_picture = has_clinical
        width = len(self.of_clinical.bias)
        clinical, picture = np.zeros((patients, width)), np.zeros((patients, width))
        if columns is not None:
            has_clinical = np.asarray(np.stack([~column.missing for column in columns]).any(axis=0))
            clinical = self.of_clinical.logits(self.clinical.read(columns))
        if pictures is not None:
            has_picture = np.asarray(np.isfinite(pictures).all(axis=1))
            picture = self.of_picture.logits(self.picture.project(pictures))
        if not (has_clinical | has_picture).all():
            missing = int((~(has_clinical | has_picture)).sum())
            raise RedDinoError(
                f"{missing} of {patients} patients have neither a clinical value nor a picture"
            )
        fused = probabilities(self.fusion.logits(np.concatenate([clinical, picture], axis=1)))
        found = np.where(has_clinical[:, None], probabilities(clinical), probabilities(picture))
        found = np.where((has_clinical & has_picture)[:, None], fused, found)
        sides = np.where(has_clinical & has_picture, "both", np.where(has_clinical, "clinical", "picture"))
        return found, [str(side) for side in sides]


def fit_patient_model(
    columns: Sequence[ClinicalColumn],
    pictures: Real,
    truth: Rows,
    classes: tuple[str, ...],
    *,
    picture_kind: PictureKind,
    embedding: Mapping[str, Any],
    report: Mapping[str, Any],
    provenance: Mapping[str, Any],
    seed: int = 0,
) -> PatientModel:
    """Fit both sides and their fusion to all patients.

    Args:
        columns: clinical columns that are used.
        pictures: (n, f) of all patients.
        truth: (n,) class numbers.
        classes: names.
        picture_kind: what a picture is.
        embedding: of the table.
        report: of the evaluation.
        provenance: of the model.
        seed: of the inner folds.
    """
    train = np.arange(len(truth))
    folds = inner_folds(truth, train, seed)
    features = ClinicalFeatures(tuple(columns))
    clinical = cross_fit(features, truth, train, folds)
    picture = cross_fit(PictureFeatures(pictures), truth, train, folds)
    fusion = LateFusion.fit(clinical, picture, truth, train, seed + 1)
    return PatientModel(
        classes=classes,
        columns=tuple((column.name, column.kind) for column in columns),
        clinical=features.fit(train),
        picture=PictureFeatures(pictures).fit(train),
        picture_kind=picture_kind,
        of_clinical=Linear(clinical.model.weights, clinical.model.bias),
        of_picture=Linear(picture.model.weights, picture.model.bias),
        fusion=Linear(fusion.weights, fusion.bias),
        embedding=embedding,
        report=report,
        provenance=provenance,
        units=tuple(column.unit for column in columns),
    )


def clinical_state(clinical: FittedClinical) -> list[dict[str, Any]]:
    """Return how columns become numbers, as JSON holds it."""
    return [
        {"categories": list(one.categories)}
        if isinstance(one, FittedCategory)
        else {"median": one.median, "mean": one.mean, "scale": one.scale, "tells_missing": one.missing_column}
        for one in clinical.columns
    ]


def clinical_of(state: Sequence[Mapping[str, Any]]) -> FittedClinical:
    """Return what `clinical_state` gave, without the training patients."""
    none = np.empty(0)
    return FittedClinical(
        tuple(
            FittedCategory((), tuple(one["categories"]))
            if "categories" in one
            else FittedNumber(none, one["median"], one["mean"], one["scale"], one["tells_missing"])
            for one in state
        )
    )
