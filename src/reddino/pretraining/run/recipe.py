"""The recipe: every number that a pretraining run depends on, typed, in one place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reddino.foundations.errors import RedDinoError
from reddino.foundations.package_data import recipe_folder
from reddino.foundations.structured import first_fault, parse_yaml, read_yaml

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1, le=10**15)]
#: Pixels of a crop, and numbers a layer of a head gives.
Side = Annotated[int, Field(ge=1, le=8192)]
Width = Annotated[int, Field(ge=1, le=1 << 16)]
Range = tuple[Share, Share]
#: Recipes by the names that they had before; these are still accepted.
FORMER_NAMES = {"tiny": "vit-tiny-scratch", "distill": "vit-tiny-distilled", "shipped": "reddino-tiny"}
#: Width over height of random crops, as published.
ASPECT = (3 / 4, 4 / 3)

log = logging.getLogger(__name__)


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values never change, and every number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """The network. `start`: `scratch`, a model folder, or a name of the model catalogue.

    `layer_scale` is LayerScale's starting value; null keeps the architecture's own (DINOv2: 1e-5).
    `load_heads` takes over the projection heads where a model folder holds them and they fit.
    `freeze_norm_statistics` keeps a CNN's batch-norm statistics as they start.
    """

    backbone: str
    start: str = "scratch"
    depth: Annotated[int, Field(ge=1, le=200)] | None = None
    layer_scale: Positive | None = None
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    freeze_norm_statistics: bool = False
    load_heads: bool = True


class DataSection(Section):
    """What one sample is: a square patch of a smear image.

    `max_cell_diameter`: images are kept in memory shrunk until a red cell has at most this many pixels; null
    keeps them as they are. `source_exponent`: a source with n patches is drawn in proportion to n **
    exponent. `layout`: anywhere, side by side, or round each cell that the manifest marks. `candidates`: of
    that many random places the one whose pixels vary most is taken.
    """

    patch_side: Positive = 224.0
    patch_unit: Literal["px", "diameters", "image"] = "px"
    layout: Literal["random", "grid", "cells"] = "random"
    epoch_counts: Literal["area", "one"] = "area"
    source_exponent: Share = 1.0
    candidates: Annotated[int, Field(ge=1, le=10_000)] = 1
    batch_from: Literal["all", "source", "image"] = "all"
    max_cell_diameter: Positive | None = None

    @model_validator(mode="after")
    def _cells_are_cut_out(self) -> DataSection:
        if self.layout == "cells" and self.patch_unit == "image":
            raise ValueError("data.layout=cells cuts patches: data.patch_unit=image does not go with it")
        return self


class CropsSection(Section):
    """Multi-crop: two global views and `local_count` local ones; scales are shares of the patch's area.

    `aspect`: width over height of a crop, before it becomes a square; near 1, round cells stay round.
    """

    global_size: Side = 224
    global_scale: Range = (0.32, 1.0)
    local_size: Side = 98
    local_scale: Range = (0.05, 0.32)
    local_count: Annotated[int, Field(ge=0, le=1000)] = 8
    aspect: tuple[Positive, Positive] = ASPECT


class AugmentationSection(Section):
    """Pixel operations by name: `choose` of them a crop, each applied with `probability`; then symmetries.

    `strength`: how far every pixel goes from what it was (0) to what an operation makes of it (1, as
    published); `strengths` are the same by operation, for those that differ. `teacher_strength` (not in the
    paper): how far every pixel of the EMA teacher's global crops goes from the clean crop (0: the teacher
    sees geometry alone) to the student's crop (1: both see the same).
    """

    operations: tuple[str, ...]
    choose: Annotated[int, Field(ge=0, le=1000)] = 4
    probability: Share = 0.85
    strength: Share = 1.0
    strengths: dict[str, Share] = {}
    teacher_strength: Share = 1.0
    horizontal_flip: Share = 0.85
    vertical_flip: Share = 0.85
    quarter_turn: Share = 0.85


class MaskingSection(Section):
    """iBOT's block-wise masks: share of global crops that get one, and range of patches hidden in it."""

    images: Share = 0.5
    patches: Range = (0.1, 0.5)


class HeadSection(Section):
    """Projection heads.

    `center_output` (not in the paper) centres the bottleneck over the batch before normalising.
    """

    hidden: Width = 2048
    bottleneck: Width = 256
    prototypes: Annotated[int, Field(ge=1, le=1 << 22)] = 131_072
    layers: Annotated[int, Field(ge=1, le=32)] = 3
    shared: bool = True
    center_output: bool = False


