"""The sections of a recipe: typed, with their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1, le=10**15)]
#: Pixels of a crop, and width of a head's layers.
Side = Annotated[int, Field(ge=1, le=8192)]
Width = Annotated[int, Field(ge=1, le=1 << 16)]
Range = tuple[Fraction, Fraction]
#: Of a patch's side: original pixels, diameters of a red cell, micrometres, or the whole image.
PatchUnit = Literal["px", "diameters", "um", "image"]
#: The weight of a loss term, which metrics name after the key.
WEIGHT = "weight of a loss term"
Weight = Annotated[float, Field(ge=0.0), WEIGHT]
#: Width over height of random crops, as published.
ASPECT = (3 / 4, 4 / 3)


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values never change, and every number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def weights(self) -> dict[str, float]:
        """The weights of loss terms among the keys, by the names of the terms."""
        fields = type(self).model_fields
        return {name: value for name, value in self if WEIGHT in fields[name].metadata}


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
    exponent. `layout`: anywhere, side by side, or around each cell that the manifest marks. `candidates`: of
    that many random places the one whose pixels vary most is taken. `patch_unit`: micrometres (`um`) need the
    size of a pixel of every image, by the column `um_per_px` or by its file.
    """

    patch_side: Positive = 224.0
    patch_unit: PatchUnit = "px"
    layout: Literal["random", "grid", "cells"] = "random"
    epoch_counts: Literal["area", "one"] = "area"
    source_exponent: Fraction = 1.0
    candidates: Annotated[int, Field(ge=1, le=10_000)] = 1
    batch_from: Literal["all", "source", "image"] = "all"
    max_cell_diameter: Positive | None = None

    @model_validator(mode="after")
    def _cells_are_cut_out(self) -> DataSection:
        if self.layout == "cells" and self.patch_unit == "image":
            raise ValueError("data.layout=cells cuts patches: data.patch_unit=image does not go with it")
        return self


class CropsSection(Section):
    """Multi-crop: two global views and `local_count` local ones; scales are fractions of the patch's area.

    `aspect`: width over height of a crop, before it becomes a square; near 1, circular cells stay circular.
    """

    global_size: Side = 224
    global_scale: Range = (0.32, 1.0)
    local_size: Side = 98
    local_scale: Range = (0.05, 0.32)
    local_count: Annotated[int, Field(ge=0, le=1000)] = 8
    aspect: tuple[Positive, Positive] = ASPECT


class AugmentationSection(Section):
    """Pixel operations by name: `choose` of them per crop, each applied with `probability`; then symmetries.

    `strength`: how far every pixel goes from what it was (0) to what an operation makes of it (1, as
    published); `strengths` are the same by operation, for those that differ. `teacher_strength` (not in the
    paper): how far every pixel of the EMA teacher's global crops goes from the clean crop (0: the teacher
    sees geometry alone) to the student's crop (1: both see the same).
    """

    operations: tuple[str, ...]
    choose: Annotated[int, Field(ge=0, le=1000)] = 4
    probability: Fraction = 0.85
    strength: Fraction = 1.0
    strengths: dict[str, Fraction] = {}
    teacher_strength: Fraction = 1.0
    horizontal_flip: Fraction = 0.85
    vertical_flip: Fraction = 0.85
    quarter_turn: Fraction = 0.85


class MaskingSection(Section):
    """iBOT's block-wise masks: fraction of global crops that get one, and range of patches hidden in it."""

    images: Fraction = 0.5
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
    """Weights of the loss terms, and how the teacher's output is centred.

    `dino`: cross-entropy of class tokens between crops. `ibot`: cross-entropy of masked patch tokens.
    `koleo`: spreads class tokens apart (0 in the paper). `centering`: what makes targets of the teacher's
    output; `sinkhorn_iterations` of the one, `center_momentum` of the other.
    """

    dino: Weight = 1.0
    ibot: Weight = 1.0
    koleo: Weight = 0.0
    centering: Literal["sinkhorn", "moving-average"] = "sinkhorn"
    sinkhorn_iterations: Annotated[int, Field(ge=1, le=1000)] = 3
    center_momentum: Fraction = 0.9


def _listed(value: Any) -> Any:
    """Make a list of a single value, so that a recipe may give either."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


class DistillSection(Section):
    """A distillation: from changed global crops the student predicts a teacher's features of clean ones.

    `teacher`: a model folder or a name of the model catalogue, or a list of them, whose pooled features stand
    side by side; no smears are labelled by it, its features are what is predicted. `pooled` and `spatial`
    weigh the losses on its pooled output and on its last feature map (patch tokens, of a Vision Transformer).
    `morphology` weighs that on the hand-crafted features of the central cell of the clean crop, a teacher
    without weights, for patches around cells (`data.layout: cells`). `relations` weighs the agreement on
    which crops are near each other: for the student in its pooled output itself, by raw distance; for the
    teachers in their features, each network's and the hand-crafted ones with the same weight;
    `relation_temperature` is a fraction of the mean squared distance. `image_size`: pixels of the teacher's
    input, or a list for a list of teachers; null: `crops.global_size`. A cell has no upper side: the teacher
    is shown each crop in `orientations` of the eight flips and quarter turns; its features are their mean.
    `consensus` averages pooled and hand-crafted features over the two global crops of a sample as well.
    `once` computes the features before the first step, of the middle of each patch, which spares a step most
    of its time; for patches around cells, and not for `spatial`. Both crops then have the same features, with
    or without `consensus`.
    """

    teacher: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    pooled: Weight = 1.0
    spatial: Weight = 1.0
    morphology: Weight = 0.0
    relations: Weight = 0.0
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
        """Return the pixels of each teacher's input; `crops` is `crops.global_size`."""
        given = self.image_size or (crops,)
        return given * len(self.teacher) if len(given) == 1 else given


class TemperatureSection(Section):
    """Softmax temperatures; the teacher's rises linearly over the first `teacher_warmup` of the run."""

    student: Positive = 0.1
    teacher_start: Positive = 0.04
    teacher_end: Positive = 0.07
    teacher_warmup: Fraction = 0.3


class OptimSection(Section):
    """AdamW and the EMA teacher. The rate is `lr` * sqrt(batch / 1024); warm-up is a fraction of the run.

    `head_warmup` (not in the paper): in this fraction of the run only the heads move, so that no untrained
    head drives a trained backbone; its rate then rises linearly over the length of another `warmup`.
    """

    lr: Positive = 2e-4
    lr_end: NonNegative = 1e-6
    warmup: Fraction = 0.01
    head_warmup: Fraction = 0.0
    weight_decay: NonNegative = 0.04
    weight_decay_end: NonNegative = 0.2
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    clip_gradient: Positive = 3.0
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    patch_embed_lr: NonNegative = 0.2
    backbone_lr: NonNegative = 1.0
    freeze_last_layer: Fraction = 0.0
    ema_start: Fraction = 0.994
    ema_end: Fraction = 1.0


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

    `workers` and `threads` are each process's. `parallel` sets how torchrun's processes share the networks:
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
    tensorboard: bool = True


class OnlineSection(Section):
    """The online score, which changes no result: k-NN on labelled cells with the teacher, while it trains.

    `every`: samples from one score to the next; 0 scores at the start and at the end only.
    """

    every: Annotated[int, Field(ge=0, le=10**15)] = 10_000
