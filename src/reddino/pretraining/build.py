"""Student and teacher of a recipe: built, checked for their sizes, and given their starting weights."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone, PooledBackbone
from reddino.networks.catalogue import open_backbone
from reddino.networks.create_backbone import create_backbone, initialise
from reddino.networks.folder import ModelCard, read_heads
from reddino.networks.shipped import as_folder
from reddino.networks.weights import MASK_TOKEN, backbone_tensors, load_strictly
from reddino.pretraining.dinov2 import Branch, StudentTeacher
from reddino.pretraining.distillation.distillation import Distillation, open_distillation
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.masking import MIN_BLOCK
from reddino.pretraining.randomness import INITIALISATION, derived_seed
from reddino.pretraining.run.recipe import Recipe

log = logging.getLogger(__name__)


def build_networks(
    recipe: Recipe, processes: Processes = ALONE, distillation: Distillation | None = None
) -> StudentTeacher:
    """Build student and teacher with their starting weights, on the CPU.

    Args:
        recipe: of the run.
        processes: of the run, all of which draw the same weights.
        distillation: of the recipe, where it is open already.

    Raises:
        RedDinoError: crops, losses or starting weights do not fit the backbone.
    """
    distillation = distillation or open_distillation(recipe, processes)
    student = _make_student(recipe, processes, distillation)
    card = _load_start(recipe, student)
    teacher = Branch(_create_backbone(recipe), recipe, processes, deepcopy(student.guide_heads))
    return StudentTeacher(recipe, student, teacher, card, processes=processes, distillation=distillation)


def _create_backbone(recipe: Recipe) -> Backbone:
    model = recipe.model
    return create_backbone(
        model.backbone,
        image_size=recipe.crops.global_size,
        depth=model.depth,
        layer_scale=model.layer_scale,
        drop_path=model.drop_path,
    )


def _make_student(recipe: Recipe, processes: Processes, distillation: Distillation | None) -> Branch:
    """Build the student with freshly drawn heads."""
    backbone = _create_backbone(recipe)
    _check_sizes(backbone, recipe)
    predictor = None
    if distillation is not None:
        predictor = distillation.make_predictor(backbone, f"model.backbone={recipe.model.backbone}")
    student = Branch(backbone, recipe, processes, predictor)
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, INITIALISATION, 1))
    for head in (student.dino_head, student.ibot_head, predictor):
        if head is not None:
            head.initialise(generator)
    return student


def _load_start(recipe: Recipe, student: Branch) -> ModelCard:
    """Give the student the weights of `model.start`; return the card of its network."""
    model = recipe.model
    card = ModelCard(model.backbone, recipe.crops.global_size, model.depth, model.layer_scale)
    if model.start == "scratch":
        initialise(student.backbone, derived_seed(recipe.seed, INITIALISATION, 0))
        return card
    start, start_card = open_backbone(model.start)
    load_strictly(student.backbone, backbone_tensors(start), f"model.start={model.start}", resample=True)
    if model.load_heads:
        _load_heads(student, model.start)
    lineage = {"started_from": _lineage(model.start, start_card)}
    return replace(card, mean=start_card.mean, std=start_card.std, training=lineage)


def _lineage(name: str, card: ModelCard) -> dict[str, Any]:
    """Describe the weights that a run started from, and what these started from."""
    kept = ("data", "sources", "samples", "seed", "started_from", "distilled_from", "distilled_from_weights")
    described = {key: card.training[key] for key in kept if key in card.training}
    return {"name": name, "weights": card.weights_hash, **described}


def _load_heads(student: Branch, start: str) -> None:
    """Take over the mask token and the heads saved next to the starting weights.

    Projection heads are taken if all of them fit; so are those of a distillation, which fit any teacher of
    the same shape.
    """
    folder = Path(as_folder(start))
    saved = read_heads(folder) if folder.is_dir() else {}
    own = student.heads_state()
    fitting = {name: value for name, value in saved.items() if name in own and own[name].shape == value.shape}
    distilled = {name for name in own if name.startswith("guide_heads.")}
    projection = {name for name in own if not name.endswith(MASK_TOKEN)} - distilled
    for kind, heads in (("projection heads", projection), ("heads of a distillation", distilled)):
        if not heads <= set(fitting):
            log.warning("model.start=%s has no %s that fit this recipe: new ones are drawn", start, kind)
            fitting = {name: value for name, value in fitting.items() if name not in heads}
    student.load_state_dict(fitting, strict=False)


def _check_sizes(backbone: Backbone, recipe: Recipe) -> None:
    name = f"model.backbone={recipe.model.backbone}"
    if isinstance(backbone, PooledBackbone):
        if recipe.loss.ibot > 0:
            raise RedDinoError(f"no patch tokens, which the iBOT loss needs: {name}; set loss.ibot=0")
        runtime = recipe.runtime
        options = {
            "pack_crops": runtime.pack_crops,
            "activation_checkpointing": runtime.activation_checkpointing,
        }
        for key, wanted in options.items():
            if wanted:
                raise RedDinoError(
                    f"runtime.{key} is for Vision Transformers only: {name}; set runtime.{key}=false"
                )
        return
    patch, crops = backbone.patch_size, recipe.crops
    for key, size in (("global_size", crops.global_size), ("local_size", crops.local_size)):
        if size % patch:
            raise RedDinoError(
                f"crops.{key}={size} is not a multiple of the patch size {patch}: {name}; "
                f"set crops.{key}={max(1, round(size / patch)) * patch}"
            )
    _check_masks(recipe, crops.global_size // patch)


def _check_masks(recipe: Recipe, side: int) -> None:
    """Refuse an iBOT loss that would have nothing to predict, since no block fits into the grid."""
    most = int(recipe.masking.patches[1] * side * side)
    if recipe.loss.ibot > 0 and recipe.masking.images > 0 and most < MIN_BLOCK:
        raise RedDinoError(
            f"masking.patches hides at most {most} of the {side} x {side} patches of a global crop, and a "
            f"block has {MIN_BLOCK}, so nothing would be masked: crops.global_size="
            f"{recipe.crops.global_size}; raise it or set loss.ibot=0"
        )
