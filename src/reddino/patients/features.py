"""Features of patients: the picture that cells make, and clinical columns as numbers.

What is learned from patients (medians, categories, means, principal components) is learned by `fit` from the
training patients of a fold alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.view_encoder import Vectors
from reddino.patients.choices import PictureKind
from reddino.patients.clinical_columns import ClinicalColumn

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Principal components of the picture that a model reads, at most.
COMPONENTS = 48
_QUANTILES = (0.1, 0.5, 0.9)


class Features(Protocol):
    """A block of features, as one fold sees it."""

    def fit(self, train: Rows) -> FittedFeatures:
        """Learn from the training patients how features become numbers."""
        ...


class FittedFeatures(Protocol):
    """Features that were fitted to training patients."""

    def of(self, rows: Rows) -> Real:
        """Return the numbers (len(rows), f) of patients, standardised over the training patients."""
        ...


def patient_pictures(vectors: Vectors, patient: Rows, patients: int, kind: PictureKind = "mean") -> Real:
    """Return the picture of each patient (n, f): the mean of its cells' vectors, and with moments more.

    Args:
        vectors: (m, d) of the cells.
        patient: (m,) number of each cell's patient; each patient has cells.
        patients: n.
        kind: mean (d numbers), or moments: mean, standard deviation and the 10, 50, 90 % quantiles (5 d).
    """
    order = np.argsort(patient, kind="stable")
    starts = np.searchsorted(patient[order], np.arange(patients + 1))
    if (np.diff(starts) == 0).any():
        raise ValueError("a patient without cells has no picture")
    found = np.empty((patients, vectors.shape[1] * (1 if kind == "mean" else 2 + len(_QUANTILES))))
    for one in range(patients):
        cells = vectors[order[starts[one] : starts[one + 1]]].astype(np.float64)
        mean = cells.mean(axis=0)
        if kind == "mean":
            found[one] = mean
        else:
            found[one] = np.concatenate([mean, cells.std(axis=0), *np.quantile(cells, _QUANTILES, axis=0)])
    return found


@dataclass(frozen=True)
class PictureFeatures:
    """Pictures of patients (n, f), read by their leading principal components.

    Attributes:
        values: (n, f); rows of NaN where a patient has no picture.
        components: kept, at most.
    """

    values: Real
    components: int = COMPONENTS

    def fit(self, train: Rows) -> FittedPicture:
        """Fit standardisation and principal components to the training patients."""
        known = self.values[train]
        known = known[np.isfinite(known).all(axis=1)]
        mean, scale = known.mean(axis=0), _scale(known)
        standard = (known - mean) / scale
        kept = max(1, min(self.components, len(standard) - 1, standard.shape[1]))
        # The Gram matrix of n patients is small where there are more features than patients.
        values, vectors = np.linalg.eigh(standard @ standard.T)
        largest = np.argsort(values)[::-1][:kept]
        lengths = np.sqrt(np.maximum(values[largest], 1e-12))
        axes = standard.T @ (vectors[:, largest] / lengths)
        # One scale for all components: the leading ones keep their weight in a penalised model.
        spread = float(lengths[0] / np.sqrt(len(standard)))
        return FittedPicture(self.values, mean, scale, axes / max(spread, 1e-9))


@dataclass(frozen=True)
class FittedPicture:
    """Principal components of pictures."""

    values: Real
    mean: Real
    scale: Real
    axes: Real

    def of(self, rows: Rows) -> Real:
        """Return (len(rows), components) of patients."""
        return self.project(self.values[rows])

    def project(self, values: Real) -> Real:
        """Return components (n, c) of pictures (n, f); 0, the training patients' mean, where one is NaN."""
        return np.asarray(np.nan_to_num(((values - self.mean) / self.scale) @ self.axes), dtype=np.float64)


@dataclass(frozen=True)
class ClinicalFeatures:
    """Clinical columns of n patients."""

    columns: tuple[ClinicalColumn, ...]

    def fit(self, train: Rows) -> FittedClinical:
        """Fit medians, scales and categories to the training patients."""
        return FittedClinical(tuple(_fitted(column, train) for column in self.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class FittedClinical:
    """Columns as numbers: numbers standardised, missing ones at the median; categories one by one."""

    columns: tuple[FittedNumber | FittedCategory, ...]

    def of(self, rows: Rows) -> Real:
        """Return (len(rows), f)."""
        return np.concatenate([column.of(rows) for column in self.columns], axis=1)

    def read(self, columns: Sequence[ClinicalColumn]) -> Real:
        """Return (n, f) of other patients, given the same columns in the same order."""
        return np.concatenate(
            [fitted.read(column) for fitted, column in zip(self.columns, columns, strict=True)], axis=1
        )


@dataclass(frozen=True)
class FittedNumber:
    """A column of numbers; where some training patients lack it, a second column marks who does."""

    values: Real
    median: float
    mean: float
    scale: float
    missing_column: bool

    def of(self, rows: Rows) -> Real:
        """Return (len(rows), 1 or 2)."""
        return self._standard(self.values[rows])

    def read(self, column: ClinicalColumn) -> Real:
        """Return (n, 1 or 2) of other patients."""
        if column.numbers is None:
            raise ValueError(f"column '{column.name}' holds no numbers")
        return self._standard(column.numbers)

    def _standard(self, found: Real) -> Real:
        missing = np.isnan(found)
        standard = (np.where(missing, self.median, found) - self.mean) / self.scale
        return np.column_stack([standard, missing.astype(np.float64)] if self.missing_column else [standard])


@dataclass(frozen=True)
class FittedCategory:
    """A column of categories that training patients have; others, and missing ones, are all 0."""

    texts: tuple[str, ...]
    categories: tuple[str, ...]

    def of(self, rows: Rows) -> Real:
        """Return (len(rows), categories)."""
        return self._one_by_one([self.texts[row] for row in rows.tolist()])

    def read(self, column: ClinicalColumn) -> Real:
        """Return (n, categories) of other patients."""
        return self._one_by_one(column.texts)

    def _one_by_one(self, texts: Sequence[str]) -> Real:
        values = np.array(texts, dtype=object)
        return np.stack([values == one for one in self.categories], axis=1).astype(np.float64)


def _fitted(column: ClinicalColumn, train: Rows) -> FittedNumber | FittedCategory:
    if column.numbers is None:
        known: Sequence[str] = sorted({column.texts[row] for row in train.tolist()} - {""})
        return FittedCategory(column.texts, tuple(known) or ("",))
    values = column.numbers[train]
    known_values = values[np.isfinite(values)]
    median = float(np.median(known_values)) if len(known_values) else 0.0
    filled = np.where(np.isfinite(values), values, median)
    mean, scale = float(filled.mean()), float(filled.std())
    return FittedNumber(
        column.numbers, median, mean, scale if scale > 1e-12 else 1.0, len(known_values) < len(values)
    )


def _scale(values: Real) -> Real:
    spread = values.std(axis=0)
    return np.where(spread > 1e-12, spread, 1.0)
