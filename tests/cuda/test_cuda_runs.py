"""Whole runs on a GPU: resumed, from a CPU's checkpoint, with a frozen network, and input made ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from micro_run import draw_images, last_checkpoint, run_micro
from one_step import random_batch, recipe
from torch import Tensor

from reddino.foundations.runtime import Runtime
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.network_input import NetworkInput, Prefetcher
from reddino.pretraining.run.folder import read_metrics
from reddino.smears.manifest import Manifest

Record = Callable[[str, object], None]
SIX = ("run.samples=24", "runtime.checkpoint_every=3", "runtime.log_every=1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """As JPEG, which is decoded without a package that a borrowed machine may lack."""
    drawn = draw_images(tmp_path_factory.mktemp("images"))
    rows = drawn.table.to_pylist()
    for row in rows:
        name = row["path"].replace(".png", ".jpg")
        cv2.imwrite(str(drawn.root / name), cv2.imread(str(drawn.root / row["path"])))
        row["path"] = name
    return Manifest(pa.Table.from_pylist(rows), drawn.root)


class _KilledError(Exception):
    pass


def run(
    images: Manifest, folder: Path, device: torch.device, overrides: Sequence[str], stop: int | None = None
) -> dict[str, Tensor]:
    """The student's weights after six steps of a run; or None after a run that dies after step `stop`."""

    def watch(done: int, planned: int) -> None:
        if done == stop:
            raise _KilledError

    name = f"runtime.device={device.type}"
    if stop is not None:
        with pytest.raises(_KilledError):
            run_micro(images, folder, [*SIX, name, *overrides], progress=watch)
        return {}
    run_micro(images, folder, [*SIX, name, *overrides])
    content: dict[str, Tensor] = last_checkpoint(folder)["networks"]
    return {key: value for key, value in content.items() if key.startswith("student.")}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((a[name] - b[name]).double().square().sum()) for name in b))


@pytest.mark.parametrize("began_on", ["the same device", "a CPU"])
def test_run__continues_to_the_weights_of_an_undisturbed_one(
    device: torch.device, images: Manifest, tmp_path: Path, began_on: str, record_property: Record
) -> None:
    overrides = ["run.precision=fp32", "runtime.workers=1"]
    undisturbed = run(images, tmp_path / "undisturbed", device, overrides)
    start = device if began_on == "the same device" else torch.device("cpu")
    run(images, tmp_path / "resumed", start, overrides, stop=4)
    at_three = {
        key: value
        for key, value in last_checkpoint(tmp_path / "resumed")["networks"].items()
        if key.startswith("student.")
    }
    resumed = run(images, tmp_path / "resumed", device, overrides)
    moved, off = distance(undisturbed, at_three), distance(resumed, undisturbed)
    record_property("off", off / moved)
    assert moved > 0
    # Rounding that AdamW makes steps of may add up; three steps taken twice or left out would be far off.
    assert off < 0.02 * moved


DISTILLED = (
    "loss.dino=0",
    "loss.ibot=0",
    "distill.teacher=untrained:test_efficientnet",
    "distill.image_size=64",
    "data.layout=cells",
    "data.patch_side=30",
    "model.drop_path=0",
)
RUNS = {
    "a ViT": (),
    "a CNN": (
        "model.backbone=test_efficientnet",
        "model.depth=null",
        "model.layer_scale=null",
        "loss.ibot=0",
    ),
    "pooled and spatial": DISTILLED,
    "asked once": (
        *DISTILLED,
        "distill.spatial=0",
        "distill.morphology=1",
        "distill.relations=1",
        "distill.once=true",
    ),
}


@pytest.mark.parametrize("what", RUNS)
def test_losses__of_a_run_are_those_on_the_cpu(
    device: torch.device, images: Manifest, tmp_path: Path, what: str, record_property: Record
) -> None:
    for where in (device, torch.device("cpu")):
        run(images, tmp_path / f"on-{where.type}-{where.index}", where, [*RUNS[what], "run.precision=fp32"])
    found, wanted = (
        [row["loss"] for row in read_metrics(tmp_path / name) if "loss" in row]
        for name in (f"on-{device.type}-{device.index}", "on-cpu-None")
    )
    assert len(wanted) == 6
    record_property("first", abs(found[0] / wanted[0] - 1))
    record_property("last", abs(found[-1] / wanted[-1] - 1))
    assert found[0] == pytest.approx(wanted[0], rel=1e-3)
    assert found == pytest.approx(wanted, rel=2e-2)


@pytest.mark.parametrize("what", RUNS)
def test_run__in_bf16_stays_finite(device: torch.device, images: Manifest, tmp_path: Path, what: str) -> None:
    weights = run(images, tmp_path / "run", device, [*RUNS[what], "run.precision=bf16"])
    assert weights and all(bool(value.isfinite().all()) for value in weights.values())
    assert not any("skipped_steps" in row for row in read_metrics(tmp_path / "run"))


def test_input__made_ahead_is_that_of_its_batch(device: torch.device) -> None:
    # A step that computes for long, while the next input is copied and the ones before are given up.
    asked = recipe(["run.batch=64"])
    networks = build_networks(asked)

    def make_on(where: torch.device) -> Callable[..., NetworkInput]:
        runtime = Runtime(where, "fp32", 1)
        return lambda batch: networks.network_input(batch, runtime)

    batches = [random_batch(asked, number) for number in range(6)]
    ahead = Prefetcher(iter(batches), make_on(device), Runtime(device, "fp32", 1))
    busy = torch.randn(2048, 2048, device=device) / 64
    sums = []
    for inputs in ahead:
        for _ in range(20 if device.type == "cuda" else 1):
            busy = busy @ busy / 2
        assert inputs.local_crops is not None and inputs.masked is not None
        sums.append(
            (inputs.global_crops.double().sum(), inputs.local_crops.double().sum(), inputs.masked.masks.sum())
        )
        del inputs
        ahead.prepare()
    assert len(sums) == len(batches)
    on_cpu = make_on(torch.device("cpu"))
    for batch, found in zip(batches, sums, strict=True):
        inputs = on_cpu(batch)
        assert inputs.local_crops is not None and inputs.masked is not None
        wanted = (
            inputs.global_crops.double().sum(),
            inputs.local_crops.double().sum(),
            inputs.masked.masks.sum(),
        )
        np.testing.assert_allclose(
            [float(x) for x in found], [float(x) for x in wanted], rtol=1e-6, atol=1e-2
        )
