"""One training step on a device: its losses and gradients, the same from the same seeds everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from reddino.foundations.runtime import Runtime
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distributed.parallel import WrappedStudent, wrap
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.distributed.tensors import whole_tensor
from reddino.pretraining.losses import total_loss
from reddino.pretraining.run.recipe import Recipe, read_recipe

#: The recipe vit-tiny-scratch, with crops, drop path and depth between it and the published ones.
SETTINGS = (
    "model.depth=4",
    "model.drop_path=0.2",
    "crops.global_size=112",
    "crops.local_size=56",
    "head.prototypes=64",
    "temperature.teacher_start=0.04",
    "run.batch=8",
)

#: What a step is computed in.
Computed = Literal["fp32", "bf16"]
Wrap = Callable[[StudentTeacher, Runtime, Processes], WrappedStudent]


class Step(NamedTuple):
    """Loss by name, and gradient by parameter, in float32 on the CPU."""

    losses: dict[str, float]
    gradients: dict[str, Tensor]


def recipe(overrides: Sequence[str] = ()) -> Recipe:
    return read_recipe("vit-tiny-scratch", [*SETTINGS, *overrides])


def random_batch(recipe: Recipe, number: int = 0) -> CropBatch:
    """Crops of noise."""
    crops, batch = recipe.crops, recipe.run.batch
    generator = torch.Generator().manual_seed(number)

    def noise(count: int, size: int) -> Tensor:
        return torch.randint(0, 256, (count, batch, size, size, 3), dtype=torch.uint8, generator=generator)

    index = torch.arange(number * batch, (number + 1) * batch)
    return CropBatch(
        noise(2, crops.global_size),
        noise(crops.local_count, crops.local_size),
        index,
        image_row=torch.zeros_like(index),
        patch=index,
    )


def networks_apart(recipe: Recipe, processes: Processes = ALONE) -> StudentTeacher:
    """Student and teacher with different weights, as after some training."""
    networks = build_networks(recipe, processes)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return networks


def take(
    recipe: Recipe,
    device: torch.device,
    precision: Computed = "fp32",
    *,
    fused: bool | None = None,
    processes: Processes = ALONE,
    wrapped: Wrap = wrap,
) -> Step:
    """Forward and backward pass of a step; `fused` overrides how attention is computed."""
    runtime = Runtime(device, precision, 1)
    networks = networks_apart(recipe, processes)
    student = wrapped(networks, runtime, processes)
    for branch in (networks.student, networks.teacher) if fused is not None else ():
        branch.backbone.use_fused_attention(bool(fused))
    batch = random_batch(recipe)
    inputs = networks.network_input(batch, runtime)
    with runtime.autocast():
        targets = networks.targets(inputs, 0.04)
        losses = networks.losses(student.predict(inputs), targets, inputs)
        total = total_loss(losses, *recipe.loss_weights)
    total.backward()
    named = {"total": total, "dino": losses["dino"], "ibot": losses["ibot"]}
    return Step(
        {name: float(loss.detach()) for name, loss in named.items()},
        {
            name.removeprefix("module."): whole_tensor(parameter.grad).float().cpu()
            for name, parameter in networks.student.named_parameters()
            if parameter.grad is not None
        },
    )


def loss_error(found: Step, wanted: Step) -> float:
    """The largest difference of a loss, as a fraction of it."""
    return max(abs(found.losses[name] - loss) / abs(loss) for name, loss in wanted.losses.items() if loss)


def gradient_error(found: Step, wanted: Step) -> float:
    """Length of the difference of all gradients together, as a fraction of their length."""
    assert found.gradients.keys() == wanted.gradients.keys()
    pairs = [(found.gradients[name], gradient) for name, gradient in wanted.gradients.items()]
    off = sum(float((a - b).double().square().sum()) for a, b in pairs)
    size = sum(float(b.double().square().sum()) for _, b in pairs)
    return float((off / size) ** 0.5)
