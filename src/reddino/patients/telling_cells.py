"""The most telling cells of patients: those that attention models weigh most, trained on other patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reddino.patients.attention import (
    AttentionModel,
    AttentionSettings,
    Patients,
    predict_bags,
    reduced_bags,
    train_attention,
)
from reddino.patients.bags import Bags
from reddino.patients.linear_head import inner_folds

Real = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TellingCells:
    """Attention over all cells, by models that were trained on other patients.

    Attributes:
        bags: the cells of each patient.
        weights: (m,) of each cell, in the order of the embedding table, times the number of the patient's
            cells: 1 is an average cell.
        likely: (n, K) probabilities of the patients.
    """

    bags: Bags
    weights: Real
    likely: Real

    def top(self, patient: int, most: int) -> Rows:
        """Return the rows of a patient's cells with the largest weights, largest first."""
        rows = self.bags.rows[self.bags.cells(patient)]
        return np.asarray(rows[np.argsort(-self.weights[rows], kind="stable")][:most], dtype=np.int64)


def telling_cells(
    bags: Bags, truth: Rows, settings: AttentionSettings | None = None, seed: int = 0
) -> TellingCells:
    """Weigh the cells of each patient by a model of patients in other folds.

    Args:
        bags: cells of all patients.
        truth: (n,) class numbers.
        settings: of the model; one network a fold.
        seed: of folds and fits.
    """
    settings = settings or AttentionSettings()
    everyone = np.arange(len(truth))
    weights, likely = np.zeros(len(bags.vectors)), np.zeros((len(truth), int(truth.max()) + 1))
    for number, (train, test) in enumerate(inner_folds(truth, everyone, seed)):
        patients = Patients(reduced_bags(bags, train, settings, seed + number), None, truth)
        model = train_attention(patients, train, settings, seed + number)
        likely[test] = predict_bags(model, patients, test, settings, seed + number)
        for patient in test.tolist():
            own = bags.rows[bags.cells(patient)]
            weights[own] = len(own) * _weights(model, patients.bags, patient)
    return TellingCells(bags, weights, likely)


@torch.inference_mode()
def _weights(model: AttentionModel, bags: Bags, patient: int) -> Real:
    """Return the attention (c,) over all cells of a patient."""
    cells = torch.from_numpy(bags.vectors[bags.cells(patient)].astype(np.float32))[None]
    present = torch.ones(cells.shape[:2], dtype=torch.bool)
    return np.asarray(model.weights(cells, present)[0].double().numpy())


def typical_patients(likely: Real, truth: Rows, most: int) -> list[Rows]:
    """Return for each class the patients whose own class the models find likeliest, likeliest first."""
    found = []
    for one in range(likely.shape[1]):
        own = np.flatnonzero(truth == one)
        found.append(own[np.argsort(-likely[own, one], kind="stable")][:most])
    return found
