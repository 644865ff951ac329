"""What a training step costs: operations and memory counted on a real step, and its speed measured."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import choose_device
from reddino.pretraining.build import build_networks
from reddino.pretraining.run.recipe import Recipe, make_recipe
from reddino.pretraining.train import pretrain
from reddino.regions.slide_scale import USUAL_UM
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.manifest import Manifest

#: Timed steps of a probe, and seconds after which it stops before it has taken them.
STEPS, SECONDS = 6, 20.0
_COUNTED = 4  # samples of the counted step
_SLOW = 4e12  # operations of a step past which a probe is timed on a shallower network


@dataclass(frozen=True)
class Counts:
    """Of one network and sample.

    Attributes:
        parameters: of the student, heads included.
        flops: floating-point operations of a training step, per sample.
        activations: bytes that the backward pass keeps, per sample.
        frozen: parameters of a distillation's teacher.
    """

    parameters: float
    flops: float
    activations: float
    frozen: float = 0.0

    def beyond(self, shallower: Counts, blocks: int) -> Counts:
        """Return the counts with `blocks` more blocks, if one block makes the difference to `shallower`."""
        pairs = zip(vars(self).values(), vars(shallower).values(), strict=True)
        return Counts(*(more + blocks * (more - less) for more, less in pairs))


def at_full_depth(recipe: Recipe, count: Callable[[Recipe], Counts]) -> Counts:
    """Count on one block and on two, and add the others, which are alike; a CNN is counted as it is."""
    blocks = blocks_of(recipe)
    if blocks <= 2:
        return count(recipe)
    one, two = (count(_changed(recipe, model={"depth": depth})) for depth in (1, 2))
    return two.beyond(one, blocks - 2)


def blocks_of(recipe: Recipe) -> int:
    """Return the number of transformer blocks of the backbone; 0 for a CNN."""
    if not recipe.model.backbone.startswith("vit"):
        return 0
    if recipe.model.depth is not None:
        return recipe.model.depth
    return 24 if "large" in recipe.model.backbone else 12


def _changed(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """Return the recipe for a short run from scratch, with values of some sections replaced."""
    content = recipe.model_dump(mode="json")
    content["model"]["start"] = "scratch"
    content["online"]["every"] = 0
    content["runtime"] |= {"tensorboard": False, "checkpoint_every": 10**9}
    for section, values in sections.items():
        content[section] |= values
    return make_recipe(content, "of the plan")


def noise_images(folder: Path) -> Manifest:
    """Eight pictures of smooth noise with a disc: what a step costs does not depend on the picture.

    The disc is marked as a cell, for recipes that cut patches around cells or measure them; pixels are of a
    size by which it is as large as a red cell.
    """
    rng, rows, middle, diameter = np.random.default_rng(0), [], 224, 48
    for number in range(8):
        picture = cv2.GaussianBlur(rng.integers(0, 256, (448, 448, 3), np.uint8), (0, 0), 3)
        cv2.circle(picture, (middle, middle), diameter // 2, (90, 60, 120), cv2.FILLED)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        place = {"x": float(middle), "y": float(middle), "cell_diameter": float(diameter)}
        place[UM_PER_PX] = USUAL_UM / diameter
        rows.append({"path": f"{number}.png", "source": "noise", **place})
    return Manifest(pa.Table.from_pylist(rows), folder)


def count_step(recipe: Recipe, images: Manifest) -> Counts:
    """Count one step of a real run."""
    short = _changed(
        recipe,
        run={"samples": 2 * _COUNTED, "batch": _COUNTED, "accumulate": 1},
        runtime={"workers": 0},
    )
    networks = build_networks(short)
    parameters = sum(tensor.numel() for tensor in networks.student.parameters())
    frozen = networks.distillation.teacher.parameters if networks.distillation is not None else 0
    kept, counter = _Kept(), FlopCounterMode(display=False, custom_mapping=COUNTED_HERE)
    with kept, ExitStack() as counted:

        def enough(done: int) -> bool:
            if done == 0:  # what opening the networks takes is no part of a step
                counted.enter_context(counter)
            return done >= 1

        _run(short, images, enough)
    return Counts(parameters, counter.get_total_flops() / _COUNTED, kept.most / _COUNTED, frozen)


def _attention_flops(*shapes: Any, **_: Any) -> int:
    """Count the two products of attention, from the shapes of queries, keys and values."""
    flops: int = sdpa_flop_count(*shapes[:3])
    return flops


def _convolution_backward_flops(grad_out: Any, _images: Any, weights: Any, *options: Any, **_: Any) -> int:
    """Count as much as the forward pass for each gradient that is needed, of images and of weights."""
    wanted = sum(options[-1][:2])
    return int(2 * grad_out[0] * prod(grad_out[2:]) * prod(weights) * wanted)


#: What torch's counter leaves out (the teacher's attention is fused on CPUs too), or counts as if a
#: convolution in groups had none, which is ten times too much for a depthwise network.
COUNTED_HERE = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten.convolution_backward: _convolution_backward_flops,
}


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Adds up the memory of what autograd keeps for the backward pass; parameters do not count."""

    def __init__(self) -> None:
        self.most = 0
        self._sizes: dict[int, int] = {}
        super().__init__(self._pack, self._unpack)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            storage = tensor.untyped_storage()
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def _unpack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.most = max(self.most, sum(self._sizes.values()))
        self._sizes.clear()
        return tensor


