"""Student and EMA teacher: what each sees, and the loss between them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone, PooledBackbone, create_backbone, initialise
from reddino.networks.catalogue import open_backbone
from reddino.networks.folder import ModelCard, read_heads
from reddino.networks.shipped import as_folder
from reddino.networks.weights import MASK_TOKEN, backbone_tensors, load_strictly
from reddino.pretraining.branch import Branch, Outputs
from reddino.pretraining.centering import centred_softmax, moved_center, sinkhorn_knopp
from reddino.pretraining.data.views import Views
from reddino.pretraining.distillation.heads import (
    GuideHeads,
    Standardiser,
    coarsened,
    guide_loss,
    guide_metric,
    relation_loss,
)
from reddino.pretraining.distillation.teacher import Guide, Words, map_shape, open_guide
from reddino.pretraining.distributed.parallel import local_part
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.losses import dino_loss, ibot_loss, koleo_loss
from reddino.pretraining.masking import MIN_BLOCK
from reddino.pretraining.randomness import INITIALISATION, derived_seed
from reddino.pretraining.run.recipe import DistillSection, Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Targets:
    """What the student has to predict.

    Attributes:
        cls: (2, B, K) teacher distributions of class tokens, the view order kept; None without prototypes.
        patches: (M, K) of masked patches, or None.
        tokens: (2 B, d) the teacher's class tokens; None without prototypes.
        guide: the guide's words, standardised, at the student's places where these are fewer; or None.
    """

    cls: Tensor | None
    patches: Tensor | None
    tokens: Tensor | None
    guide: Words | None = None


@dataclass(frozen=True)
class Losses:
    """The loss and its terms, scalars; `guided` are those of a distillation, by their weights' names."""

    total: Tensor
    dino: Tensor
    ibot: Tensor
    koleo: Tensor
    guided: dict[str, Tensor] = field(default_factory=dict)


