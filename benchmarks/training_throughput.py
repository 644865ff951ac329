"""Samples a second of whole pretraining runs: what the loader costs, and what the operations are worth.

Three runs of the same recipe take turns in one process, several times over, on the same synthetic smears:
fed by the real loader; fed with batches that were made before; and by the real loader with albumentations'
pixel operations in place of ours. Rates are medians over steps, ratios those of the medians over turns.

    python benchmarks/training_throughput.py --recipe tiny
"""
# ruff: noqa: I001 - reddino comes first, since it sets OMP_WAIT_POLICY, which torch reads when it loads

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import reddino
import numpy as np

from reddino.pretrain import loop, pixel_ops
from reddino.pretrain.image_cache import open_cache
from reddino.pretrain.operations.reference import AlbumentationsOperation
from reddino.pretrain.recipe import Recipe, read_recipe
from reddino.smears.manifest import Manifest

READY = 8  # batches that are made before and fed in turn


class _EnoughError(Exception):
    """Ends a run before it writes a checkpoint."""


def rate(recipe: Recipe, images: Manifest, cache: Path, steps: int) -> float:
    """Samples a second of a run: the median step, the first three left out."""
    ends: list[float] = []

    def watch(done: int, planned: int) -> None:
        ends.append(time.perf_counter())
        if len(ends) > steps + 3:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder, suppress(_EnoughError):
        loop.pretrain(recipe, images, Path(folder), cache_folder=cache, progress=watch)
    return recipe.run.batch / median(np.diff(ends[3:]).tolist())


@contextmanager
def ready_batches(recipe: Recipe, images: Manifest, cache: Path) -> Iterator[None]:
    """Runs are fed with batches that lie in memory."""
    opened = open_cache(images, cache, max_cell_diameter=recipe.data.max_cell_diameter)
    stream = iter(loop.make_stream(recipe, opened))
    batches = [next(stream) for _ in range(READY)]
    del stream
    with patch.object(loop, "make_stream", lambda *_, **__: cycle(batches)):
        yield


@contextmanager
def slow_operations(*_: Any) -> Iterator[None]:
    """Runs use albumentations' operations."""
    slow = {name: AlbumentationsOperation(name) for name in pixel_ops.PIXEL_OPERATIONS}
    with patch.object(pixel_ops, "PIXEL_OPERATIONS", slow):
        yield


@contextmanager
def as_it_is(*_: Any) -> Iterator[None]:
    """Runs as everyone has them."""
    yield


VARIANTS: dict[str, Callable[..., Any]] = {
    "real loader": as_it_is,
    "batches made before": ready_batches,
    "real loader, albumentations' operations": slow_operations,
}


def main() -> None:
    """Print the rate of each variant and its ratio to the real loader."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="one turn of two small steps")
    options = parser.parse_args()
    small = ["run.batch=8"] if options.quick else []
    turns, steps = (1, 2) if options.quick else (options.turns, options.steps)
    recipe = read_recipe(
        options.recipe,
        [
            "run.samples=10000000",
            "runtime.score_every=0",
            "runtime.tensorboard=false",
            "runtime.checkpoint_every=1000000",
            *small,
            *options.set,
        ],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = reddino.synthesise(folder / "smears", patients_per_source=2, fields_per_patient=1)
        rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(turns):
            for variant, prepared in VARIANTS.items():
                with prepared(recipe, images, folder / "cache"):
                    rates[variant].append(rate(recipe, images, folder / "cache", steps))
    print(
        f"{recipe.model.backbone} {recipe.crops.global_size}/{recipe.crops.local_size}, "
        f"batch {recipe.run.batch}, "
        f"{recipe.runtime.workers} worker(s), {steps} steps, median of {turns} turn(s)"
    )
    real = median(rates["real loader"])
    for variant, values in rates.items():
        print(
            f"{variant:42s} {median(values):8.2f} samples/s   real loader / this {real / median(values):5.2f}"
            f"   ({min(values):.2f}-{max(values):.2f})"
        )


if __name__ == "__main__":
    main()
