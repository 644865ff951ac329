"""Fine-tuning: the network and a linear head learn the classes together, with lower rates in lower layers.

timm is imported where it groups layers of a network: `fit` on vectors does without it, and saves its seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from reddino.classification.calibration import Calibration, calibration_report, choose_calibration
from reddino.classification.class_weights import class_weights, presumed_priors
from reddino.classification.classifier import Head
from reddino.classification.held_out import HeldOut
from reddino.classification.softmax import softmax
from reddino.classification.turned_views import augmented
from reddino.embedding.view_encoder import Images
from reddino.evaluation.metrics import score
from reddino.evaluation.splits import folds_of_groups, grouped_folds, untested_classes
from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.encoder import Encoder
from reddino.networks.graph import normalise, pool
from reddino.networks.weights import require_finite_tensors

BROKEN = "fine-tuning broke down, its loss is no longer a number: give a lower --lr"
Classes = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
Watch = Callable[[int, int], None]


class TuneSettings(BaseModel):
    """How a network is fine-tuned.

    Attributes:
        epochs: passes over the training cells, at most.
        lr: rate of the head and of the network's last layer.
        layer_decay: factor on the rate from each layer to the one below.
        weight_decay: of AdamW; not on biases and norms.
        batch_size: views per step.
        warmup: fraction of all steps in which the rate rises.
        patience: epochs without a better validation loss after which it stops.
        balanced: weigh classes against their numbers while learning; probabilities are corrected for it.
        folds: one part of so many, of whole groups, is held out for validation.
        seed: of the split, the order, the augmentation and the head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=20, ge=1)
    lr: float = Field(default=5e-4, gt=0)
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    weight_decay: float = Field(default=0.05, ge=0)
    batch_size: int = Field(default=32, ge=2)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=4, ge=1)
    balanced: bool = True
    folds: int = Field(default=5, ge=2)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Epoch:
    """Losses after an epoch: of its training steps, and on the held-out groups."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_macro_f1: float


@dataclass(frozen=True)
class TunedHead:
    """The results of fine-tuning besides the network, which it changes in place.

    Attributes:
        head: the linear layer.
        temperature, offset: its calibration on the held-out groups.
        priors: (k,) fraction of each class that the calibrated probabilities presume.
        history: one entry per epoch.
        report: scores on the held-out groups, as JSON values.
        held: (h,) rows of the held-out groups.
        probabilities: (n, k) calibrated, of the held-out rows; 0 of the others.
        truth: (n,) class numbers.
    """

    head: Head
    temperature: float
    offset: tuple[float, ...]
    priors: tuple[float, ...]
    history: tuple[Epoch, ...]
    report: dict[str, Any]
    held: Classes
    probabilities: Real
    truth: Classes


class _Tuned(nn.Module):
    """Backbone, pooling and head."""

    def __init__(self, encoder: Encoder, pooling: str, dim: int, classes: int) -> None:
        super().__init__()
        self.backbone: Backbone = encoder.backbone
        self.pooling = pooling
        self.head = nn.Linear(dim, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.head(pool(self.backbone(images), self.pooling).float()))

    def learn(self) -> None:
        """Switch to training mode; batch-norm keeps its statistics, which small batches would spoil."""
        self.train()
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def fine_tune(
    encoder: Encoder,
    images: Images,
    labels: Sequence[str],
    groups: Sequence[str],
    settings: TuneSettings,
    *,
    pooling: str = "cls",
    watch: Watch | None = None,
) -> TunedHead:
    """Train the network and a head; the network of the epoch with the least validation loss remains.

    Args:
        encoder: its backbone is changed in place.
        images: (n, s, s, 3) uint8, possibly on disk.
        labels: (n,) class names; classes are numbered in their alphabetical order.
        groups: (n,) what stays on one side of the split.
        settings: how.
        pooling: which output the head sees.
        watch: called with steps done and steps planned.

    Raises:
        RedDinoError: classes and groups cannot be split, or the loss is no longer a number.
    """
    names, truth = np.unique(np.asarray(labels), return_inverse=True)
    split = grouped_folds(list(labels), list(groups), settings.folds, settings.seed)
    train, held = next(iter(split))
    weights = class_weights(truth[train], len(names)) if settings.balanced else np.ones(len(names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = _Tuned(encoder, pooling, _dim(encoder, pooling), len(names)).to(encoder.runtime.device)
        encoder.backbone.use_fused_attention(encoder.runtime.fused_attention)
        job = _Job(network, encoder, images, truth=truth, weights=weights, settings=settings)
        history, best = job.run(train, held, watch)
    require_finite_tensors(best, "the tuned network")
    network.load_state_dict(best)
    network.eval()
    encoder.backbone.use_fused_attention(True)
    offset = -np.log(weights)
    # In float32, as predictions will be.
    logits = job.logits(held, exact=True)
    # The weighted loss raises rare classes by their weight; taking its logarithm off again undoes that.
    known = np.isin(truth[held], truth[train])
    tested, owners = truth[held][known], [groups[row] for row in held[known].tolist()]
    calibration, scores = _held_out(
        logits[known], tested, owners, names.tolist(), offset=offset, settings=settings
    )
    report = {
        "settings": settings.model_dump(),
        "trained_on": len(train),
        "held_out": len(held),
        "groups": len(set(groups)),
        "notes": [
            "The held-out groups also chose the epoch: their scores flatter a little.",
            *split.notes,
            *untested_classes([("the held-out groups", truth[held])], names.tolist()),
        ],
        "epochs": [asdict(epoch) for epoch in history],
        **scores,
    }
    probabilities = np.zeros((len(truth), len(names)))
    probabilities[held] = softmax(logits / calibration.temperature + calibration.offset)
    return TunedHead(
        _as_head(network.head),
        calibration.temperature,
        tuple(calibration.offset.tolist()),
        presumed_priors(truth[train], weights, undone=bool(calibration.offset.any())),
        tuple(history),
        report,
        held,
        probabilities,
        truth,
    )


def _held_out(
    logits: Real,
    truth: Classes,
    groups: Sequence[str],
    names: Sequence[str],
    *,
    offset: Real,
    settings: TuneSettings,
) -> tuple[Calibration, dict[str, Any]]:
    """Calibrate logits (n, k) of held-out rows, and report how they do when other groups calibrated them."""
    folds = folds_of_groups(groups, settings.folds, settings.seed)
    calibration = choose_calibration(logits, truth, folds, offset)
    predicted = calibration.judged.argmax(axis=1)
    held = HeldOut(names, truth, predicted, groups, seed=settings.seed)
    return calibration, {**calibration_report(calibration, logits, truth), **held.report()}


class _Job:
    """One training: the network, the data and the optimiser."""

    def __init__(
        self,
        network: _Tuned,
        encoder: Encoder,
        images: Images,
        *,
        truth: Classes,
        weights: Real,
        settings: TuneSettings,
    ) -> None:
        self.network, self.encoder, self.images, self.truth = network, encoder, images, truth
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        self.weights = torch.tensor(weights, dtype=torch.float32, device=encoder.runtime.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(network, settings))

    def run(
        self, train: Classes, held: Classes, watch: Watch | None
    ) -> tuple[list[Epoch], dict[str, Tensor]]:
        """Run all epochs; return their history, and the weights of the best."""
        steps_an_epoch = max(1, len(train) // self.settings.batch_size)
        planned = steps_an_epoch * self.settings.epochs
        history: list[Epoch] = []
        best, best_state = math.inf, _copy(self.network)
        worse = step = 0
        for epoch in range(self.settings.epochs):
            losses = []
            self.network.learn()
            for rows in self._order(train, steps_an_epoch):
                losses.append(self._step(rows, rate_at(step, planned, self.settings)))
                step += 1
                if watch:
                    watch(step, planned)
            loss, macro = self._validate(held)
            if not math.isfinite(loss):
                raise RedDinoError(BROKEN)
            history.append(Epoch(epoch + 1, float(np.mean(losses)), loss, macro))
            worse = 0 if loss < best else worse + 1
            if loss < best:
                best, best_state = loss, _copy(self.network)
            if worse >= self.settings.patience:
                break
        return history, best_state

    def _order(self, train: Classes, steps: int) -> Iterator[Classes]:
        order = self.rng.permutation(train)
        yield from np.array_split(order, steps)

    def _step(self, rows: Classes, rate: float) -> float:
        batch = augmented(self.images[rows], self.rng)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        target = torch.from_numpy(self.truth[rows]).to(self.weights.device)
        with self.encoder.runtime.autocast():
            logits = self.network(self._tensor(batch))
        loss = nn.functional.cross_entropy(logits.float(), target, weight=self.weights)
        if not torch.isfinite(loss):
            raise RedDinoError(BROKEN)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 3.0)
        self.optimizer.step()
        return float(loss.detach())

    def _validate(self, held: Classes) -> tuple[float, float]:
        self.network.eval()
        logits, truth = self.logits(held), self.truth[held]
        loss = nn.functional.cross_entropy(
            torch.from_numpy(logits), torch.from_numpy(truth), weight=self.weights.double().cpu()
        )
        return float(loss), score(truth, logits.argmax(axis=1), logits.shape[1]).macro_f1

    def logits(self, rows: Classes, *, exact: bool = False) -> Real:
        """Return (n, k) of some rows, as they are; `exact` computes in float32 whatever the training did."""
        parts = []
        runtime = replace(self.encoder.runtime, precision="fp32") if exact else self.encoder.runtime
        with torch.inference_mode():
            for start in range(0, len(rows), 64):
                with runtime.autocast():
                    out = self.network(self._tensor(self.images[rows[start : start + 64]]))
                parts.append(out.double().cpu().numpy())
        return np.concatenate(parts)

    def _tensor(self, images: Images) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.weights.device)
        if self.encoder.channel_order == "BGR":
            batch = batch.flip(-1)
        return normalise(batch, self.encoder.mean, self.encoder.std)


def rate_at(step: int, planned: int, settings: TuneSettings) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine to 0."""
    warmup = round(settings.warmup * planned)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, planned - warmup)))


