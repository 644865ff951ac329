"""Smears and tables that a classifier can learn something from in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.smears.manifest import Manifest
from reddino.views.spec import ViewSpec

CELL = 20
KINDS = {"disc": (1.0, (200, 110, 120)), "ellipse": (0.5, (200, 110, 120)), "dark": (1.0, (170, 80, 95))}


def draw_fields(folder: Path, fields: int = 8, *, marked: bool = True, cell: int = CELL) -> Manifest:
    """Fields of 4 x 3 cells of three kinds, each on its own slide; one cell in ten is labelled at random."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(fields)
    rows = []
    for number in range(fields):
        image = np.full((3 * 2 * cell, 4 * 2 * cell, 3), (228, 224, 230), np.uint8)
        for place in range(12):
            kind = list(KINDS)[(place + number) % 3]
            flat, colour = KINDS[kind]
            x, y = (2 * (place % 4) + 1) * cell, (2 * (place // 4) + 1) * cell
            axes = (round(cell / 2), round(flat * cell / 2))
            cv2.ellipse(image, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
            given = str(rng.choice(list(KINDS))) if rng.random() < 0.1 else kind
            rows.append((f"f{number}.png", f"slide{number}", x - cell / 2, y - cell / 2, given))
        # Grain that grows with the cell, so that a larger scale is a larger picture of the same.
        grain = cv2.resize(rng.normal(0, 6, (120, 160, 3)), (image.shape[1], image.shape[0]))
        noisy = np.clip(image + grain, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"f{number}.png"), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    paths, slides, lefts, tops, labels = (list(column) for column in zip(*rows, strict=True))
    columns: dict[str, list[Any]] = {"path": paths, "slide": slides, "source": ["lab"] * len(rows)}
    if marked:
        size = [float(cell)] * len(rows)
        columns |= {"x": lefts, "y": tops, "w": size, "h": size, "label": labels, "cell_diameter": size}
        return Manifest(pa.table(columns), folder)
    first = [paths.index(path) for path in dict.fromkeys(paths)]
    return Manifest(pa.table(columns).take(first), folder)


def noisy_table(rows: int = 400, d: int = 60, *, seed: int = 0, signal: float = 1.0) -> Embeddings:
    """Vectors of three overlapping classes in 20 groups, with more noise dimensions than a probe can bear."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    vectors = rng.normal(size=(rows, d)).astype(np.float32)
    vectors[:, :3] += signal * np.eye(3, dtype=np.float32)[truth]
    groups = [f"g{i % 20}" for i in range(rows)]
    columns: dict[str, list[Any]] = {
        "path": [f"{group}.png" for group in groups],
        "source": ["lab"] * rows,
        "slide": list(groups),
        "patient": [None] * rows,
        "group": [None] * rows,
        "label": [f"class {i}" for i in truth],
        **{name: [None] * rows for name in ("x", "y", "w", "h", "cell_diameter")},
        "view_x": [5.0] * rows,
        "view_y": [5.0] * rows,
        "view_side": [64.0] * rows,
    }
    meta = {
        "model": "made",
        "weights_hash": "0123456789abcdef",
        "pooling": "cls",
        "view": ViewSpec(kind="cells", side=64, unit="px", output=32).metadata(),
        "preprocessing": {"input_size": 32, "mean": [0.0], "std": [1.0], "channel_order": "RGB"},
        "data": "d",
        "dim": d,
    }
    return Embeddings(vectors, pa.table(columns), meta)
