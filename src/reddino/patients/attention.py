"""Attention over cells (Ilse, Tomczak and Welling 2018), which clinical columns join by a gate.

The picture of a patient is the weighted mean of its cells, whose weights the model learns (eq. 9 of the
paper). Clinical columns join by a gate (gated multimodal unit, Arevalo et al. 2017, eq. 1-4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reddino.patients.bags import Bags
from reddino.patients.choices import OVER_CELLS, OptionalModel
from reddino.patients.features import Features
from reddino.patients.set_transformer import SetTransformer

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
Model = TypeVar("Model", bound=nn.Module)

#: Cells of each training patient that principal components are fitted to, at most.
_CELLS_FOR_AXES = 32
PICTURE_ATTENTION, BOTH_ATTENTION = "picture, attention", "both, attention"
PICTURE_SET_TRANSFORMER = "picture, set transformer"


@dataclass(frozen=True)
class AttentionSettings:
    """Settings of the attention models, which nothing is chosen by.

    Attributes:
        components: principal components of the cells' vectors.
        hidden: width of the layers.
        cells: of a patient in a step, at most; others are drawn in each epoch.
        epochs: rounds over the training patients.
        batch: patients in a step.
        rate: of AdamW.
        decay: weight decay.
        dropout: on the pooled vector.
        members: networks whose probabilities are averaged.
        test_cells: of a patient at prediction, at most.
    """

    components: int = 48
    hidden: int = 48
    cells: int = 256
    epochs: int = 30
    batch: int = 16
    rate: float = 2e-3
    decay: float = 1e-2
    dropout: float = 0.25
    members: int = 2
    test_cells: int = 2048


class GatedAttention(nn.Module):
    """Weights of cells: softmax over a bag of w^T (tanh(V h) * sigmoid(U h)) (Ilse et al. 2018, eq. 9)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, cells: Tensor, present: Tensor) -> Tensor:
        """Return weights (b, c) of cells (b, c, d); those that are not `present` (b, c) have weight 0."""
        scores = self.score(torch.tanh(self.value(cells)) * torch.sigmoid(self.gate(cells))).squeeze(-1)
        return torch.softmax(scores.masked_fill(~present, -torch.inf), dim=1)


class AttentionModel(nn.Module):
    """A classifier of patients from their cells, and from clinical columns where `clinical` > 0.

    Args:
        dim: numbers of a cell.
        hidden: width.
        classes: K.
        clinical: numbers of a patient's clinical columns; 0 for none.
        dropout: on the pooled vector.
    """

    def __init__(self, dim: int, hidden: int, classes: int, clinical: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU())
        self.attention = GatedAttention(hidden, hidden)
        self.clinical = nn.Sequential(nn.Linear(clinical, hidden), nn.Tanh()) if clinical else None
        self.fusion_gate = nn.Linear(2 * hidden, hidden) if clinical else None
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, cells: Tensor, present: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Return logits (b, K) of cells (b, c, d), `present` or not (b, c), and clinical columns (b, f)."""
        embedded = self.embed(cells)
        weights = self.attention(embedded, present)
        pooled = torch.einsum("bc,bch->bh", weights, embedded)
        if self.clinical is not None and self.fusion_gate is not None and clinical is not None:
            own = self.clinical(clinical)
            gate = torch.sigmoid(self.fusion_gate(torch.cat([pooled, own], dim=1)))
            pooled = gate * torch.tanh(pooled) + (1 - gate) * own
        logits: Tensor = self.head(self.drop(pooled))
        return logits

    def weights(self, cells: Tensor, present: Tensor) -> Tensor:
        """Return the attention (b, c) of cells."""
        found: Tensor = self.attention(self.embed(cells), present)
        return found


@dataclass(frozen=True)
class Patients:
    """What attention models read of all patients.

    Attributes:
        bags: their cells.
        clinical: (n, f) clinical columns as numbers, or None.
        truth: (n,) class numbers.
    """

    bags: Bags
    clinical: NDArray[np.float32] | None
    truth: Rows

    def batch(
        self, patients: Rows, most: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return cells (b, c, d), filled up with zeros, which are present (b, c), and clinical columns."""
        drawn = [self.bags.draw(patient, most, rng) for patient in patients.tolist()]
        longest = max(map(len, drawn))
        cells = np.zeros((len(drawn), longest, self.bags.dim), dtype=np.float32)
        present = np.zeros((len(drawn), longest), dtype=bool)
        for number, rows in enumerate(drawn):
            cells[number, : len(rows)] = self.bags.vectors[rows]
            present[number, : len(rows)] = True
        clinical = None if self.clinical is None else torch.from_numpy(self.clinical[patients])
        return torch.from_numpy(cells), torch.from_numpy(present), clinical