def parameter_groups(network: _Tuned, settings: TuneSettings) -> list[dict[str, Any]]:
    """Return parameters with `lr_scale`, the factor on the rate: timm's layers, and 1 for the head."""
    import timm.optim

    backbone = network.backbone
    inner = backbone.vit if isinstance(backbone, ViTBackbone) else backbone.network
    groups: list[dict[str, Any]] = list(
        timm.optim.param_groups_layer_decay(
            inner, weight_decay=settings.weight_decay, layer_decay=settings.layer_decay
        )
    )
    head = [
        {"params": [network.head.weight], "weight_decay": settings.weight_decay, "lr_scale": 1.0},
        {"params": [network.head.bias], "weight_decay": 0.0, "lr_scale": 1.0},
    ]
    return [*groups, *head]


def _dim(encoder: Encoder, pooling: str) -> int:
    """Return the length of a vector; embed one blank view, which also checks the pooling."""
    blank = np.zeros((1, encoder.input_size, encoder.input_size, 3), dtype=np.uint8)
    return int(encoder.embed(blank, pooling).shape[1])


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _as_head(layer: nn.Linear) -> Head:
    weights = layer.weight.detach().double().cpu().numpy()
    dim = weights.shape[1]
    return Head(np.zeros(dim), np.ones(dim), weights, layer.bias.detach().double().cpu().numpy())
