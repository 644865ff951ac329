"""The stage that measures samples/s of training steps and images/s of embedding, with peak memory."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from campaign.machine import machine
from campaign.plans import planned
from campaign.record import Record
from reddino.foundations.choices import Precision
from reddino.foundations.runtime import Runtime, choose_runtime
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.network_input import Prefetcher
from reddino.pretraining.data.stream import CropBatch
from reddino.pretraining.distributed.parallel import wrap
from reddino.pretraining.distributed.processes import ALONE
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.pretraining.schedules import values_at

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
SIZES = {"112/56": (112, 56), "224/98": (224, 98)}
RECIPES = ("vit-tiny-scratch", "small", "base")
#: On a CPU the campaign is only tried out: networks that are no measure of anything.
MINIATURE = ("model.depth=1", "head.prototypes=64", "head.hidden=64", "crops.local_count=2")
WARM_UP, FEWEST, MOST, SECONDS = 3, 3, 20, 1.5  # steps that are not timed; timed ones, and how long for
LARGEST_BATCH = {"cuda": 4096, "cpu": 8}
MODELS: tuple[tuple[str, int | None], ...] = (
    ("reddino-tiny", None),
    ("untrained:vit_small_patch14_dinov2", 224),
    ("untrained:vit_base_patch14_dinov2", 224),
)


def run(record: Record, seconds: float, *, device: str, campaign: Path, kind: str | None, **_: Any) -> None:
    """Measure cell after cell until the time is over; each is written down at once."""
    end = time.monotonic() + seconds
    record.update(machine=machine(device), training=[], embedding=[])
    small = device == "cpu"
    training: list[dict[str, Any]] = []
    embedding: list[dict[str, Any]] = []
    for model, size in MODELS[: 1 if small else None]:  # seconds each, so that they are there in any case
        for precision in PRECISIONS:
            if time.monotonic() < end:
                embedding.append(_tried(partial(embed_rate, model, size, precision, device), model=model))
                record.update(embedding=embedding)
    cells = list(itertools.product(RECIPES, SIZES))
    longest = 1.0 if small else 10.0
    for number, (name, crop) in enumerate(cells):
        started = time.monotonic()
        left = end - started
        row: dict[str, Any] = {"recipe": name, "crops": crop}
        if left < longest:
            row["said"] = "no time left"
        else:
            recipe = recipe_of(name, crop, device)
            row = _tried(partial(step_rate, recipe, 1.5 * left / (len(cells) - number)), **row)
            row |= planned(recipe, row.get("batch", recipe.run.batch), campaign, kind)
            longest = max(longest, time.monotonic() - started)
        training.append(row)
        record.update(training=training)


def _tried(measure: Callable[[], dict[str, Any]], **row: Any) -> dict[str, Any]:
    """A row, or a row that says why there is none: one network that fails does not end the others."""
    try:
        return row | measure()
    except Exception as error:
        return row | {"said": f"{type(error).__name__}: {str(error)[:200]}"}
    finally:
        free()


def free() -> None:
    """Give back the device's memory, and forget what its peak was."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def recipe_of(name: str, size: str, device: str) -> Recipe:
    """A recipe that comes with the package, at other crop sizes, from fresh weights."""
    large, local = SIZES[size]
    overrides = [
        "model.start=scratch",
        f"crops.global_size={large}",
        f"crops.local_size={local}",
        "run.samples=100000000",
        f"runtime.device={device}",
    ]
    if device == "cpu":
        overrides += [*MINIATURE, "run.batch=4", "run.precision=fp32"]
    return read_recipe(name, overrides)


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with another batch."""
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"batch": batch, "accumulate": 1})})


def noise(recipe: Recipe) -> CropBatch:
    """Crops of noise, few of them over and over: a step costs the same whatever it sees."""
    crops, batch = recipe.crops, recipe.run.batch
    generator = torch.Generator().manual_seed(0)

    def of(count: int, size: int) -> torch.Tensor:
        shape = (count, min(batch, 16), size, size, 3)
        few = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return few.repeat(1, math.ceil(batch / few.shape[1]), 1, 1, 1)[:, :batch].contiguous()

    index = torch.arange(batch)
    large, local = of(2, crops.global_size), of(crops.local_count, crops.local_size)
    return CropBatch(large, local, index, image_row=torch.zeros_like(index), patch=index)


def step_rate(recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Samples/s at the fastest batch that fits: the recipe's own, halved until it fits, or doubled."""
    end = time.monotonic() + seconds
    runtime = choose_runtime(recipe.runtime.device, recipe.run.precision)
    take = steps_of(recipe, runtime)
    tried: dict[int, dict[str, Any]] = {}
    for batch in batches(recipe.run.batch, tried, LARGEST_BATCH[runtime.device.type]):
        if any("rate" in row for row in tried.values()) and time.monotonic() + expected(batch, tried) > end:
            break
        free()
        try:
            tried[batch] = {"rate": take(batch), "peak_gb": _peak(runtime)}
        except torch.cuda.OutOfMemoryError:
            tried[batch] = {"said": "does not fit"}
    fitting = {batch: row for batch, row in tried.items() if "rate" in row}
    if not fitting:
        return {"said": "no batch fits", "tried": sorted(tried)}
    best = max(fitting, key=lambda batch: fitting[batch]["rate"])
    return {
        "batch": best,
        "samples_per_s": round(fitting[best]["rate"], 2),
        "peak_gb": fitting[best]["peak_gb"],
        "precision": runtime.precision,
        "packed": recipe.runtime.pack_crops,
        "tried": {str(batch): row for batch, row in sorted(tried.items())},
    }