class StudentTeacher(nn.Module):
    """Both branches and the centres of moving-average centering; the guide of a distillation beside them.

    Args:
        recipe: of the run.
        processes: share every batch; targets are balanced over all of it.
        guide: that of the recipe, where it is open already; its weights are no part of this module's state,
            but the statistics that its words are standardised by are.
    """

    dino_center: Tensor
    ibot_center: Tensor

    def __init__(self, recipe: Recipe, processes: Processes = ALONE, guide: Guide | None = None) -> None:
        super().__init__()
        self.recipe, self.processes = recipe, processes
        self.guide = guide or open_guide(recipe)
        self.card, self.student = _make_student(recipe, processes, self.guide)
        self.teacher = Branch(_create(recipe), recipe, processes, deepcopy(self.student.guide_heads))
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False).eval()
        self.register_buffer("dino_center", torch.zeros(1, recipe.head.prototypes))
        self.register_buffer("ibot_center", torch.zeros(1, recipe.head.prototypes))
        self.pooled_scale = Standardiser(self.guide.dim) if self.guide and self.guide.dim else None
        self.spatial_scale = Standardiser(self.guide.map_dim) if self.guide and self.guide.map_dim else None
        self.shape_scale = Standardiser(self.guide.shape_dim) if self.guide and self.guide.shape_dim else None
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
        """The teacher's view of the unmasked global crops; class tokens and hidden patches centred apart.

        Without prototypes nobody asks the teacher. The guide, where there is one, says what it sees in the
        clean crops.
        """
        guide = self._guide_targets(views)
        if not self.recipe.has_prototypes:
            return Targets(None, None, None, guide)
        teacher: Outputs = self.teacher(views.as_teacher())
        assert teacher.global_logits is not None
        cls_logits = teacher.global_logits.flatten(0, 1)
        cls = torch.unflatten(self._center(cls_logits, "dino_center", temperature), 0, (2, -1))
        if teacher.patch_logits is None:
            return Targets(cls, None, teacher.tokens, guide)
        patches = self._center(teacher.patch_logits, "ibot_center", temperature)
        return Targets(cls, patches, teacher.tokens, guide)

    def _guide_targets(self, views: Views) -> Words | None:
        heads = self.student.guide_heads
        if self.guide is None or heads is None or not views.guided:
            return None
        words = views.answers
        if words is None:
            assert views.clean_crops is not None
            words = self.guide.says(views.clean_crops, views.clean_shapes)
        pooled = spatial = shapes = None
        if self.pooled_scale is not None and words.pooled is not None:
            pooled = self.pooled_scale(words.pooled, self.processes)
        if self.spatial_scale is not None and words.spatial is not None:
            spatial = self.spatial_scale(coarsened(words.spatial, heads.side), self.processes)
        if self.shape_scale is not None and words.shapes is not None:
            shapes = self.shape_scale(words.shapes, self.processes)
        return Words(pooled, spatial, shapes)

    def _center(self, logits: Tensor, center_name: str, temperature: float) -> Tensor:
        loss = self.recipe.loss
        if loss.centering == "sinkhorn":
            return sinkhorn_knopp(logits, temperature, loss.sinkhorn_iterations, self.processes)
        center: Tensor = getattr(self, center_name)
        targets = centred_softmax(logits, center, temperature)
        center.copy_(moved_center(center, logits, loss.center_momentum, self.processes))
        return targets

    def losses(self, student: Outputs, targets: Targets, views: Views) -> Losses:
        """The losses of the student's outputs against the teacher's targets.

        The mean over the processes is the loss of the whole batch, but for KoLeo: each process looks for
        nearest neighbours among its own samples, as in DINOv2.
        """
        loss, temperature = self.recipe.loss, self.recipe.temperature.student
        zero = student.tokens.new_zeros((), dtype=torch.float32)
        dino = ibot = koleo = zero
        if loss.dino > 0:
            assert targets.cls is not None and student.global_logits is not None
            dino = dino_loss(targets.cls, student.global_logits, student.local_logits, temperature)
        if views.masked is not None and targets.patches is not None and student.patch_logits is not None:
            crops = len(views.masked.masks)
            ibot = ibot_loss(targets.patches, student.patch_logits, views.masked.weights, crops, temperature)
        if loss.koleo > 0:
            koleo = sum((koleo_loss(crop) for crop in student.tokens.chunk(2)), start=zero)
        total = loss.dino * dino + loss.ibot * ibot + loss.koleo * koleo
        if self.recipe.distill is None or self.guide is None or targets.guide is None:
            return Losses(total, dino, ibot, koleo)
        guided = _guided(self.recipe.distill, self.guide, targets.guide, student)
        total = total + sum(getattr(self.recipe.distill, name) * term for name, term in guided.items())
        return Losses(total, dino, ibot, koleo, guided)

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * student; batch-norm statistics are copied."""
        teacher = [local_part(parameter) for parameter in self.teacher.parameters()]
        student = [local_part(parameter) for parameter in self.student.parameters()]
        torch._foreach_mul_(teacher, momentum)
        torch._foreach_add_(teacher, student, alpha=1 - momentum)
        for kept, moving in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            kept.copy_(moving)

    def student_parts(self) -> Iterator[nn.Module]:
        """Backbone and heads, whose gradients are clipped each by itself, as DINOv2 does."""
        yield from self.student.children()


def _guided(section: DistillSection, guide: Guide, targets: Words, student: Outputs) -> dict[str, Tensor]:
    """The terms of a distillation, by the names of their weights; those that weigh nothing are left out."""
    assert student.guesses is not None
    pairs = {
        "pooled": (targets.pooled, student.guesses.pooled),
        "spatial": (targets.spatial, student.guesses.spatial),
        "morphology": (targets.shapes, student.guesses.shapes),
    }
    terms = {
        name: guide_loss(wanted, guessed)
        for name, (wanted, guessed) in pairs.items()
        if wanted is not None and guessed is not None and getattr(section, name) > 0
    }
    if section.relations > 0:
        temperature = section.relation_temperature
        terms["relations"] = relation_loss(guide_metric(targets, guide.widths), student.tokens, temperature)
    return terms


def _create(recipe: Recipe) -> Backbone:
    model = recipe.model
    return create_backbone(
        model.backbone,
        image_size=recipe.crops.global_size,
        depth=model.depth,
        layer_scale=model.layer_scale,
        drop_path=model.drop_path,
    )


def _make_student(recipe: Recipe, processes: Processes, guide: Guide | None) -> tuple[ModelCard, Branch]:
    """Build the student and give it its starting weights."""
    model = recipe.model
    backbone = _create(recipe)
    _check_sizes(backbone, recipe)
    card = ModelCard(model.backbone, recipe.crops.global_size, model.depth, model.layer_scale)
    heads = None
    if guide is not None:
        # Only for a guide's map a network without tokens gives its own: those that have none do without.
        size, whose = recipe.crops.global_size, f"model.backbone={model.backbone}"
        side, dim = map_shape(backbone, size, whose) if guide.map_dim else (0, 0)
        is_guessed = recipe.distill is not None and recipe.distill.pooled > 0
        heads = GuideHeads(guide, backbone.dim, side, dim, is_guessed)
    student = Branch(backbone, recipe, processes, heads)
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, INITIALISATION, 1))
    for head in (student.dino_head, student.ibot_head, student.guide_heads):
        if head is not None:
            head.initialise(generator)
    if model.start == "scratch":
        initialise(backbone, derived_seed(recipe.seed, INITIALISATION, 0))
        return card, student
    start, start_card = open_backbone(model.start)
    load_strictly(backbone, backbone_tensors(start), f"model.start={model.start}", resample=True)
    if model.load_heads:
        _load_heads(student, model.start)
    lineage = {"started_from": _lineage(model.start, start_card)}
    return replace(card, mean=start_card.mean, std=start_card.std, training=lineage), student


def _lineage(name: str, card: ModelCard) -> dict[str, Any]:
    """What a model card says of the weights that a run started from, and of what these started from."""
    kept = ("data", "sources", "samples", "seed", "started_from", "distilled_from", "distilled_from_weights")
    said = {key: card.training[key] for key in kept if key in card.training}
    return {"name": name, "weights": card.weights_hash, **said}


def _load_heads(student: Branch, start: str) -> None:
    """Take over the mask token and the heads saved beside the starting weights.

    Projection heads are taken if all of them fit; so are those of a distillation, which fit any guide of the
    same shape.
    """
    folder = Path(as_folder(start))
    saved = read_heads(folder) if folder.is_dir() else {}
    own = student.heads_state()
    fitting = {name: value for name, value in saved.items() if name in own and own[name].shape == value.shape}
    of_guide = {name for name in own if name.startswith("guide_heads.")}
    projection = {name for name in own if not name.endswith(MASK_TOKEN)} - of_guide
    for kind, heads in (("projection heads", projection), ("heads for the guide", of_guide)):
        if not heads <= set(fitting):
            log.warning("model.start=%s has no %s that fit this recipe: they are drawn anew", start, kind)
            fitting = {name: value for name, value in fitting.items() if name not in heads}
    student.load_state_dict(fitting, strict=False)


def _check_sizes(backbone: Backbone, recipe: Recipe) -> None:
    if isinstance(backbone, PooledBackbone):
        if recipe.loss.ibot > 0:
            raise RedDinoError(
                f"backbone '{recipe.model.backbone}' has no patch tokens, which the iBOT loss "
                "needs; set loss.ibot=0"
            )
        for key in ("pack_crops", "activation_checkpointing"):
            if getattr(recipe.runtime, key):
                raise RedDinoError(
                    f"runtime.{key} is for Vision Transformers, and '{recipe.model.backbone}' is none"
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