class LossSection(Section):
    """Weights of the loss terms, and how the teacher's output is centred."""

    dino: NonNegative = 1.0
    ibot: NonNegative = 1.0
    koleo: NonNegative = 0.0
    centering: Literal["sinkhorn", "moving-average"] = "sinkhorn"
    sinkhorn_iterations: Annotated[int, Field(ge=1, le=1000)] = 3
    center_momentum: Share = 0.9


def _listed(value: Any) -> Any:
    """One value as a list of it, so that a recipe may say either."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


class DistillSection(Section):
    """A frozen network: what it says of clean global crops, the student learns to say of the changed ones.

    `teacher`: a model folder or a name of the model catalogue, or a list of them, whose pooled words stand
    side by side; no smears are labelled by it, its features are what is predicted. `pooled` and `spatial`
    weigh the losses on its pooled output and on its last feature map (patch tokens, of a Vision Transformer).
    `morphology` weighs that on the hand-crafted features of the central cell of the clean crop, a teacher
    without weights, for patches round cells (`data.layout: cells`). `relations` weighs the agreement on which
    crops are near each other: to the student's pooled output itself by raw distance, to the teachers by their
    words, of which those of networks and the hand-crafted ones have the same say; `relation_temperature` is
    in shares of the mean squared distance. `image_size`: pixels of the crops that it is shown, or a list for
    a list of teachers; null shows them at `crops.global_size`. A cell has no upper side: `orientations` is in
    how many of the eight flips and quarter turns the teacher is shown each crop; its words are their mean.
    `consensus` averages pooled words and hand-crafted features over the two global crops of a sample as well.
    `once` asks before the first step, of the middle of each patch and never again, which spares a step most
    of its time; for patches round cells, and not for `spatial`. Both crops then have one answer, with or
    without `consensus`.
    """

    teacher: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    pooled: NonNegative = 1.0
    spatial: NonNegative = 1.0
    morphology: NonNegative = 0.0
    relations: NonNegative = 0.0
    relation_temperature: Positive = 0.2
    image_size: Annotated[tuple[Side, ...] | None, BeforeValidator(_listed)] = None
    orientations: Annotated[int, Field(ge=1, le=8)] = 1
    consensus: bool = False
    once: bool = False

    @model_validator(mode="after")
    def _has_a_loss(self) -> DistillSection:
        if self.pooled == self.spatial == self.morphology == self.relations == 0:
            raise ValueError("all weights of distill are 0: the teacher teaches nothing")
        if not self.teacher or len(self.image_size or (0,)) not in (1, len(self.teacher)):
            raise ValueError(
                "distill.teacher and distill.image_size: give at least one teacher, and as many sizes as "
                "teachers, or one for all"
            )
        if self.spatial > 0 and len(self.teacher) > 1:
            raise ValueError("several teachers have no feature map in common: set distill.spatial=0")
        if self.once and self.spatial > 0:
            raise ValueError("distill.once has no feature map of each crop: set distill.spatial=0")
        return self

    def sizes(self, crops: int) -> tuple[int, ...]:
        """Pixels of the crops that each teacher is shown; `crops` is `crops.global_size`."""
        given = self.image_size or (crops,)
        return given * len(self.teacher) if len(given) == 1 else given


class TemperatureSection(Section):
    """Softmax temperatures; the teacher's rises linearly over the first `teacher_warmup` of the run."""

    student: Positive = 0.1
    teacher_start: Positive = 0.04
    teacher_end: Positive = 0.07
    teacher_warmup: Share = 0.3


class OptimSection(Section):
    """AdamW and the EMA teacher. The rate is `lr` * sqrt(batch / 1024); warm-up is a share of the run.

    `head_warmup` (not in the paper): in this share of the run only the heads move, so that no untrained head
    drives a trained backbone; the backbone's rate then rises linearly over the length of another `warmup`.
    """

    lr: Positive = 2e-4
    lr_end: NonNegative = 1e-6
    warmup: Share = 0.01
    head_warmup: Share = 0.0
    weight_decay: NonNegative = 0.04
    weight_decay_end: NonNegative = 0.2
    betas: tuple[Share, Share] = (0.9, 0.999)
    clip_gradient: Positive = 3.0
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    patch_embed_lr: NonNegative = 0.2
    backbone_lr: NonNegative = 1.0
    freeze_last_layer: Share = 0.0
    ema_start: Share = 0.994
    ema_end: Share = 1.0


