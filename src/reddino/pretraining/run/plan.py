"""What a pretraining run would take: operations and memory counted on a real step, hours from its speed."""

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
from reddino.smears.manifest import Manifest

#: Peak dense bf16 (or fp16) TFLOP/s and GB of memory, from the vendors' data sheets.
DEVICES = {
    "t4": (65.0, 16.0),
    "l4": (121.0, 24.0),
    "rtx4090": (165.0, 24.0),
    "v100": (125.0, 32.0),
    "a100": (312.0, 80.0),
    "h100": (989.0, 80.0),
    "h200": (989.0, 141.0),
}
THIS = "this"
UTILISATION = 0.3  # of the peak, assumed for devices that are not here
BYTES_A_PARAMETER = {"weights": 4, "gradients": 4, "Adam": 8, "EMA teacher": 4}

_COUNTED = 4  # samples of the counted step
_SLOW = 4e12  # operations of a step past which a probe is timed on a shallower network
_PRECOMPUTED = 512  # rows of a checked recipe whose teacher's features are computed first
_TURNS = 3  # of probe and real run, where they are compared
_STEPS, _SECONDS = 6, 20.0  # timed steps of a probe, and how long it may go on for them


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


@dataclass(frozen=True)
class Plan:
    """A run's needs; `text` lists them with what they rest on."""

    recipe: Recipe
    counts: Counts
    samples: int
    devices: int
    device_kind: str
    samples_per_second: float
    origin: str
    memory_limit: float | None
    measured: float | None = None

    @property
    def hours(self) -> float:
        """Of the whole run on all devices."""
        return self.samples / (self.samples_per_second * self.devices) / 3600

    @property
    def samples_a_device(self) -> int:
        """Samples that a device holds at once."""
        run = self.recipe.run
        return -(-run.batch // (run.accumulate * self.devices))

    @property
    def memory(self) -> dict[str, float]:
        """GB per device, by use."""
        parts = {name: size * self.counts.parameters for name, size in BYTES_A_PARAMETER.items()}
        if self.counts.frozen:
            parts["distillation teacher"] = BYTES_A_PARAMETER["weights"] * self.counts.frozen
        parts["activations"] = self.counts.activations * self.samples_a_device
        return {name: size / 1e9 for name, size in parts.items()}

    def text(self) -> str:
        """Return everything, for the user."""
        run, memory = self.recipe.run, self.memory
        split = ", ".join(f"{name} {size:.2f}" for name, size in memory.items())
        total = sum(memory.values())
        lines = [
            f"network       {self.recipe.model.backbone}, {self.counts.parameters / 1e6:.1f} M parameters "
            "with heads (student; the teacher has as many)",
            f"operations    {self.counts.flops / 1e9:.1f} GFLOP a sample ({', '.join(self._computed())})",
            f"memory        {total:.2f} GB a device at {self.samples_a_device} samples: {split}",
            f"speed         {self.samples_per_second:.1f} samples/s a device ({self.origin})",
            f"length        {self.samples:,} samples in batches of {run.batch}: {self.hours:.2f} hours on "
            f"{self.devices} device(s)",
        ]
        if self.memory_limit is not None and total > self.memory_limit:
            lines.append(
                f"does not fit  {total:.0f} GB of {self.memory_limit:.0f} GB: raise run.accumulate or devices"
            )
        if self.measured is not None:
            error = 100 * (self.samples_per_second / self.measured - 1)
            lines.append(
                f"check         {self.measured:.1f} samples/s in a real run on the images given: "
                f"the plan is {error:+.1f} % off"
            )
        return "\n".join([*lines, *self._assumptions()])

    def _computed(self) -> list[str]:
        """Return what the operations of a step are of."""
        teacher = ["teacher"] if self.recipe.has_prototypes else []
        distillation = ["distillation teacher"] if self.recipe.uses_clean_crops else []
        return ["forward", "backward", *teacher, *distillation, "heads"]

    def _assumptions(self) -> list[str]:
        once = self.recipe.distill is not None and self.recipe.distill.once
        beforehand = "; computing distill.teacher's features of all cells beforehand comes on top"
        return [
            "assumed       float32 weights, gradients, moments and teacher, all on every device; activations "
            "as this machine's precision and attention keep them (fused attention in bf16 keeps fewer); "
            "loading keeps up; devices add up without loss; no scoring and no checkpoints"
            + (beforehand if once else ""),
        ]


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    device_kind: str = THIS,
    samples: int | None = None,
    check: Manifest | None = None,
    cell_diameters: dict[str, float] | None = None,
) -> Plan:
    """Count, measure and add up; see `reddino.api.plan`.

    `cell_diameters` are those of the images of `check`, by source. Probe and real run take turns, so that a
    machine whose speed drifts does not look like a wrong plan.

    Raises:
        RedDinoError: an unknown kind of device, or a number of devices or samples below 1.
    """
    if devices < 1 or (samples is not None and samples < 1):
        raise RedDinoError("a plan needs at least one device and one sample")
    peak = None if device_kind == THIS else peak_of(device_kind)
    if check is not None and peak is not None:
        raise RedDinoError("a plan can be checked on this machine only; leave the kind of device out")
    if check is not None and recipe.distill is not None and recipe.distill.once:
        # The teacher's features of all of them would be computed first, which takes longer than the steps.
        check = check.select(np.linspace(0, len(check) - 1, min(len(check), _PRECOMPUTED)).astype(np.int64))
    with tempfile.TemporaryDirectory(prefix="reddino-plan-") as folder:
        images = _noise_images(Path(folder))
        counts = _at_full_depth(recipe, lambda shallow: _count(shallow, images))
        real: list[float] = []
        if peak is None:
            rates = []
            for _ in range(1 if check is None else _TURNS):
                rate, origin = _probe(recipe, images, counts.flops)
                rates.append(rate)
                if check is not None:
                    real.append(_samples_per_second(recipe, check, _STEPS, cell_diameters))
            rate = median(rates)
        else:
            rate = UTILISATION * peak[0] * 1e12 / counts.flops
            origin = f"assumed: {UTILISATION:.0%} of {peak[0]:g} TFLOP/s"
    return Plan(
        recipe,
        counts,
        samples or recipe.run.samples,
        devices,
        device_kind,
        rate,
        origin,
        peak[1] if peak is not None else None,
        median(real) if real else None,
    )


