"""What a pretraining step costs by network and crop size, as a Markdown table.

Each cell is a short real run in a process of its own, so that its peak memory is its own: the recipe as it
stands but for crop size, batch, loading in the same process, and fresh weights (none need be fetched).
`small` and `base` keep their 131,072 prototypes: at a small batch these, not the network, are most of the
memory. The last columns are what `reddino plan` makes of the counted operations for 8 GPUs.

    python benchmarks/cost_table.py --recipes vit-tiny-scratch small base --batch 8
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import reddino

SIZES = {"112/56": (112, 56), "224/98": (224, 98)}
WARM_UP = 2  # steps that are not timed
GPUS, SAMPLES = 8, 12_500_000  # of the plan: 1.25 million patches, 10 epochs
HEAD = (
    "network",
    "crops",
    "prototypes",
    "M parameters",
    "GFLOP a sample",
    "samples/s here",
    "peak GB here",
    "GB a GPU",
    f"hours on {GPUS}",
)


class _EnoughError(Exception):
    """Ends a run before it writes a checkpoint."""


def overrides(size: str) -> list[str]:
    """The crop sizes of a cell."""
    large, small = SIZES[size]
    return [f"crops.global_size={large}", f"crops.local_size={small}"]


def measure(name: str, size: str, images: Path, batch: int, steps: int) -> dict[str, Any]:
    """Samples a second over the timed steps of a real run, and the peak memory of this process in GB."""
    from reddino.pretraining import train as loop
    from reddino.pretraining.run.recipe import read_recipe
    from reddino.smears.opening import open_data

    short = ["online.every=0", "runtime.tensorboard=false", "runtime.checkpoint_every=1000000"]
    sizes = [f"run.batch={batch}", "run.accumulate=1", "run.samples=1000000", "runtime.workers=0"]
    recipe = read_recipe(name, ["model.start=scratch", *short, *sizes, *overrides(size)])
    ends: list[float] = []

    def watch(done: int, planned: int) -> None:
        ends.append(time.perf_counter())
        if len(ends) > steps + WARM_UP:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder, suppress(_EnoughError):
        loop.pretrain(recipe, open_data(images), Path(folder), progress=watch)
    # Not getrusage: its maximum begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text("utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    return {"rate": batch * steps / (ends[-1] - ends[WARM_UP]), "peak": peak}


def plan(name: str, size: str, device_kind: str) -> dict[str, Any]:
    """What `reddino plan` says of the recipe's own batch on each of the GPUs."""
    from reddino.pretraining.run.recipe import read_recipe

    recipe = read_recipe(name, overrides(size))
    # A batch that is the recipe's on every GPU.
    batch = GPUS * recipe.run.batch
    recipe = read_recipe(name, [*overrides(size), f"run.batch={batch}"])
    made = reddino.plan(recipe, devices=GPUS, device_kind=device_kind, samples=SAMPLES)
    return {
        "backbone": recipe.model.backbone,
        "prototypes": recipe.head.prototypes,
        "batch": batch,
        "parameters": made.counts.parameters / 1e6,
        "gflop": made.counts.flops / 1e9,
        "memory": sum(made.memory.values()),
        "hours": made.hours,
        "speed": made.origin,
        "assumptions": made.text().splitlines()[-1].removeprefix("assumed").strip(),
    }


def in_a_process(*arguments: str) -> dict[str, Any]:
    """What this file prints when it is started anew with these arguments."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def print_table(options: argparse.Namespace) -> None:
    """Measure every cell, print its row, and below the table what it rests on."""
    cores = len(os.sched_getaffinity(0))
    print("| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    batches, planned = [], {}
    with tempfile.TemporaryDirectory() as folder:
        reddino.synthesise(Path(folder), patients_per_source=1, fields_per_patient=1)
        manifest = str(Path(folder, "manifest.csv"))
        measured = ("--images", manifest, "--batch", str(options.batch), "--steps", str(options.steps))
        for name in options.recipes:
            for size in options.sizes:
                planned = in_a_process("--plan", name, size, "--device-kind", options.device_kind)
                cell = in_a_process("--measure", name, size, *measured)
                print(
                    f"| {name}, {planned['backbone']} | {size} | {planned['prototypes']:,} | "
                    f"{planned['parameters']:.1f} | {planned['gflop']:.1f} | {cell['rate']:.2f} | "
                    f"{cell['peak']:.1f} | {planned['memory']:.1f} | {planned['hours']:.2f} |",
                    flush=True,
                )
            batches.append(f"{name} {planned['batch']}")
    print(
        f"\nHere: {cores} core(s), batch {options.batch}, {options.steps} steps after {WARM_UP}, crops made "
        "in the same process; peak resident memory of the process, torch included.\n"
        f"Parameters are the student's with heads.\nPlan: {SAMPLES:,} samples on {GPUS} "
        f"{options.device_kind}, batch of all GPUs together {', '.join(batches)}; speed "
        f"{planned['speed']}. Assumed: {planned['assumptions']}."
    )


def main() -> None:
    """Print the table, or, started by it, one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["vit-tiny-scratch", "small", "base"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device-kind", default="a100", help="as `reddino plan` takes it")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--plan", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, size = options.measure
        print(json.dumps(measure(name, size, options.images, options.batch, options.steps)))
    elif options.plan:
        name, size = options.plan
        print(json.dumps(plan(name, size, options.device_kind)))
    else:
        print_table(options)


if __name__ == "__main__":
    main()
