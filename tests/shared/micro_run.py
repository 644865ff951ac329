"""A pretraining run of three steps: a one-block ViT on a few drawn images, in a fraction of a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from reddino.foundations.provenance import hash_bytes
from reddino.pretraining.run.checkpoint import list_checkpoints
from reddino.pretraining.run.recipe import Recipe, read_recipe
from reddino.pretraining.train import Outcome, pretrain
from reddino.smears.manifest import Manifest

#: The recipe vit-tiny-scratch in miniature. Every override is one that a user could type.
MICRO = (
    "model.depth=1",
    "data.patch_side=40",
    "data.patch_unit=px",
    "data.max_cell_diameter=null",
    "data.source_exponent=1.0",
    "crops.global_size=56",
    "crops.local_size=28",
    "crops.local_count=2",
    "augmentation.operations=[Blur, HueSaturationValue, Posterize, InvertImg]",
    "augmentation.choose=2",
    "head.hidden=32",
    "head.bottleneck=16",
    "head.prototypes=16",
    "run.samples=12",
    "run.batch=4",
    "run.precision=fp32",
    "runtime.workers=0",
    "runtime.threads=1",
    "online.every=0",
    "runtime.tensorboard=false",
)


def micro_recipe(overrides: Sequence[str] = ()) -> Recipe:
    return read_recipe("vit-tiny-scratch", [*MICRO, *overrides])


def draw_images(folder: Path, seed: int = 0) -> Manifest:
    """Four pictures of discs from one laboratory and two of smaller discs from another; a cell is in each."""
    rng = np.random.default_rng(seed)
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for source, count, side, diameter in (("near", 4, 110, 24.0), ("far", 2, 80, 16.0)):
        for number in range(count):
            image = rng.normal(225, 6, (side, side, 3))
            for _ in range(8):
                centre = tuple(int(place) for place in rng.integers(0, side, 2))
                colour = tuple(float(value) for value in rng.uniform(90, 200, 3))
                cv2.circle(image, centre, round(diameter / 2), colour, -1)
            name = f"{source}{number}.png"
            cv2.imwrite(str(folder / name), image.clip(0, 255).astype(np.uint8))
            middle = {"x": float(round(side * 0.42)), "y": float(side // 2)}
            rows.append({"path": name, "source": source, **middle, "cell_diameter": diameter})
    return Manifest(pa.Table.from_pylist(rows), folder)


def run_micro(manifest: Manifest, folder: Path, overrides: Sequence[str] = (), **options: Any) -> Outcome:
    """Pretrain in `folder`; the decoded images are kept beside the pictures."""
    return pretrain(
        micro_recipe(overrides), manifest, folder, cache_folder=manifest.root / "cache", **options
    )


def last_checkpoint(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(list_checkpoints(folder / "checkpoints")[-1], weights_only=True)
    return content


def trained_weights(folder: Path) -> str:
    """16 hex digits over student, teacher and centres of a run's last checkpoint."""
    networks = last_checkpoint(folder)["networks"]
    return hash_bytes(*(name.encode() + value.numpy().tobytes() for name, value in sorted(networks.items())))


def checkpoint_digest(folder: Path) -> str:
    """16 hex digits over all of a run's last checkpoint: step, networks, moments and rates."""
    content = last_checkpoint(folder)
    optimizer = content["optimizer"]
    moments = [
        (number, name, value.numpy().tobytes())
        for number, state in optimizer["state"].items()
        for name, value in state.items()
    ]
    rest = (content["step"], trained_weights(folder), optimizer["param_groups"])
    return hash_bytes(repr(rest).encode(), repr(moments).encode())