def peak_of(kind: str) -> tuple[float, float]:
    """Return TFLOP/s and GB of a kind of device, by name or as `300/80`."""
    if kind.lower() in DEVICES:
        return DEVICES[kind.lower()]
    try:
        speed, memory = (float(number) for number in kind.split("/"))
    except ValueError:
        speed = memory = 0.0
    if not (speed > 0 and memory > 0):
        known = ", ".join([THIS, *DEVICES])
        raise RedDinoError(
            f"kind of device '{kind}' is not known ({known}); give TFLOP/s and GB as in 300/80"
        )
    return speed, memory


def _at_full_depth(recipe: Recipe, count: Callable[[Recipe], Counts]) -> Counts:
    """Count on one block and on two, and add the others, which are alike; a CNN is counted as it is."""
    blocks = _blocks(recipe)
    if blocks <= 2:
        return count(recipe)
    one, two = (count(_changed(recipe, model={"depth": depth})) for depth in (1, 2))
    return two.beyond(one, blocks - 2)


def _blocks(recipe: Recipe) -> int:
    """Transformer blocks of the backbone; 0 for a CNN."""
    if not recipe.model.backbone.startswith("vit"):
        return 0
    if recipe.model.depth is not None:
        return recipe.model.depth
    return 24 if "large" in recipe.model.backbone else 12


