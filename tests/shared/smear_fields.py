"""A small collection of fields on disk, and an encoder that is quick and real: a projection of the pixels."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from reddino.foundations.provenance import hash_bytes
from reddino.smears.manifest import Manifest
from reddino.views.spec import ViewSpec

SIZE = 8
VIEW = ViewSpec(kind="cells", side=16, unit="px", output=SIZE)


class Projection:
    """Pixels (s x s x 3) times a fixed random matrix."""

    name = "projection"
    input_size = SIZE
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    channel_order = "RGB"
    orientations = 1
    position_resampling = None
    runtime_name, precision, choice = "none", "fp32", None

    def __init__(self, dim: int = 5, seed: int = 0, delay: float = 0.0) -> None:
        self.matrix = np.random.default_rng(seed).normal(size=(SIZE * SIZE * 3, dim)).astype(np.float32)
        self.delay = delay
        self.seen: list[int] = []

    @property
    def weights_hash(self) -> str:
        return hash_bytes(self.matrix.tobytes())

    def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
        self.seen.append(len(images))
        time.sleep(self.delay)
        scaled = (images.astype(np.float32) / 255 - 0.5) / 0.25
        # Row by row, so that a vector does not depend on the batch it came in.
        return np.stack([row.reshape(-1) @ self.matrix for row in scaled])


def make_fields(folder: Path, fields: int = 12, cells: int = 7) -> Manifest:
    """Fields of noise with some cells each, listed so that the rows of one field are far apart."""
    draw = np.random.default_rng(0)
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(fields):
        cv2.imwrite(str(folder / f"field{i:02d}.png"), draw.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    for j in range(cells):
        for i in range(fields):
            rows.append(
                {
                    "path": f"field{i:02d}.png",
                    "source": "lab",
                    "x": float(draw.integers(10, 70)),
                    "y": float(draw.integers(10, 50)),
                    "label": ["normal", "target"][(i + j) % 2],
                    "cell_id": f"{i}-{j}",
                }
            )
    return Manifest(pa.Table.from_pylist(rows), folder)
