"""What the networks get of a batch: normalised crops, masks and dropped paths, on the device in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reddino.foundations.runtime import Runtime, to_device
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.blocks import Kept
from reddino.networks.folder import ModelCard
from reddino.networks.graph import normalise
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distillation.cache import Answers
from reddino.pretraining.distillation.teacher import Words
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.masking import MaskedPatches, sample_masks
from reddino.pretraining.randomness import DROP_PATH, TORCH, derived_seed, uniforms
from reddino.pretraining.run.recipe import Recipe
from reddino.rbc.morphology import Morphology


@dataclass(frozen=True)
class Views:
    """A micro-batch as the networks see it; of several processes, this one's part.

    Attributes:
        global_crops: (2 B, 3, g, g) float, normalised; first all first crops, then all second ones.
        local_crops: (L B, 3, l, l) float, or None.
        masked: hidden patches of the global crops; None where iBOT is off.
        global_kept, local_kept: for each residual branch the crops that compute it; None without drop path.
        seed: of what a network without tokens draws at random in its forward pass.
        hides: whether hidden patches are replaced by the mask token; else they are only where to look.
        clean_crops: (2 B, c, c, 3) uint8 RGB, what the global crops were before pixel operations, for the
            guide of a distillation; None without one. Of local crops it is asked nothing.
        clean_shapes: (2 B, f) float, hand-crafted features of the cells in their middle; None where these
            are not distilled.
        answers: what the guide said before the first step; then there are no clean crops.
        teacher_crops: as `global_crops`, what the EMA teacher sees; None where it sees the same.
    """

    global_crops: Tensor
    local_crops: Tensor | None
    masked: MaskedPatches | None
    global_kept: list[Kept] | None
    local_kept: list[Kept] | None
    seed: int = 0
    hides: bool = True
    clean_crops: Tensor | None = None
    clean_shapes: Tensor | None = None
    answers: Words | None = None
    teacher_crops: Tensor | None = None

    @property
    def guided(self) -> bool:
        """Whether there is something for a guide to say, or what it has said."""
        return self.clean_crops is not None or self.answers is not None

    def as_teacher(self) -> Views:
        """What the teacher sees: global crops with nothing hidden, and every path of the network."""
        return replace(
            self,
            global_crops=self.global_crops if self.teacher_crops is None else self.teacher_crops,
            local_crops=None,
            teacher_crops=None,
            global_kept=None,
            local_kept=None,
            hides=False,
            clean_crops=None,
            clean_shapes=None,
            answers=None,
        )


def make_views(
    batch: CropBatch,
    recipe: Recipe,
    backbone: Backbone,
    card: ModelCard,
    runtime: Runtime,
    *,
    processes: Processes = ALONE,
    answers: Answers | None = None,
) -> Views:
    """Normalise a micro-batch on the device, and draw its masks and dropped paths from its sample indices.

    `card` says how; `answers` are what a guide has said before the first step.
    """
    index = batch.sample_index.numpy()
    masked = None
    if recipe.loss.ibot > 0 and isinstance(backbone, ViTBackbone):
        side = recipe.crops.global_size // backbone.patch_size
        masks = sample_masks(recipe.seed, index, side, recipe.masking.images, recipe.masking.patches)
        masked = MaskedPatches.of(masks.reshape(-1, side * side), runtime.device)
    crops = 2 + recipe.crops.local_count
    has_local = recipe.crops.local_count > 0 and recipe.loss.dino > 0

    def kept(numbers: range) -> list[Kept] | None:
        rate, branches = recipe.model.drop_path, backbone.residual_branches
        plan = drop_path_plan(recipe.seed, index, numbers, branches, rate, processes=processes)
        if plan is None:
            return None
        return [Kept(to_device(part.indices, runtime.device), part.scale) for part in plan]

    clean = shapes = None
    if batch.clean_crops is not None:
        clean = to_device(batch.clean_crops.flatten(0, 1), runtime.device)
        if recipe.distill is not None and recipe.distill.morphology > 0:
            measured = Morphology().embed(batch.clean_crops.flatten(0, 1).numpy())
            shapes = to_device(torch.from_numpy(measured), runtime.device)
    teacher = None
    if batch.teacher_crops is not None:
        teacher = _to_network(batch.teacher_crops, card, runtime)
    return Views(
        _to_network(batch.global_crops, card, runtime),
        _to_network(batch.local_crops, card, runtime) if has_local else None,
        masked,
        kept(range(2)),
        kept(range(2, crops)),
        derived_seed(recipe.seed, TORCH, int(index[0])),
        clean_crops=clean,
        clean_shapes=shapes,
        answers=None if answers is None else answers.of(batch.patch, runtime.device),
        teacher_crops=teacher,
    )


def _to_network(crops: Tensor, card: ModelCard, runtime: Runtime) -> Tensor:
    """(C, B, s, s, 3) uint8 RGB to (C B, 3, s, s) float, in the channel order of the card."""
    pixels = to_device(crops.flatten(0, 1), runtime.device)
    return normalise(pixels.flip(-1) if card.channel_order == "BGR" else pixels, card.mean, card.std)


def drop_path_plan(
    seed: int,
    sample_index: NDArray[np.int64],
    crops: range,
    branches: int,
    rate: float,
    *,
    processes: Processes = ALONE,
) -> list[Kept] | None:
    """Which crops compute each residual branch: B (1 - rate) of them, at least one, by their random scores.

    The plan is of the whole micro-batch, however many processes share it: their parts are of unequal size,
    and together what one process would compute.

    Args:
        seed: of the run.
        sample_index: (B,) global sample indices of this process's part, as they follow one another.
        crops: numbers of the crops that are stacked, crop-major: (len(crops) * B).
        branches: residual branches of the backbone.
        rate: share that skips.
        processes: each has a part of B samples of the micro-batch, in their order.

    Returns:
        For each branch sorted indices into the stacked crops of this process; None where nothing is dropped.
    """
    if rate == 0 or branches == 0 or len(crops) == 0:
        return None
    most_crops = 1024
    here, first = len(sample_index), processes.rank * len(sample_index)
    samples = sample_index
    if processes.count > 1:
        samples = np.arange(processes.count * here, dtype=np.int64) + (sample_index[0] - first)
    keys = np.concatenate([samples * most_crops + crop for crop in crops])
    scores = uniforms(seed, DROP_PATH, keys, branches)
    count = max(1, round(len(keys) * (1 - rate)))
    kept = np.zeros((len(crops), len(samples), branches), dtype=np.bool_)
    np.put_along_axis(kept.reshape(-1, branches), np.argpartition(scores, count - 1, axis=0)[:count], True, 0)
    mine = kept[:, first : first + here] if processes.count > 1 else kept
    scale = len(keys) / count
    return [Kept(torch.from_numpy(np.flatnonzero(mine[:, :, branch])), scale) for branch in range(branches)]


class Ahead(Iterator[Views]):
    """The views of each batch; on a GPU the next ones are copied and normalised during the step on these.

    Args:
        batches: of crops.
        make: batch to views, on the device.
        runtime: whose device they are for.
    """

    def __init__(
        self, batches: Iterator[CropBatch], make: Callable[[CropBatch], Views], runtime: Runtime
    ) -> None:
        self._batches, self._make, self._device = batches, make, runtime.device
        self._copies: Any = None
        if runtime.device.type == "cuda":
            self._copies = torch.cuda.Stream(runtime.device)  # type: ignore[no-untyped-call]
        self._following: Views | None = None

    def prepare(self) -> None:
        """Make the next views; on a CPU, which has nothing to wait for, they are made when they are due.

        To be called when the device has been given the work of a step, and before its result is waited for.
        """
        if self._copies is None or self._following is not None:
            return
        with torch.cuda.stream(self._copies):
            batch = next(self._batches, None)
            self._following = None if batch is None else self._make(batch)

    def __next__(self) -> Views:
        if self._copies is None:
            return self._make(next(self._batches))
        self.prepare()
        current, self._following = self._following, None
        if current is None:
            raise StopIteration
        training = torch.cuda.current_stream(self._device)
        training.wait_stream(self._copies)
        for tensor in _tensors(current):
            # Else the memory could be given to the next copy while this step still reads it.
            tensor.record_stream(training)
        return current


def _tensors(content: Any) -> Iterator[Tensor]:
    """All tensors of views."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, list | tuple):
        for part in content:
            yield from _tensors(part)
    elif isinstance(content, Views | MaskedPatches):
        for field in fields(content):
            yield from _tensors(getattr(content, field.name))
