"""Samples/s of the pretraining step against lightly's parts: same network, crops, heads and losses.

Both take steps in turn in one process on the same random crops; the ratio is of medians. lightly's parts are
put together as its DINOv2 example does (masked ViT, DINO head; targets and losses, 3 % of a step, are written
out), in fp32 and torch's default settings, which is what its users run on a CPU.

    python benchmarks/pretraining_step.py --recipe vit-tiny-scratch \\
        --set crops.global_size=112 crops.local_size=56
"""
# ruff: noqa: I001 - reddino comes first, since it sets OMP_WAIT_POLICY, which torch reads when it loads

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import reddino  # noqa: F401
import timm
import torch
from lightly.models.modules import DINOProjectionHead, MaskedVisionTransformerTIMM
from lightly.models.utils import update_momentum
from torch import Tensor

from reddino.networks.graph import normalise
from reddino.networks.folder import IMAGENET_MEAN, IMAGENET_STD
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distributed.parallel import wrap
from reddino.pretraining.distributed.processes import ALONE
from reddino.pretraining.losses import sinkhorn_knopp
from reddino.pretraining.masking import sample_masks
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.pretraining.schedules import values_at
from reddino.pretraining.data.network_input import Prefetcher
from reddino.foundations.runtime import choose_runtime


def random_batch(recipe: Recipe, step: int) -> CropBatch:
    """Crops of noise: the cost of a step does not depend on the picture."""
    crops, batch = recipe.crops, recipe.run.batch
    generator = torch.Generator().manual_seed(step)

    def noise(count: int, size: int) -> Tensor:
        return torch.randint(0, 256, (count, batch, size, size, 3), dtype=torch.uint8, generator=generator)

    index = torch.arange(step * batch, (step + 1) * batch)
    return CropBatch(
        noise(2, crops.global_size),
        noise(crops.local_count, crops.local_size),
        index,
        image_row=torch.zeros_like(index),
        patch=index,
    )


def our_step(recipe: Recipe, threads: int) -> Callable[[int], None]:
    """One step of `reddino pretrain`."""
    runtime = choose_runtime("cpu", recipe.run.precision, threads)
    networks = build_networks(recipe)
    student = wrap(networks, runtime, ALONE)
    optimizer = make_optimizer(networks.student, recipe.optim)

    def step(number: int) -> None:
        torch.set_float32_matmul_precision("medium")
        batches = iter([random_batch(recipe, number)])
        inputs = Prefetcher(batches, partial(networks.network_input, runtime=runtime), runtime)
        networks.training_step(inputs, student, optimizer, values_at(number, recipe), runtime=runtime)

    return step


def lightly_step(recipe: Recipe) -> Callable[[int], None]:
    """The same step from lightly's parts; drop path as timm does it, without skipping samples."""
    crops, head = recipe.crops, recipe.head
    vit = timm.create_model(
        "vit_tiny_patch16_224",
        patch_size=14,
        img_size=crops.global_size,
        init_values=recipe.model.layer_scale or 1e-5,
        num_classes=0,
        dynamic_img_size=True,
        drop_path_rate=recipe.model.drop_path,
        **({"depth": recipe.model.depth} if recipe.model.depth else {}),
    )
    student = MaskedVisionTransformerTIMM(vit, antialias=False)
    teacher = deepcopy(student).eval()
    student_head, teacher_head = (
        DINOProjectionHead(vit.embed_dim, head.hidden, head.bottleneck, head.prototypes) for _ in range(2)
    )
    teacher_head.load_state_dict(student_head.state_dict())
    parameters = [*student.parameters(), *student_head.parameters()]
    optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=1e-4)
    side = crops.global_size // 14

    def targets(tokens: Tensor) -> Tensor:
        return sinkhorn_knopp(teacher_head(tokens), 0.04)

    def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
        return -(target * torch.log_softmax(logits / 0.1, dim=-1)).sum(dim=-1)

    def step(number: int) -> None:
        torch.set_float32_matmul_precision("highest")
        batch = random_batch(recipe, number)
        masks = sample_masks(0, batch.sample_index.numpy(), side, 0.5, (0.1, 0.5)).reshape(-1, side * side)
        hidden = torch.from_numpy(masks)
        with_cls = torch.cat([torch.zeros(len(hidden), 1, dtype=torch.bool), hidden], dim=1)
        global_crops = normalise(batch.global_crops.flatten(0, 1), IMAGENET_MEAN, IMAGENET_STD)
        local_crops = normalise(batch.local_crops.flatten(0, 1), IMAGENET_MEAN, IMAGENET_STD)
        with torch.no_grad():
            tokens = teacher.encode(global_crops)
            cls_targets = targets(tokens[:, 0]).chunk(2)
            patch_targets = targets(tokens[:, 1:][hidden])
        tokens = student.encode(global_crops, mask=with_cls)
        views = list(student_head(tokens[:, 0]).chunk(2))
        views += list(student_head(student.encode(local_crops)[:, 0]).chunk(crops.local_count))
        terms = [
            cross_entropy(target, view).mean()
            for i, target in enumerate(cls_targets)
            for j, view in enumerate(views)
            if i != j
        ]
        weights = (1.0 / hidden.sum(1, keepdim=True).clamp(min=1)).expand_as(hidden)[hidden]
        patch_loss = (cross_entropy(patch_targets, student_head(tokens[:, 1:][hidden])) * weights).sum()
        loss = torch.stack(terms).mean() + patch_loss / len(hidden)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 3.0)
        optimizer.step()
        update_momentum(student, teacher, m=0.994)
        update_momentum(student_head, teacher_head, m=0.994)

    return step


def main() -> None:
    """Print samples/s of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="vit-tiny-scratch")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, ["run.samples=1000000", *options.set])
    runtime = choose_runtime("cpu", recipe.run.precision, options.threads)
    steps = {"reddino": our_step(recipe, options.threads), "lightly": lightly_step(recipe)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.steps + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step(number)
            if number:
                seconds[name].append(time.perf_counter() - started)
    rates = {name: recipe.run.batch / statistics.median(times) for name, times in seconds.items()}
    ratio = rates["reddino"] / rates["lightly"]
    crops = recipe.crops
    print(
        f"{recipe.model.backbone} {crops.global_size}/{crops.local_size}, 2+{crops.local_count} "
        f"crops, batch {recipe.run.batch}, drop path {recipe.model.drop_path}, {runtime.precision}, "
        f"{options.threads} thread(s), median of {options.steps}"
    )
    for name, rate in rates.items():
        print(f"  {name:8s} {rate:7.2f} samples/s")
    print(f"  ratio    {ratio:7.2f}")


if __name__ == "__main__":
    main()
