"""Bags of cells: the vectors of each patient, in fewer numbers, for models that weigh cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.view_encoder import Vectors

Rows = NDArray[np.int64]
#: Rows that are reduced at once.
_CHUNK = 65_536


@dataclass(frozen=True)
class Bags:
    """Cells of patients.

    Attributes:
        vectors: (m, d) float16 or float32, sorted by patient.
        starts: (n + 1,) where each patient's cells start.
        rows: (m,) the row of each cell in the embedding table.
    """

    vectors: NDArray[np.floating]
    starts: Rows
    rows: Rows

    @classmethod
    def of(cls, vectors: Vectors, patient: Rows, patients: int) -> Bags:
        """Sort cells (m, d) by their patient (m,)."""
        order = np.argsort(patient, kind="stable")
        starts = np.searchsorted(patient[order], np.arange(patients + 1))
        is_sorted = bool((np.diff(order) == 1).all())
        return cls(vectors if is_sorted else vectors[order], starts, order)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def dim(self) -> int:
        """Numbers of a cell."""
        return int(self.vectors.shape[1])

    def cells(self, patient: int) -> slice:
        """Return where the cells of a patient are."""
        return slice(int(self.starts[patient]), int(self.starts[patient + 1]))

    def draw(self, patient: int, most: int, rng: np.random.Generator) -> Rows:
        """Return at most `most` cells of a patient, drawn without replacement."""
        first, last = int(self.starts[patient]), int(self.starts[patient + 1])
        if last - first <= most:
            return np.arange(first, last)
        return np.sort(first + rng.choice(last - first, most, replace=False))

    def axes(self, patients: Rows, components: int, most: int, rng: np.random.Generator) -> Reduction:
        """Fit principal components to cells of `patients`, the same number of each.

        Args:
            patients: whose cells are used: those that train.
            components: kept, at most.
            most: cells of each patient, at most.
            rng: draws them.
        """
        chosen = np.concatenate([self.draw(patient, most, rng) for patient in patients.tolist()])
        values = self.vectors[chosen].astype(np.float64)
        mean = values.mean(axis=0)
        covariance = np.cov((values - mean).T).reshape(self.dim, self.dim)
        spread, vectors = np.linalg.eigh(covariance)
        kept = np.argsort(spread)[::-1][: min(components, self.dim)]
        # The first component has unit variance; the others keep their size against it.
        scale = np.sqrt(max(float(spread[kept[0]]), 1e-12))
        return Reduction(mean, vectors[:, kept] / scale)

    def reduced(self, reduction: Reduction) -> Bags:
        """Return the same bags in principal components, float16: 2 bytes a number."""
        found = np.empty((len(self.vectors), reduction.axes.shape[1]), dtype=np.float16)
        for start in range(0, len(found), _CHUNK):
            part = self.vectors[start : start + _CHUNK].astype(np.float64)
            found[start : start + _CHUNK] = (part - reduction.mean) @ reduction.axes
        return Bags(found, self.starts, self.rows)


@dataclass(frozen=True)
class Reduction:
    """Principal components of cells: `mean` (d,), `axes` (d, c)."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