class RunSection(Section):
    """Length, batch and numerics.

    `batch` is that of an optimiser step over all processes. `accumulate` splits it: Sinkhorn-Knopp and KoLeo
    then see the micro-batch.
    """

    samples: Count
    batch: Annotated[int, Field(ge=1, le=1 << 24)]
    accumulate: Count = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _batch_splits_evenly(self) -> RunSection:
        if self.batch % self.accumulate:
            raise ValueError(
                f"run.batch={self.batch} cannot be split into run.accumulate={self.accumulate} equal parts"
            )
        if self.samples < self.batch:
            raise ValueError(f"run.samples={self.samples} is less than one batch of {self.batch}")
        return self


class RuntimeSection(Section):
    """What changes no result: workers, logging, checkpoints.

    `workers` and `threads` are each process's. `parallel` says how torchrun's processes share the networks:
    `ddp` gives each of them all, `fsdp` a part of every tensor; `auto` is ddp. `activation_checkpointing`
    recomputes blocks in the backward pass, to save memory. `threads`, `device`, the number of processes,
    `parallel`, `pack_crops` (crops of both sizes through the network as one sequence) and `compile`
    (torch.compile, block by block) change the last bits of float sums.
    """

    workers: Annotated[int, Field(ge=0, le=1024)] = 1
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    device: str = "auto"
    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    activation_checkpointing: bool = False
    pack_crops: bool = False
    compile: bool = False
    log_every: Count = 10
    checkpoint_every: Count = 200
    keep_checkpoints: Count = 2
    score_every: Annotated[int, Field(ge=0, le=10**15)] = 10_000
    tensorboard: bool = True


class Recipe(Section):
    """A whole recipe. `runtime` is the section that is known not to affect results."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    model: ModelSection
    data: DataSection = DataSection()
    crops: CropsSection = CropsSection()
    augmentation: AugmentationSection
    masking: MaskingSection = MaskingSection()
    head: HeadSection = HeadSection()
    loss: LossSection = LossSection()
    distill: DistillSection | None = None
    temperature: TemperatureSection = TemperatureSection()
    optim: OptimSection = OptimSection()
    run: RunSection
    runtime: RuntimeSection = RuntimeSection()

    @property
    def steps(self) -> int:
        """Optimiser steps of the run; a last, incomplete batch is not taken."""
        return self.run.samples // self.run.batch

    @property
    def has_prototypes(self) -> bool:
        """Whether student and EMA teacher are compared by prototypes: with DINO's or iBOT's loss."""
        return self.loss.dino > 0 or self.loss.ibot > 0

    @property
    def clean_size(self) -> int | None:
        """Side in pixels of the clean crops: the largest that a frozen teacher is shown; None without one."""
        return None if self.distill is None else max(self.distill.sizes(self.crops.global_size))

    @property
    def asks_each_crop(self) -> bool:
        """Whether the frozen teacher, where there is one, is shown the clean crops of every step."""
        return self.distill is not None and not self.distill.once

    @model_validator(mode="after")
    def _has_a_loss(self) -> Recipe:
        if not self.has_prototypes and self.distill is None:
            raise ValueError("loss.dino and loss.ibot are both 0: there is nothing to learn")
        if self.distill is not None and self.distill.once and self.data.layout != "cells":
            raise ValueError("distill.once is for patches round cells: set data.layout=cells")
        return self


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(recipe_folder().glob("*.yaml"))}


def read_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or path and apply dotted overrides such as `optim.lr=1e-4`.

    Raises:
        RedDinoError: no such recipe, an unknown key, or a value that does not fit; says which.
    """
    if str(name) in FORMER_NAMES and not Path(name).is_file():
        log.warning("the recipe '%s' is now called '%s'", name, FORMER_NAMES[str(name)])
        name = FORMER_NAMES[str(name)]
    path = shipped_recipes().get(str(name), Path(name))
    if not path.is_file():
        known = ", ".join(shipped_recipes())
        raise RedDinoError(f"recipe '{name}' is neither a file nor one that comes with RedDino ({known})")
    content: dict[str, Any] = read_yaml(path)
    for override in overrides:
        _apply(content, override)
    return make_recipe(content, str(path))


def make_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Check a recipe's content; `origin` names it in errors."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RedDinoError(f"recipe {origin}: {first_fault(error)}") from error


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RedDinoError(f"override '{override}' is not of the form section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        if content.get(section) is None:  # a section that is left out may stand there as null
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise RedDinoError(f"override '{override}': '{section}' is a value, not a section")
    content[last] = parse_yaml(value, f"override '{override}': the value", top=None)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every key written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
