"""A distillation: from changed crops the student predicts a frozen teacher's features of the clean ones.

It is added to DINO and iBOT, or in their place. Whoever reads DINOv2 alone can leave this package out:
training meets it in one optional object.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reddino.foundations.runtime import Runtime, to_device
from reddino.networks.backbone import Backbone
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distillation.cache import TeacherFeatureCache, precompute
from reddino.pretraining.distillation.feature_losses import feature_loss, relation_loss, teacher_metric
from reddino.pretraining.distillation.predictor import FeaturePredictor, coarsened
from reddino.pretraining.distillation.standardiser import Standardiser
from reddino.pretraining.distillation.teacher import (
    DistillationTeacher,
    TeacherFeatures,
    map_shape,
    open_teacher,
)
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.run.recipe_sections import DistillSection
from reddino.rbc.morphology import Morphology


class DistillationInput(NamedTuple):
    """What the targets of a micro-batch are computed from.

    Attributes:
        clean_crops: (2 B, c, c, 3) uint8 RGB, the global crops without pixel operations; None where the
            features were precomputed. Local crops take no part.
        morphology: (2 B, f) hand-crafted features of the cells in their middle; None where not distilled.
        cached: features that were computed before the first step, in place of both.
    """

    clean_crops: Tensor | None = None
    morphology: Tensor | None = None
    cached: TeacherFeatures | None = None


class Distillation:
    """Targets and losses of a distillation.

    Args:
        section: of the recipe.
        teacher: that of the recipe, opened.
        crop_size: pixels of the student's global crops.
        processes: of the run, over all of which features are standardised.

    Attributes:
        statistics: the modules that standardise the teacher's features, by the names that checkpoints have
            them by.
    """

    def __init__(
        self,
        section: DistillSection,
        teacher: DistillationTeacher,
        crop_size: int,
        processes: Processes = ALONE,
    ) -> None:
        self.section, self.teacher = section, teacher
        self._crop_size, self._processes = crop_size, processes
        self._map_side = 0
        self._cache: TeacherFeatureCache | None = None
        dims = {"pooled_scale": teacher.dim, "spatial_scale": teacher.map_dim}
        dims["shape_scale"] = teacher.morphology_dim
        self.statistics = {name: Standardiser(dim) for name, dim in dims.items() if dim}

    def make_predictor(self, backbone: Backbone, name: str) -> FeaturePredictor:
        """Return heads on the student's backbone, to be initialised; errors call it `name`.

        A backbone without tokens gives its feature map from now on, where the teacher's is distilled.
        """
        side, dim = map_shape(backbone, self._crop_size, name) if self.teacher.map_dim else (0, 0)
        predictor = FeaturePredictor(self.teacher, backbone.dim, side, dim, self.section.pooled > 0)
        self._map_side = predictor.side
        return predictor

    def precompute(
        self,
        cache: ImageCache,
        recipe: Recipe,
        *,
        runtime: Runtime,
        folder: Path,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compute the features of all patches before the first step, where the recipe has `distill.once`."""
        if self.section.once:
            self._cache = precompute(
                self.teacher,
                cache,
                recipe,
                runtime=runtime,
                folder=folder,
                processes=self._processes,
                stop=stop,
            )

    def input_of(self, batch: CropBatch, device: torch.device) -> DistillationInput | None:
        """Return what the targets of a micro-batch are computed from, on the device."""
        if self._cache is not None:
            return DistillationInput(cached=self._cache.read(batch.patch, device))
        if batch.clean_crops is None:
            return None
        crops, morphology = batch.clean_crops.flatten(0, 1), None
        if self.section.morphology > 0:
            morphology = to_device(torch.from_numpy(Morphology().embed(crops.numpy())), device)
        return DistillationInput(to_device(crops, device), morphology)

    @torch.no_grad()
    def targets(self, inputs: DistillationInput) -> TeacherFeatures:
        """Return the teacher's features, standardised, at the student's places where these are fewer."""
        features = inputs.cached
        if features is None:
            assert inputs.clean_crops is not None
            features = self.teacher.features(inputs.clean_crops, inputs.morphology)
        spatial = None if features.spatial is None else coarsened(features.spatial, self._map_side)
        return TeacherFeatures(
            self._standardised("pooled_scale", features.pooled),
            self._standardised("spatial_scale", spatial),
            self._standardised("shape_scale", features.morphology),
        )

    def _standardised(self, name: str, features: Tensor | None) -> Tensor | None:
        if features is None or name not in self.statistics:
            return None
        standardised: Tensor = self.statistics[name](features, self._processes)
        return standardised

    def losses(
        self, predictions: TeacherFeatures, tokens: Tensor, targets: TeacherFeatures
    ) -> dict[str, Tensor]:
        """Return the terms by the names of their weights; those of weight 0 are left out.

        Args:
            predictions: of the student.
            tokens: (2 B, d) its pooled output itself, whose distances `relations` compares.
            targets: of these crops.
        """
        weights = self.section.weights
        pairs = {
            "pooled": (targets.pooled, predictions.pooled),
            "spatial": (targets.spatial, predictions.spatial),
            "morphology": (targets.morphology, predictions.morphology),
        }
        terms = {
            name: feature_loss(target, prediction)
            for name, (target, prediction) in pairs.items()
            if weights[name] > 0 and target is not None and prediction is not None
        }
        if weights["relations"] > 0:
            metric = teacher_metric(targets, self.teacher.widths)
            terms["relations"] = relation_loss(metric, tokens, self.section.relation_temperature)
        return terms


def open_distillation(recipe: Recipe, processes: Processes = ALONE) -> Distillation | None:
    """Open the distillation of a recipe; None where it has no `distill` section.

    Raises:
        RedDinoError: the teacher is not known, its weights cannot be had, or crops do not fit it.
    """
    teacher = open_teacher(recipe)
    if recipe.distill is None or teacher is None:
        return None
    return Distillation(recipe.distill, teacher, recipe.crops.global_size, processes)