class _EnoughError(Exception):
    """Ends a run before it writes anything large."""


def _run(
    recipe: Recipe,
    images: Manifest,
    enough: Callable[[int], bool],
    cell_diameters: dict[str, float] | None = None,
) -> None:
    """Pretrain in a temporary folder until `enough` of the number of steps done."""

    def watch(done: int, planned: int) -> None:
        if enough(done):
            raise _EnoughError

    logger = logging.getLogger("reddino")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings are of a run that the user did not start
    try:
        with tempfile.TemporaryDirectory(prefix="reddino-plan-") as folder, suppress(_EnoughError):
            pretrain(recipe, images, Path(folder), cell_diameters=cell_diameters, progress=watch)
    finally:
        logger.setLevel(level)


def probe(recipe: Recipe, images: Manifest, flops: float) -> tuple[float, str]:
    """Measure samples per second on this machine; return them and how they were measured."""
    batch = recipe.run.batch // recipe.run.accumulate
    blocks = blocks_of(recipe)
    on_gpu = (
        choose_device(recipe.runtime.device).type == "cuda"
    )  # where the speed at a small batch is not that at a full one
    if on_gpu or flops * batch <= _SLOW or blocks <= 4:
        rate = samples_per_second(recipe, images, STEPS)
        return rate, f"measured here on pictures of noise, batch {batch}"
    batch = max(2, min(batch, 16))
    few = {"batch": batch, "accumulate": 1, "samples": max(batch, recipe.run.samples)}
    two, four = (
        1 / samples_per_second(_changed(recipe, model={"depth": depth}, run=few), images, 3)
        for depth in (2, 4)
    )
    seconds = four + (blocks - 4) * (four - two) / 2
    return 1 / seconds, f"measured here with 2 and 4 of {blocks} blocks at batch {batch}, and extended"


def samples_per_second(
    recipe: Recipe, images: Manifest, steps: int, cell_diameters: dict[str, float] | None = None
) -> float:
    """Return the median over steps of a real run, the first two left out; at least one is timed."""
    short = _changed(recipe)
    ends: list[float] = []

    def enough(done: int) -> bool:
        ends.append(time.perf_counter())
        return len(ends) > 3 + steps or (len(ends) > 4 and ends[-1] - ends[0] > SECONDS)

    _run(short, images, enough, cell_diameters)
    if len(ends) < 4:
        raise RedDinoError(f"a plan needs a run of at least 3 steps, not {recipe.steps}: lower run.batch")
    return recipe.run.batch / median(np.diff(ends[2:]).tolist())