def expected(batch: int, tried: dict[int, dict[str, Any]]) -> float:
    """Seconds that the fewest steps at `batch` take at the best speed so far."""
    best: float = max(row.get("rate", 0.0) for row in tried.values())
    return (WARM_UP + 1 + FEWEST) * batch / best


def batches(first: int, tried: dict[int, dict[str, Any]], largest: int = 4096) -> Iterator[int]:
    """Batches to try, by what became of those before (`tried`)."""
    batch = first
    yield batch
    while "rate" not in tried[batch]:
        if batch == 1:
            return
        batch //= 2
        yield batch
    while batch >= first:
        before, batch = tried[batch]["rate"], 2 * batch
        if batch > largest:
            return
        yield batch
        if tried[batch].get("rate", 0.0) < 1.03 * before:
            return


def steps_of(recipe: Recipe, runtime: Runtime) -> Callable[[int], float]:
    """Make a function that takes training steps at a batch and returns samples/s; networks are built once."""
    one_part = recipe.model_copy(update={"run": recipe.run.model_copy(update={"accumulate": 1})})
    networks = build_networks(one_part)
    student = wrap(networks, runtime, ALONE)
    optimizer = make_optimizer(networks.student, recipe.optim)

    def take(batch: int) -> float:
        asked = with_batch(recipe, batch)
        crops, started = noise(asked), 0.0
        inputs = Prefetcher(
            itertools.repeat(crops), partial(networks.network_input, runtime=runtime), runtime
        )
        for number in range(WARM_UP + MOST):
            if number == WARM_UP:
                started = now(runtime)
            networks.training_step(inputs, student, optimizer, values_at(number, asked), runtime=runtime)
            done = number + 1 - WARM_UP
            if done >= FEWEST and time.perf_counter() - started > SECONDS:
                break
        return batch * done / (now(runtime) - started)

    return take


def now(runtime: Runtime) -> float:
    """Seconds on a clock, when the device has done all that it was given."""
    if runtime.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak(runtime: Runtime) -> float | None:
    """GB that tensors took at most on a GPU since `free`."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if runtime.device.type == "cuda" else None


def embed_rate(model: str, size: int | None, precision: Precision, device: str) -> dict[str, Any]:
    """Images/s of squares that lie in memory: copying, preprocessing and network, without decoding."""
    from reddino.networks.encoder import open_model

    runtime = choose_runtime(device, precision)
    encoder = open_model(model, image_size=size, runtime=runtime)
    batch = 16 if device == "cpu" else 512
    side = encoder.input_size
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    for _ in range(2):
        encoder.embed(images)
    free_peak = _peak(runtime)
    ends = [time.perf_counter()]
    while len(ends) < 4 or (len(ends) < 40 and ends[-1] - ends[0] < 2.0):
        encoder.embed(images)
        ends.append(time.perf_counter())
    return {
        "input": side,
        "precision": precision,
        "batch": batch,
        "images_per_s": round(batch * (len(ends) - 1) / (ends[-1] - ends[0]), 1),
        "peak_gb": free_peak,
    }