def _changed(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """Return the recipe for a short run from scratch, with values of some sections replaced."""
    content = recipe.model_dump(mode="json")
    content["model"]["start"] = "scratch"
    content["runtime"] |= {"score_every": 0, "tensorboard": False, "checkpoint_every": 10**9}
    for section, values in sections.items():
        content[section] |= values
    return make_recipe(content, "of the plan")


def _noise_images(folder: Path) -> Manifest:
    """Eight pictures of smooth noise with a disc: what a step costs does not depend on the picture.

    The disc is marked as a cell, for recipes that cut patches around cells or measure them.
    """
    rng, rows, middle, diameter = np.random.default_rng(0), [], 224, 48
    for number in range(8):
        picture = cv2.GaussianBlur(rng.integers(0, 256, (448, 448, 3), np.uint8), (0, 0), 3)
        cv2.circle(picture, (middle, middle), diameter // 2, (90, 60, 120), cv2.FILLED)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        place = {"x": float(middle), "y": float(middle), "cell_diameter": float(diameter)}
        rows.append({"path": f"{number}.png", "source": "noise", **place})
    return Manifest(pa.Table.from_pylist(rows), folder)


def _count(recipe: Recipe, images: Manifest) -> Counts:
    """Count one step of a real run."""
    short = _changed(
        recipe,
        run={"samples": 2 * _COUNTED, "batch": _COUNTED, "accumulate": 1},
        runtime={"workers": 0},
    )
    networks = build_networks(short)
    parameters = sum(tensor.numel() for tensor in networks.student.parameters())
    frozen = networks.distillation.teacher.parameters if networks.distillation is not None else 0
    kept, counter = _Kept(), FlopCounterMode(display=False, custom_mapping=_COUNTED_HERE)
    with kept, ExitStack() as counted:

        def enough(done: int) -> bool:
            if done == 0:  # what opening the networks takes is no part of a step
                counted.enter_context(counter)
            return done >= 1

        _run(short, images, enough)
    return Counts(parameters, counter.get_total_flops() / _COUNTED, kept.most / _COUNTED, frozen)


def _attention_flops(*shapes: Any, **_: Any) -> int:
    """Count the two products of attention, from the shapes of queries, keys and values."""
    flops: int = sdpa_flop_count(*shapes[:3])  # type: ignore[no-untyped-call]
    return flops


def _convolution_backward_flops(grad_out: Any, _images: Any, weights: Any, *options: Any, **_: Any) -> int:
    """Count as much as the forward pass for each gradient that is needed, of images and of weights."""
    wanted = sum(options[-1][:2])
    return int(2 * grad_out[0] * prod(grad_out[2:]) * prod(weights) * wanted)


#: What torch's counter does not know (the teacher's attention is fused on CPUs too), or counts as if a
#: convolution in groups had none, which is ten times too much for a depthwise network.
_COUNTED_HERE = {
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


def _probe(recipe: Recipe, images: Manifest, flops: float) -> tuple[float, str]:
    """Measure samples per second on this machine; return them and how they were measured."""
    batch = recipe.run.batch // recipe.run.accumulate
    blocks = _blocks(recipe)
    on_gpu = (
        choose_device(recipe.runtime.device).type == "cuda"
    )  # where the speed at a small batch is not that at a full one
    if on_gpu or flops * batch <= _SLOW or blocks <= 4:
        rate = _samples_per_second(recipe, images, _STEPS)
        return rate, f"measured here on pictures of noise, batch {batch}"
    batch = max(2, min(batch, 16))
    few = {"batch": batch, "accumulate": 1, "samples": max(batch, recipe.run.samples)}
    two, four = (
        1 / _samples_per_second(_changed(recipe, model={"depth": depth}, run=few), images, 3)
        for depth in (2, 4)
    )
    seconds = four + (blocks - 4) * (four - two) / 2
    return 1 / seconds, f"measured here with 2 and 4 of {blocks} blocks at batch {batch}, and extended"


def _samples_per_second(
    recipe: Recipe, images: Manifest, steps: int, cell_diameters: dict[str, float] | None = None
) -> float:
    """Return the median over steps of a real run, the first two left out; at least one is timed."""
    short = _changed(recipe)
    ends: list[float] = []

    def enough(done: int) -> bool:
        ends.append(time.perf_counter())
        return len(ends) > 3 + steps or (len(ends) > 4 and ends[-1] - ends[0] > _SECONDS)

    _run(short, images, enough, cell_diameters)
    if len(ends) < 4:
        raise RedDinoError(f"a plan needs a run of at least 3 steps, not {recipe.steps}: lower run.batch")
    return recipe.run.batch / median(np.diff(ends[2:]).tolist())
