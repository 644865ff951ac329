"""Samples a second of whole pretraining runs: what the loader costs, on the same cores.

Two runs of the same recipe on the same synthetic smears take turns, several times over: one makes its crops
as every run does, the other is fed with batches that were made before. Both have the same cores, and a rate
is that of all timed steps together, so that a step that waits for its batch counts. The ratio is the median
over the pairs. It is printed for one core, where making crops takes its time from the step, and for two,
where a worker makes them beside a step of two threads.

    python benchmarks/training_throughput.py --recipe vit-tiny-scratch --cores 1 2
"""
# ruff: noqa: I001 - reddino comes first, since it sets OMP_WAIT_POLICY, which torch reads when it loads

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import reddino

from reddino.pretraining import train as loop
from reddino.pretraining.augmentation import pixel_operations as pixel_ops
from reddino.pretraining.data.image_cache import open_cache
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.augmentation.operations import CONFIGURED
from reddino.pretraining.augmentation.operations.reference import AlbumentationsOperation
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.smears.manifest import Manifest

READY = 8  # batches that are made before and fed in turn
WARM_UP = 3  # steps that are not timed
LOADER, READY_MADE, SLOW = "real loader", "batches made before", "real loader, albumentations' operations"


class _EnoughError(Exception):
    """Ends a run before it writes a checkpoint."""


def rate(recipe: Recipe, images: Manifest, cache: Path, steps: int) -> float:
    """Samples a second of a run over its timed steps, waiting for batches included."""
    ends: list[float] = []

    def watch(done: int, planned: int) -> None:
        ends.append(time.perf_counter())
        if len(ends) > steps + WARM_UP:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder, suppress(_EnoughError):
        loop.pretrain(recipe, images, Path(folder), cache_folder=cache, progress=watch)
    return recipe.run.batch * steps / (ends[-1] - ends[WARM_UP])


@contextmanager
def ready_batches(recipe: Recipe, images: Manifest, cache: Path) -> Iterator[None]:
    """Runs are fed with batches that lie in memory."""
    opened = open_cache(images, cache, max_cell_diameter=recipe.data.max_cell_diameter)
    stream = iter(make_stream(recipe, opened))
    batches = [next(stream) for _ in range(READY)]
    del stream
    with patch.object(loop, "make_stream", lambda *_, **__: cycle(batches)):
        yield


@contextmanager
def slow_operations(*_: Any) -> Iterator[None]:
    """Runs use albumentations' operations."""
    slow = {name: AlbumentationsOperation(name) for name in CONFIGURED}
    with patch.object(pixel_ops, "PIXEL_OPERATIONS", slow):
        yield


@contextmanager
def as_it_is(*_: Any) -> Iterator[None]:
    """Runs as everyone has them."""
    yield


VARIANTS: dict[str, Callable[..., Any]] = {
    LOADER: as_it_is,
    READY_MADE: ready_batches,
    SLOW: slow_operations,
}


def recipe_for(cores: int, options: argparse.Namespace) -> Recipe:
    """The recipe without scores and checkpoints; crops are made by a worker where there is a second core."""
    return read_recipe(
        options.recipe,
        [
            "run.samples=10000000",
            "online.every=0",
            "runtime.tensorboard=false",
            "runtime.checkpoint_every=1000000",
            f"runtime.workers={min(1, cores - 1)}",
            *(["run.batch=8"] if options.quick else []),
            *options.set,
        ],
    )


def compare(cores: int, options: argparse.Namespace) -> None:
    """Run the pairs on this many cores and print rates and ratios."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    recipe = recipe_for(cores, options)
    variants = [LOADER, READY_MADE, *([SLOW] if options.albumentations else [])]
    rates: dict[str, list[float]] = {variant: [] for variant in variants}
    pairs, steps = (1, 2) if options.quick else (options.pairs, options.steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = reddino.synthesise(folder / "smears", patients_per_source=2, fields_per_patient=1)
        for pair in range(pairs):
            # The other way round every second time: who comes first must not matter.
            for variant in variants[:: 1 if pair % 2 == 0 else -1]:
                with VARIANTS[variant](recipe, images, folder / "cache"):
                    rates[variant].append(rate(recipe, images, folder / "cache", steps))
    print(
        f"\n{recipe.model.backbone} {recipe.crops.global_size}/{recipe.crops.local_size}, "
        f"batch {recipe.run.batch}, {cores} core(s), {recipe.runtime.workers} worker(s), "
        f"{steps} steps, median of {pairs} pair(s)"
    )
    for variant, values in rates.items():
        ratio = spread([loader / other for loader, other in zip(rates[LOADER], values, strict=True)], "5.3f")
        print(f"{variant:42s} samples/s {spread(values, '8.2f')}   real loader / this {ratio}")


def spread(values: Sequence[float], form: str) -> str:
    """The median, and in brackets the smallest and the largest."""
    return f"{median(values):{form}} ({min(values):.3g}-{max(values):.3g})"


def main() -> None:
    """Compare on each number of cores in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="vit-tiny-scratch")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--albumentations", action="store_true", help="also with albumentations' operations")
    parser.add_argument("--quick", action="store_true", help="one pair of two small steps")
    options = parser.parse_args()
    if len(options.cores) == 1:
        compare(options.cores[0], options)
        return
    for cores in options.cores:
        available = len(os.sched_getaffinity(0))
        if cores > available:
            print(f"\nnot measured on {cores} cores: this process may use {available}")
            continue
        # OpenMP's threads keep the cores they began with. The last --cores given counts.
        subprocess.run([sys.executable, *sys.argv, "--cores", str(cores)], check=True)


if __name__ == "__main__":
    main()
