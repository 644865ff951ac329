"""Embeddings computed on a GPU: those of the CPU, in float32 and in bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reddino.foundations.runtime import Runtime
from reddino.networks.encoder import open_model

Record = Callable[[str, object], None]


def cells(count: int, side: int) -> NDArray[np.uint8]:
    """Discs of several sizes and colours."""
    rng = np.random.default_rng(0)
    pictures = np.full((count, side, side, 3), 225, np.uint8)
    for picture in pictures:
        radius = int(rng.uniform(0.15, 0.4) * side)
        cv2.circle(picture, (side // 2, side // 2), radius, rng.uniform(80, 200, 3).tolist(), cv2.FILLED)
        picture[:] = np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255)
    return pictures


#: By precision: the least cosine between a vector here and there.
LEAST = {"fp32": 0.99999, "tf32": 0.9995, "bf16": 0.97}


@pytest.mark.parametrize("precision", LEAST)
@pytest.mark.parametrize(
    ("model", "pooling"),
    [
        ("reddino-tiny", "cls"),
        ("turned:reddino-tiny", "cls"),
        ("untrained:vit_tiny_patch14", "cls"),
        ("untrained:vit_tiny_patch14", "cls+mean"),
    ],
)
def test_embedding__on_the_device_points_where_the_cpus_does(
    device: torch.device, model: str, pooling: str, precision: str, record_property: Record
) -> None:
    least = LEAST[precision]
    if precision == "tf32":  # what `reddino embed` computes float32 in, on a GPU
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    here = Runtime(device, "bf16" if precision == "bf16" else "fp32", 1)
    there = Runtime(torch.device("cpu"), "fp32", 1)
    found, wanted = (open_model(model, image_size=112, runtime=one) for one in (here, there))
    pictures = cells(24, 112)
    a, b = (encoder.embed(pictures, pooling).astype(np.float64) for encoder in (found, wanted))
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    record_property("least_cosine", float(cosines.min()))
    assert cosines.min() >= least