def predict_attention(
    bags: Bags,
    clinical: Features | None,
    truth: Rows,
    train: Rows,
    test: Rows,
    *,
    settings: AttentionSettings,
    seed: int,
    also: Collection[OptionalModel] = OVER_CELLS[:1],
) -> dict[str, Real]:
    """Fit models over cells to the training patients; return probabilities (len(test), K) by model.

    Principal components are fitted to the training patients' cells alone.

    Args:
        bags: cells of all patients.
        clinical: features of all patients, or None.
        truth: (n,) class numbers.
        train: row numbers to fit on.
        test: row numbers to predict.
        settings: of the models.
        seed: of the draws and fits.
        also: which models: attention (from the picture, and from both), set-transformer.
    """
    reduced = reduced_bags(bags, train, settings, seed)
    pictures = Patients(reduced, None, truth)
    found: dict[str, Real] = {}
    if "attention" in also:
        found[PICTURE_ATTENTION] = _ensemble(pictures, train, test, settings, seed)
        if clinical is not None:
            numbers = np.clip(clinical.fit(train).of(np.arange(len(truth))), -5, 5).astype(np.float32)
            both = Patients(reduced, numbers, truth)
            found[BOTH_ATTENTION] = _ensemble(both, train, test, settings, seed)
    if "set-transformer" in also:
        found[PICTURE_SET_TRANSFORMER] = _ensemble(
            pictures, train, test, settings, seed, make=_set_transformer
        )
    return found


def _attention_model(patients: Patients, settings: AttentionSettings) -> AttentionModel:
    width = 0 if patients.clinical is None else patients.clinical.shape[1]
    classes = int(patients.truth.max()) + 1
    return AttentionModel(patients.bags.dim, settings.hidden, classes, width, settings.dropout)


def _set_transformer(patients: Patients, settings: AttentionSettings) -> SetTransformer:
    classes = int(patients.truth.max()) + 1
    return SetTransformer(patients.bags.dim, settings.hidden, classes, settings.dropout)


def reduced_bags(bags: Bags, train: Rows, settings: AttentionSettings, seed: int) -> Bags:
    """Return the bags in principal components of the training patients' cells."""
    rng = np.random.default_rng(seed)
    return bags.reduced(bags.axes(train, settings.components, _CELLS_FOR_AXES, rng))


def _ensemble(
    patients: Patients,
    train: Rows,
    test: Rows,
    settings: AttentionSettings,
    seed: int,
    *,
    make: Callable[[Patients, AttentionSettings], nn.Module] = _attention_model,
) -> Real:
    found = np.zeros((len(test), int(patients.truth.max()) + 1))
    for member in range(settings.members):
        model = _train(patients, train, settings, seed + member, make)
        found += predict_bags(model, patients, test, settings, seed + member) / settings.members
    return found


def train_attention(
    patients: Patients, train: Rows, settings: AttentionSettings, seed: int
) -> AttentionModel:
    """Train one attention model on the cells of the training patients, by AdamW and a cosine rate."""
    return _train(patients, train, settings, seed, _attention_model)


def _train(
    patients: Patients,
    train: Rows,
    settings: AttentionSettings,
    seed: int,
    make: Callable[[Patients, AttentionSettings], Model],
) -> Model:
    rng = np.random.default_rng(seed)
    batches = -(-len(train) // settings.batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(patients, settings)
        optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
        model.train()
        for _ in range(settings.epochs):
            for rows in np.array_split(rng.permutation(train), batches):
                logits = model(*patients.batch(rows, settings.cells, rng))
                loss = nn.functional.cross_entropy(logits, torch.from_numpy(patients.truth[rows]))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
    model.eval()
    return model


@torch.inference_mode()
def predict_bags(
    model: nn.Module, patients: Patients, rows: Rows, settings: AttentionSettings, seed: int
) -> Real:
    """Return probabilities (len(rows), K) of patients."""
    rng = np.random.default_rng([seed, 1])
    parts = [
        torch.softmax(model(*patients.batch(part, settings.test_cells, rng)).double(), dim=1)
        for part in np.array_split(rows, max(1, -(-len(rows) // settings.batch)))
    ]
    return torch.cat(parts).numpy()
