"""The stage that pretrains in what time is left; weights and metrics are saved into the outbox as it goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reddino
from campaign.machine import machine
from campaign.record import LARGEST_FILE, Record, replace_file, save_parts
from campaign.throughput import free
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import open_packed_cache
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.smears.packs import read_pack

RECIPE = Path(__file__).with_name("vit_small.yaml")
#: Seconds between two savings; of the trial that says how many samples fit; and kept for the end of the run.
EVERY, TRIAL, ENDING = 60.0, 20.0, 12.0
#: Of the samples that would fit at the speed of the trial, so that the schedule reaches its end.
CAUTION = 0.85
#: For trying the campaign out on a CPU.
MINIATURE = (
    "model.depth=1",
    "head.prototypes=64",
    "head.hidden=64",
    "run.batch=8",
    "run.precision=fp32",
    "runtime.log_every=2",
)


class _EnoughError(Exception):
    """Ends the trial before it writes anything large."""


def run(
    record: Record,
    seconds: float,
    *,
    device: str,
    campaign: Path,
    out: Path,
    work: Path,
    recipe: str | None,
    overrides: list[str],
    **_: Any,
) -> None:
    """Pack the shards, try how fast it goes, and pretrain until the time is over."""
    end = time.monotonic() + seconds
    record.update(machine=machine(device))
    wanted = recipe_for(recipe, overrides, device)
    started = time.monotonic()
    pack = packed(campaign, work, wanted)
    record.update(packing_s=round(time.monotonic() - started, 1))
    left = end - time.monotonic()
    record.update(loader_samples_per_s=round(loader_rate(wanted, pack, min(5.0, left / 20)), 1))
    rate = trial(wanted, pack, work / "trial", min(TRIAL, left / 8))
    free()
    end -= min(ENDING, seconds / 8)
    left = end - time.monotonic()
    if left < 5:
        raise RuntimeError(f"{left:.0f} seconds are too few for a run")
    wanted = of_length(wanted, rate, left)
    record.update(
        recipe=json.loads(wanted.model_dump_json()),
        trial_samples_per_s=round(rate, 1),
        planned_samples=wanted.run.samples,
        seconds=round(left, 1),
    )
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    save = saver(record, folder, out)

    def watch(done: int, planned: int) -> None:
        save(done, planned)
        if time.monotonic() > end:  # slower than the trial: the run stops as for Ctrl-C
            signal.raise_signal(signal.SIGTERM)

    outcome = reddino.pretrain(wanted, pack, folder, progress=watch)
    save(outcome.steps, outcome.planned, now=True)
    record.update(steps=outcome.steps, planned_steps=outcome.planned, finished=outcome.finished)


def recipe_for(name: str | None, overrides: list[str], device: str) -> Recipe:
    """The recipe of the run, with as many workers as there are cores for them."""
    cores = len(os.sched_getaffinity(0))
    own = [f"runtime.device={device}", f"runtime.workers={max(1, cores - 2)}", "online.every=0"]
    own += ["runtime.tensorboard=false", "runtime.keep_checkpoints=1", "runtime.log_every=50"]
    own += ["run.samples=1000000000"]
    return read_recipe(name or RECIPE, [*own, *(MINIATURE if device == "cpu" else ()), *overrides])


def packed(campaign: Path, work: Path, recipe: Recipe) -> Path:
    """The pack of the campaign's shards, made where there is none yet."""
    folder = work / "pack"
    if not (folder / "pack.json").exists():
        shards = sorted(str(path) for path in campaign.glob("*.tar"))
        if not shards:
            raise RedDinoError(f"{campaign} holds no shards: prepare the campaign first")
        shutil.rmtree(folder, ignore_errors=True)
        reddino.pack(shards, folder, recipe=recipe)
    return folder


def trial(recipe: Recipe, pack: Path, folder: Path, seconds: float) -> float:
    """Samples/s of a run of so many seconds, the first third of its steps left out."""
    ends: list[float] = []

    def watch(done: int, planned: int) -> None:
        ends.append(time.monotonic())
        if len(ends) > 4 and ends[-1] - ends[0] > seconds:
            raise _EnoughError

    long = changed(recipe, checkpoint_every=10**9)
    try:
        reddino.pretrain(long, pack, folder, progress=watch)
    except _EnoughError:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first = len(ends) // 3
    return recipe.run.batch * (len(ends) - 1 - first) / (ends[-1] - ends[first])


def loader_rate(recipe: Recipe, pack: Path, seconds: float) -> float:
    """Samples/s of the loader alone, with the same workers."""
    cache = open_packed_cache(read_pack(pack), recipe.data.max_cell_diameter)
    batches = iter(make_stream(recipe, cache))
    next(batches)
    count, started = 0, time.monotonic()
    while count < 2 or time.monotonic() - started < seconds:
        next(batches)
        count += 1
    return recipe.run.batch * count / (time.monotonic() - started)


def changed(recipe: Recipe, **runtime: Any) -> Recipe:
    """The recipe with other settings of its runtime."""
    return recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update=runtime)})


def of_length(recipe: Recipe, rate: float, seconds: float) -> Recipe:
    """The recipe with as many samples as fit into the time, and a checkpoint as often as it is saved."""
    batch = recipe.run.batch
    steps = max(3, int(CAUTION * rate * seconds / batch))
    run = recipe.run.model_copy(update={"samples": steps * batch})
    every = max(1, min(steps, int(rate * min(EVERY, seconds / 3) / batch)))
    return changed(recipe.model_copy(update={"run": run}), checkpoint_every=every)


def saver(record: Record, folder: Path, out: Path) -> Callable[..., None]:
    """A progress callback that saves weights in float16 and metrics whenever there is a new checkpoint."""
    saved: dict[str, Any] = {"model": 0, "at": time.monotonic()}

    def save(done: int, planned: int, *, now: bool = False) -> None:
        card = folder / "model" / "reddino.json"
        new = card.stat().st_mtime_ns if card.exists() else 0
        if new == saved["model"] and not (now or time.monotonic() - saved["at"] > EVERY):
            return
        metrics = folder / "metrics.jsonl"
        if metrics.exists():
            replace_file(out / "metrics.jsonl", metrics.read_bytes()[-LARGEST_FILE:])
            record.update(done_steps=done, last=last_line(metrics))
        if new != saved["model"]:
            record.update(weights=save_model(folder / "model", folder / "half", out), saved_steps=done)
        saved.update(model=new, at=time.monotonic())

    return save


def save_model(model: Path, half: Path, out: Path) -> list[str]:
    """A model folder in float16, without heads, as parts of a tar file."""
    from reddino.networks.folder import open_model_folder, save_model_folder

    save_model_folder(half, *open_model_folder(model), half=True)
    return save_parts(sorted(half.iterdir()), out, "model")


def last_line(metrics: Path) -> dict[str, Any]:
    """The last record of the metrics."""
    lines = metrics.read_text("utf-8").splitlines()
    return dict(json.loads(lines[-1])) if lines else {}
