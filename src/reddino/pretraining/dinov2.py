"""DINOv2 (Oquab et al. 2023) from top to bottom: student and teacher, targets, losses, EMA, training step.

The teacher's outputs of whole global crops are turned into targets; the student predicts them from other
crops of the same patch (DINO, on class tokens) and from crops with masked patches (iBOT, on patch tokens).
The teacher is the moving average of the student. The mathematics of each part is in `losses`, `heads`,
`masking` and `schedules`; `build` makes the networks of a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import Backbone, Crops, Tokens, ViTBackbone
from reddino.networks.folder import ModelCard
from reddino.pretraining.data.network_input import NetworkInput, Prefetcher, make_network_input
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distillation.distillation import Distillation
from reddino.pretraining.distillation.predictor import FeaturePredictor
from reddino.pretraining.distillation.teacher import TeacherFeatures
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.distributed.tensors import local_shard, whole_tensor
from reddino.pretraining.heads import ProjectionHead
from reddino.pretraining.losses import (
    centred_softmax,
    dino_loss,
    ibot_loss,
    koleo_loss,
    moved_center,
    require_same_names,
    sinkhorn_knopp,
    total_loss,
)
from reddino.pretraining.masking import MaskedPatches
from reddino.pretraining.optim import apply_schedule
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.schedules import StepValues

T = TypeVar("T")
LossTerm = Callable[[], Tensor]


class Outputs(NamedTuple):
    """The outputs of a branch.

    Attributes:
        tokens: (2 B, d) class tokens of the global crops, before the head.
        global_logits: (2, B, K) head outputs of them, or None without prototypes.
        local_logits: (L, B, K) of the local crops, or None.
        patch_logits: (M, K) at the masked patches of the global crops, or None.
        predictions: of the features of a distillation's teacher, or None without one.
    """

    tokens: Tensor
    global_logits: Tensor | None
    local_logits: Tensor | None
    patch_logits: Tensor | None
    predictions: TeacherFeatures | None = None


@dataclass(frozen=True)
class Targets:
    """What the student has to predict.

    Attributes:
        cls: (2, B, K) teacher distributions of class tokens, the view order kept; None without prototypes.
        patches: (M, K) of masked patches, or None.
        tokens: (2 B, d) the teacher's class tokens; None without prototypes.
        distillation: features of a distillation's teacher, or None without one.
    """

    cls: Tensor | None
    patches: Tensor | None
    tokens: Tensor | None
    distillation: TeacherFeatures | None = None


class StudentCall(Protocol):
    """The student as the training step calls it: alone, or wrapped by `distributed.parallel`."""

    def predict(self, inputs: NetworkInput, /) -> Outputs:
        """Return what the student computes of the crops of a micro-batch."""
        ...

    def accumulating(self, last: bool) -> AbstractContextManager[object]:
        """Enclose the forward and backward pass of a micro-batch; gradients travel with the last one."""


#: Called after each micro-batch with the total loss, its unweighted terms by name, targets and outputs.
Observer = Callable[[Tensor, dict[str, Tensor], Targets, Outputs], None]


class Branch(nn.Module):
    """A backbone with its heads: the student, or the teacher.

    Args:
        backbone: Vision Transformer or CNN.
        recipe: of the run; without DINO's and iBOT's loss there is no projection head.
        processes: over which heads may centre their output.
        predictor: heads of a distillation. Checkpoints name them `guide_heads`.
    """

    def __init__(
        self,
        backbone: Backbone,
        recipe: Recipe,
        processes: Processes = ALONE,
        predictor: FeaturePredictor | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        head, separate = recipe.head, recipe.loss.ibot > 0 and not recipe.head.shared
        self.dino_head = ProjectionHead.of(head, backbone.dim, processes) if recipe.has_prototypes else None
        self.ibot_head = ProjectionHead.of(head, backbone.dim, processes) if separate else None
        self.guide_heads = predictor
        self.packs_crops = recipe.runtime.pack_crops

    def forward(self, inputs: NetworkInput) -> Outputs:
        """Compute all outputs in one call, since DDP and FSDP2 hook it."""
        tokens, local = self._encode(inputs)
        global_logits = local_logits = None
        if self.dino_head is not None:
            global_logits = self.dino_head(tokens.cls).unflatten(0, (2, -1))
            if local is not None:
                local_logits = self.dino_head(local.cls).unflatten(0, (-1, global_logits.shape[1]))
        patch_logits = None if inputs.masked is None else self.patch_logits(tokens.patches, inputs.masked)
        predictor = self.guide_heads if inputs.distillation is not None else None
        predictions = predictor(tokens) if predictor is not None else None
        return Outputs(tokens.cls, global_logits, local_logits, patch_logits, predictions)

    def _encode(self, inputs: NetworkInput) -> tuple[Tokens, Tokens | None]:
        """Compute the tokens of the global and of the local crops."""
        masks = inputs.masked.masks if inputs.masked is not None and inputs.hides else None
        crops = Crops(inputs.global_crops, masks, inputs.global_kept)
        if inputs.local_crops is None:
            return self.backbone(*crops), None
        local = Crops(inputs.local_crops, None, inputs.local_kept)
        if self.packs_crops and isinstance(self.backbone, ViTBackbone):
            of_global, of_local = self.backbone.encode([crops, local])
            return of_global, of_local
        return self.backbone(*crops), self.backbone(*local)

    def patch_logits(self, patches: Tensor | None, masked: MaskedPatches) -> Tensor:
        """Return head outputs (M, K) of the masked patches among patch tokens (C, N, d)."""
        patches = _present(patches).flatten(0, 1).index_select(0, masked.indices)
        return _present(self.ibot_head or self.dino_head)(patches)  # type: ignore[no-any-return]

    def heads_state(self) -> dict[str, Tensor]:
        """Return everything but the timm network: heads and mask token."""
        inside = ("backbone.vit.", "backbone.network.")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(inside)}


class StudentTeacher(nn.Module):
    """Student and EMA teacher, with the centres of moving-average centering; `build` makes it from a recipe.

    Args:
        recipe: of the run.
        student: with its starting weights.
        teacher: a branch of the same form, which takes over these weights.
        card: of the network, for the model folder.
        processes: share every batch; targets are balanced over all of it.
        distillation: of the recipe, where it has one. Its teacher's weights are no part of the state of this
            module; the statistics that standardise its features are.
    """

    dino_center: Tensor
    ibot_center: Tensor

    def __init__(
        self,
        recipe: Recipe,
        student: Branch,
        teacher: Branch,
        card: ModelCard,
        *,
        processes: Processes = ALONE,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.recipe, self.card, self.processes, self.distillation = recipe, card, processes, distillation
        self.student, self.teacher = student, teacher
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False).eval()
        self.register_buffer("dino_center", torch.zeros(1, recipe.head.prototypes))
        self.register_buffer("ibot_center", torch.zeros(1, recipe.head.prototypes))
        if distillation is not None:
            for name, statistics in distillation.statistics.items():
                self.add_module(name, statistics)
        self.set_training()

    def set_training(self) -> None:
        """Put the student into training mode; frozen batch-norm statistics stay frozen."""
        self.student.train()
        if self.recipe.model.freeze_norm_statistics:
            for module in self.student.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def network_input(self, batch: CropBatch, runtime: Runtime) -> NetworkInput:
        """Normalise a micro-batch on the device, with its masks and dropped paths."""
        return make_network_input(
            batch,
            self.recipe,
            self.student.backbone,
            self.card,
            runtime,
            processes=self.processes,
            distillation=self.distillation,
        )

    def training_step(
        self,
        micro_batches: Prefetcher,
        student: StudentCall,
        optimizer: torch.optim.Optimizer,
        values: StepValues,
        *,
        runtime: Runtime,
        observe: Observer = lambda total, losses, targets, outputs: None,
    ) -> bool:
        """Take one optimiser step over `run.accumulate` micro-batches, and move the teacher.

        Args:
            micro_batches: network inputs, in order.
            student: this module's student, as it is wrapped.
            optimizer: of the student.
            values: scheduled for this step: rates, decay, momentum, temperature.
            runtime: device and precision.
            observe: takes in each micro-batch.

        Returns:
            False where a loss or gradient of some process was not finite: then nothing moves.
        """
        apply_schedule(optimizer, values)
        optimizer.zero_grad(set_to_none=True)
        parts, finite = self.recipe.run.accumulate, []
        for part, inputs in enumerate(islice(micro_batches, parts), start=1):
            torch.manual_seed(inputs.seed)
            with student.accumulating(last=part == parts):
                with runtime.autocast():
                    targets = self.targets(inputs, values.teacher_temperature)
                    outputs = student.predict(inputs)
                    losses = self.losses(outputs, targets, inputs)
                    total = total_loss(losses, *self.recipe.loss_weights)
                (total / parts).backward()
            finite.append(torch.isfinite(total.detach()))
            observe(total, losses, targets, outputs)
            micro_batches.prepare()
        stepped = take_step(self, optimizer, all(map(bool, finite)))
        if stepped:
            self.update_teacher(values.ema_momentum)
        return stepped

    @torch.no_grad()
    def targets(self, inputs: NetworkInput, temperature: float) -> Targets:
        """Compute the targets: the teacher's outputs of unmasked global crops, balanced or centred.

        Class tokens and masked patches are balanced apart. Without prototypes the teacher computes nothing.
        """
        distillation, shown = self.distillation, inputs.distillation
        features = distillation.targets(shown) if distillation is not None and shown is not None else None
        if not self.recipe.has_prototypes:
            return Targets(None, None, None, features)
        teacher: Outputs = self.teacher(inputs.as_teacher())
        cls_logits = _present(teacher.global_logits).flatten(0, 1)
        cls = torch.unflatten(self._center(cls_logits, self.dino_center, temperature), 0, (2, -1))
        logits = teacher.patch_logits
        patches = None if logits is None else self._center(logits, self.ibot_center, temperature)
        return Targets(cls, patches, teacher.tokens, features)

    def _center(self, logits: Tensor, center: Tensor, temperature: float) -> Tensor:
        """Turn teacher outputs (B, K) into distributions, by Sinkhorn-Knopp or a centre, which then moves."""
        loss = self.recipe.loss
        if loss.centering == "sinkhorn":
            return sinkhorn_knopp(logits, temperature, loss.sinkhorn_iterations, self.processes)
        targets = centred_softmax(logits, center, temperature)
        center.copy_(moved_center(center, logits, loss.center_momentum, self.processes))
        return targets

    def loss_terms(self, student: Outputs, targets: Targets, inputs: NetworkInput) -> dict[str, LossTerm]:
        """Return the terms of the loss by the names of their weights: each computes an unweighted scalar.

        The mean over the processes is the term of the whole batch, but for KoLeo: each process looks for
        nearest neighbours among its own samples, as in DINOv2.
        """
        temperature, zero = self.recipe.temperature.student, student.tokens.new_zeros((), dtype=torch.float32)
        return {
            "dino": lambda: dino_loss(
                _present(targets.cls), _present(student.global_logits), student.local_logits, temperature
            ),
            "ibot": lambda: ibot_loss(
                _present(targets.patches),
                _present(student.patch_logits),
                *_present(inputs.masked).counts,
                temperature,
            ),
            "koleo": lambda: sum((koleo_loss(crop) for crop in student.tokens.chunk(2)), start=zero),
        }

    def losses(self, student: Outputs, targets: Targets, inputs: NetworkInput) -> dict[str, Tensor]:
        """Compute the terms of the loss, unweighted; one of weight 0 is 0 and not computed."""
        terms = require_same_names(self.loss_terms(student, targets, inputs), self.recipe.loss.weights)
        zero = student.tokens.new_zeros((), dtype=torch.float32)
        losses = {name: term() if weight > 0 else zero for name, (term, weight) in terms.items()}
        distillation, features = self.distillation, targets.distillation
        if distillation is not None and features is not None:
            losses |= distillation.losses(_present(student.predictions), student.tokens, features)
        return losses

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Move the teacher: momentum * teacher + (1 - momentum) * student; copy batch-norm statistics."""
        teacher = [local_shard(parameter) for parameter in self.teacher.parameters()]
        student = [local_shard(parameter) for parameter in self.student.parameters()]
        torch._foreach_mul_(teacher, momentum)
        torch._foreach_add_(teacher, student, alpha=1 - momentum)
        for kept, moving in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            kept.copy_(moving)


def take_step(networks: StudentTeacher, optimizer: torch.optim.Optimizer, finite: bool) -> bool:
    """Clip the gradients of backbone and heads, each by itself as in DINOv2, and step.

    Nothing moves where a loss (`finite`) or a gradient of some process is not finite; then return False.
    """
    if networks.processes.any(not finite):
        return False
    clip = networks.recipe.optim.clip_gradient
    parts = networks.student.children()
    norms = [whole_tensor(nn.utils.clip_grad_norm_(part.parameters(), clip)) for part in parts]
    if not all(math.isfinite(float(norm)) for norm in norms):
        return False
    optimizer.step()
    return True


def _present(value: T | None) -> T:
    assert value is not None  # by the recipe
    return value
