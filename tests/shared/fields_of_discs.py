"""Fields of red discs on pale ground, which segmentation measures within a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from reddino.smears.manifest import Manifest

Place = tuple[float, float]


def draw_discs(path: Path, diameter: float, centres: Sequence[Place], size: tuple[int, int]) -> None:
    """Write a picture of `size` (width, height) with discs at `centres`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), (230, 224, 228), np.uint8)
    for x, y in centres:
        centre = (round(16 * x), round(16 * y))
        cv2.circle(image, centre, round(8 * diameter), (120, 110, 200), -1, cv2.LINE_AA, shift=4)
    grain = np.random.default_rng(len(centres)).normal(0, 3, image.shape)
    cv2.imwrite(str(path), np.clip(image + grain, 0, 255).astype(np.uint8))


def grid(diameter: float, columns: int = 4, rows: int = 3) -> tuple[list[Place], tuple[int, int]]:
    """Return centres two diameters apart, and the size of the picture that holds them."""
    step = 2 * diameter
    centres = [((i + 0.5) * step, (j + 0.5) * step) for j in range(rows) for i in range(columns)]
    return centres, (round(columns * step), round(rows * step))


def pictures(root: Path, **columns: list[Any]) -> Manifest:
    return Manifest(pa.table(columns), root)
