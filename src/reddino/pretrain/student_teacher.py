"""Student and EMA teacher: what each sees, and the loss between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reddino.errors import RedDinoError
from reddino.model.backbone import Backbone, PooledBackbone, create_backbone, initialise
from reddino.model.catalogue import open_backbone
from reddino.model.folder import ModelCard, read_heads
from reddino.model.weights import MASK_TOKEN, backbone_tensors, load_strictly
from reddino.pretrain.centering import centred_softmax, moved_center, sinkhorn_knopp
from reddino.pretrain.heads import ProjectionHead
from reddino.pretrain.losses import dino_loss, ibot_loss, koleo_loss
from reddino.pretrain.masking import MIN_BLOCK, MaskedPatches
from reddino.pretrain.randomness import DROP_PATH, INITIALISATION, derived_seed, uniforms
from reddino.pretrain.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Views:
    """A micro-batch as the networks see it.

    Attributes:
        global_crops: (2 B, 3, g, g) float, normalised; first all first crops, then all second ones.
        local_crops: (L B, 3, l, l) float, or None.
        masked: hidden patches of the global crops; None where iBOT is off.
        global_kept, local_kept: for each residual branch the crops that compute it; None without drop path.
    """

    global_crops: Tensor
    local_crops: Tensor | None
    masked: MaskedPatches | None
    global_kept: list[Tensor] | None
    local_kept: list[Tensor] | None


@dataclass(frozen=True)
class Targets:
    """Teacher distributions: class tokens (2, B, K), the view order kept, and masked patches (M, K)."""

    cls: Tensor
    patches: Tensor | None
    tokens: Tensor


@dataclass(frozen=True)
class Losses:
    """The loss and its terms, scalars."""

    total: Tensor
    dino: Tensor
    ibot: Tensor
    koleo: Tensor


class Branch(nn.Module):
    """A backbone with its heads: the student, or the teacher."""

    def __init__(self, backbone: Backbone, recipe: Recipe) -> None:
        super().__init__()
        self.backbone = backbone
        self.dino_head = _make_head(backbone.dim, recipe)
        separate = recipe.loss.ibot > 0 and not recipe.head.shared
        self.ibot_head = _make_head(backbone.dim, recipe) if separate else None

    def patch_logits(self, patches: Tensor, masked: MaskedPatches) -> Tensor:
        """Head outputs (M, K) of the hidden patches among (C, N, d)."""
        hidden = patches.reshape(-1, patches.shape[-1]).index_select(0, masked.indices)
        head = self.dino_head if self.ibot_head is None else self.ibot_head
        logits: Tensor = head(hidden)
        return logits

    def heads_state(self) -> dict[str, Tensor]:
        """Everything but the timm network: heads and mask token."""
        inside = ("backbone.vit.", "backbone.network.")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(inside)}


def _make_head(dim: int, recipe: Recipe) -> ProjectionHead:
    head = recipe.head
    return ProjectionHead(
        dim,
        hidden=head.hidden,
        bottleneck=head.bottleneck,
        prototypes=head.prototypes,
        layers=head.layers,
        center_output=head.center_output,
    )


class StudentTeacher(nn.Module):
    """Both branches and the centres of moving-average centering."""

    dino_center: Tensor
    ibot_center: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.card, self.student = _make_student(recipe)
        self.teacher = Branch(_create(recipe), recipe)
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False).eval()
        self.register_buffer("dino_center", torch.zeros(1, recipe.head.prototypes))
        self.register_buffer("ibot_center", torch.zeros(1, recipe.head.prototypes))
        self.set_training()

    def set_training(self) -> None:
        """Put the student into training mode; frozen batch-norm statistics stay frozen."""
        self.student.train()
        if self.recipe.model.freeze_norm_statistics:
            for module in self.student.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    @torch.no_grad()
    def targets(self, views: Views, temperature: float) -> Targets:
        """The teacher's view of the unmasked global crops; class tokens and hidden patches centred apart."""
        tokens = self.teacher.backbone(views.global_crops)
        cls_logits = self.teacher.dino_head(tokens.cls).float()
        cls = torch.unflatten(self._center(cls_logits, "dino_center", temperature), 0, (2, -1))
        if views.masked is None:
            return Targets(cls, None, tokens.cls)
        patch_logits = self.teacher.patch_logits(tokens.patches, views.masked).float()
        return Targets(cls, self._center(patch_logits, "ibot_center", temperature), tokens.cls)

    def _center(self, logits: Tensor, center_name: str, temperature: float) -> Tensor:
        loss = self.recipe.loss
        if loss.centering == "sinkhorn":
            return sinkhorn_knopp(logits, temperature, loss.sinkhorn_iterations)
        center: Tensor = getattr(self, center_name)
        targets = centred_softmax(logits, center, temperature)
        center.copy_(moved_center(center, logits, loss.center_momentum))
        return targets

    def losses(self, views: Views, targets: Targets) -> Losses:
        """The student's losses against the teacher's targets."""
        loss, temperature = self.recipe.loss, self.recipe.temperature.student
        masks = views.masked.masks if views.masked is not None else None
        tokens = self.student.backbone(views.global_crops, masks, views.global_kept)
        global_logits = self.student.dino_head(tokens.cls).unflatten(0, (2, -1))
        local_logits = None
        if views.local_crops is not None and loss.dino > 0:
            local = self.student.backbone(views.local_crops, None, views.local_kept)
            batch = global_logits.shape[1]
            local_logits = self.student.dino_head(local.cls).unflatten(0, (-1, batch))
        zero = global_logits.new_zeros((), dtype=torch.float32)
        dino = dino_loss(targets.cls, global_logits, local_logits, temperature) if loss.dino > 0 else zero
        ibot = zero
        if views.masked is not None and targets.patches is not None and len(views.masked.indices):
            patch_logits = self.student.patch_logits(tokens.patches, views.masked)
            ibot = ibot_loss(
                targets.patches, patch_logits, views.masked.weights, len(views.masked.masks), temperature
            )
        koleo = zero
        if loss.koleo > 0:
            koleo = sum((koleo_loss(crop) for crop in tokens.cls.chunk(2)), start=zero)
        return Losses(loss.dino * dino + loss.ibot * ibot + loss.koleo * koleo, dino, ibot, koleo)

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * student; batch-norm statistics are copied."""
        teacher: list[Tensor] = list(self.teacher.parameters())
        student: list[Tensor] = list(self.student.parameters())
        torch._foreach_mul_(teacher, momentum)
        torch._foreach_add_(teacher, student, alpha=1 - momentum)
        for kept, moving in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            kept.copy_(moving)

    def student_parts(self) -> Iterator[nn.Module]:
        """Backbone and heads, whose gradients are clipped each by itself, as DINOv2 does."""
        yield from self.student.children()


def _create(recipe: Recipe) -> Backbone:
    model = recipe.model
    return create_backbone(
        model.backbone,
        image_size=recipe.crops.global_size,
        depth=model.depth,
        layer_scale=model.layer_scale,
        drop_path=model.drop_path,
    )


def _make_student(recipe: Recipe) -> tuple[ModelCard, Branch]:
    """Build the student and give it its starting weights."""
    model = recipe.model
    backbone = _create(recipe)
    _check_sizes(backbone, recipe)
    card = ModelCard(model.backbone, recipe.crops.global_size, model.depth, model.layer_scale)
    student = Branch(backbone, recipe)
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, INITIALISATION, 1))
    student.dino_head.initialise(generator)
    if student.ibot_head is not None:
        student.ibot_head.initialise(generator)
    if model.start == "scratch":
        initialise(backbone, derived_seed(recipe.seed, INITIALISATION, 0))
        return card, student
    start, start_card = open_backbone(model.start)
    load_strictly(backbone, backbone_tensors(start), f"model.start={model.start}")
    if model.load_heads:
        _load_heads(student, model.start)
    return ModelCard(**{**vars(card), "mean": start_card.mean, "std": start_card.std}), student


def _load_heads(student: Branch, start: str) -> None:
    """Take over the mask token and, if all of them fit, the heads saved beside the starting weights."""
    saved = read_heads(Path(start)) if Path(start).is_dir() else {}
    own = student.heads_state()
    fitting = {name: value for name, value in saved.items() if name in own and own[name].shape == value.shape}
    heads = {name for name in own if not name.endswith(MASK_TOKEN)}
    if not heads <= set(fitting):
        log.warning("model.start=%s has no projection heads that fit this recipe: they are drawn anew", start)
        fitting = {name: value for name, value in fitting.items() if name not in heads}
    student.load_state_dict(fitting, strict=False)


def _check_sizes(backbone: Backbone, recipe: Recipe) -> None:
    if isinstance(backbone, PooledBackbone):
        if recipe.loss.ibot > 0:
            raise RedDinoError(
                f"backbone '{recipe.model.backbone}' has no patch tokens, which the iBOT loss "
                "needs; set loss.ibot=0"
            )
        return
    patch = backbone.patch_size
    for key in ("global_size", "local_size"):
        size = getattr(recipe.crops, key)
        if size % patch:
            raise RedDinoError(f"crops.{key}={size} is no multiple of the patch size {patch}")
    _check_masks(recipe, recipe.crops.global_size // patch)


def _check_masks(recipe: Recipe, side: int) -> None:
    """Refuse an iBOT loss that would have nothing to predict, since no block fits into the grid."""
    most = int(recipe.masking.patches[1] * side * side)
    if recipe.loss.ibot > 0 and recipe.masking.images > 0 and most < MIN_BLOCK:
        raise RedDinoError(
            f"masking.patches hides at most {most} of the {side} x {side} patches of a global crop, and a "
            f"block has {MIN_BLOCK}: nothing would be masked; raise crops.global_size or set loss.ibot=0"
        )


def drop_path_plan(
    seed: int, sample_index: NDArray[np.int64], crops: range, branches: int, rate: float
) -> list[Tensor] | None:
    """Which crops compute each residual branch: B (1 - rate) of them, at least one, by their random scores.

    Args:
        seed: of the run.
        sample_index: (B,) global sample indices.
        crops: numbers of the crops that are stacked, crop-major: (len(crops) * B).
        branches: residual branches of the backbone.
        rate: share that skips.

    Returns:
        For each branch a sorted index tensor into the stacked crops; None where nothing is dropped.
    """
    if rate == 0 or branches == 0 or len(crops) == 0:
        return None
    most_crops = 1024
    keys = np.concatenate([sample_index * most_crops + crop for crop in crops])
    scores = uniforms(seed, DROP_PATH, keys, branches)
    count = max(1, round(len(keys) * (1 - rate)))
    kept = np.sort(np.argpartition(scores, count - 1, axis=0)[:count], axis=0)
    return [torch.from_numpy(np.ascontiguousarray(kept[:, branch])) for branch in range(branches)]
