"""What the networks get of a batch: normalised crops, masks and dropped paths, on the device in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reddino.foundations.runtime import Runtime, to_device
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.crop_block import Kept
from reddino.networks.folder import ModelCard
from reddino.networks.graph import normalise
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distillation.distillation import Distillation, DistillationInput
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.drop_path import drop_path_plan
from reddino.pretraining.masking import MaskedPatches, sample_masks
from reddino.pretraining.randomness import TORCH, derived_seed
from reddino.pretraining.run.recipe import Recipe


@dataclass(frozen=True)
class NetworkInput:
    """A micro-batch as the networks get it; of several processes, this one's part.

    Attributes:
        global_crops: (2 B, 3, g, g) float, normalised; first all first crops, then all second ones.
        local_crops: (L B, 3, l, l) float, or None.
        masked: masked patches of the global crops; None where iBOT is off.
        global_kept, local_kept: for each residual branch the crops that compute it; None without drop path.
        seed: of what a network without tokens draws at random in its forward pass.
        hides: whether masked patches are replaced by the mask token; if not, they are only read out.
        distillation: what the targets of a distillation are computed from; None without one.
        teacher_crops: as `global_crops`, for the EMA teacher; None where it gets the student's.
    """

    global_crops: Tensor
    local_crops: Tensor | None
    masked: MaskedPatches | None
    global_kept: list[Kept] | None
    local_kept: list[Kept] | None
    seed: int = 0
    hides: bool = True
    distillation: DistillationInput | None = None
    teacher_crops: Tensor | None = None

    def as_teacher(self) -> NetworkInput:
        """Return the EMA teacher's input: global crops with nothing hidden, and every path of the network."""
        return replace(
            self,
            global_crops=self.global_crops if self.teacher_crops is None else self.teacher_crops,
            local_crops=None,
            teacher_crops=None,
            global_kept=None,
            local_kept=None,
            hides=False,
            distillation=None,
        )


def make_network_input(
    batch: CropBatch,
    recipe: Recipe,
    backbone: Backbone,
    card: ModelCard,
    runtime: Runtime,
    *,
    processes: Processes = ALONE,
    distillation: Distillation | None = None,
) -> NetworkInput:
    """Normalise a micro-batch on the device, and draw its masks and dropped paths from its sample indices.

    Args:
        batch: crops of this process's part of the micro-batch.
        recipe: of the run.
        backbone: of the student, whose patches are masked and whose branches are dropped.
        card: mean, standard deviation and channel order that the crops are normalised by.
        runtime: device.
        processes: of the run.
        distillation: of the recipe, where it has one.
    """
    index = batch.sample_index.numpy()
    masked = None
    if recipe.loss.ibot > 0 and isinstance(backbone, ViTBackbone):
        side = recipe.crops.global_size // backbone.patch_size
        masks = sample_masks(recipe.seed, index, side, recipe.masking.images, recipe.masking.patches)
        masked = MaskedPatches.of(masks.reshape(-1, side * side), runtime.device)

    def kept(crops: range) -> list[Kept] | None:
        rate, branches = recipe.model.drop_path, backbone.residual_branches
        plan = drop_path_plan(recipe.seed, index, crops, branches, rate, processes=processes)
        if plan is None:
            return None
        return [Kept(to_device(part.indices, runtime.device), part.scale) for part in plan]

    has_local = recipe.crops.local_count > 0 and recipe.loss.dino > 0
    return NetworkInput(
        _to_network(batch.global_crops, card, runtime),
        _to_network(batch.local_crops, card, runtime) if has_local else None,
        masked,
        kept(range(2)),
        kept(range(2, 2 + recipe.crops.local_count)),
        derived_seed(recipe.seed, TORCH, int(index[0])),
        distillation=None if distillation is None else distillation.input_of(batch, runtime.device),
        teacher_crops=None
        if batch.teacher_crops is None
        else _to_network(batch.teacher_crops, card, runtime),
    )


def _to_network(crops: Tensor, card: ModelCard, runtime: Runtime) -> Tensor:
    """Turn (C, B, s, s, 3) uint8 RGB into (C B, 3, s, s) float, in the channel order of the card."""
    pixels = to_device(crops.flatten(0, 1), runtime.device)
    return normalise(pixels.flip(-1) if card.channel_order == "BGR" else pixels, card.mean, card.std)


class Prefetcher(Iterator[NetworkInput]):
    """The network input of each batch; on a GPU the next one is copied and normalised during a step.

    Args:
        batches: of crops.
        make: batch to network input, on the device.
        runtime: whose device it is for.
    """

    def __init__(
        self, batches: Iterator[CropBatch], make: Callable[[CropBatch], NetworkInput], runtime: Runtime
    ) -> None:
        self._batches, self._make, self._device = batches, make, runtime.device
        self._copies: Any = None
        if runtime.device.type == "cuda":
            self._copies = torch.cuda.Stream(runtime.device)
        self._following: NetworkInput | None = None

    def prepare(self) -> None:
        """Make the next input; on a CPU, which has nothing to wait for, it is made when it is due.

        To be called when the device has been given the work of a step, and before its result is waited for.
        """
        if self._copies is None or self._following is not None:
            return
        with torch.cuda.stream(self._copies):
            batch = next(self._batches, None)
            self._following = None if batch is None else self._make(batch)

    def __next__(self) -> NetworkInput:
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
    """Yield all tensors of a network input."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, list | tuple):
        for part in content:
            yield from _tensors(part)
    elif is_dataclass(content):
        for field in fields(content):
            yield from _tensors(getattr(content, field.name))
