"""Small embedding tables whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.smears.manifest_columns import COLUMNS

META: dict[str, Any] = {
    "model": "toy",
    "weights_hash": "00",
    "pooling": "cls",
    "view": {"side": 1.5},
    "preprocessing": {"input_size": 8},
    "data": "d",
    "plan": "p",
}


def table(vectors: np.ndarray, meta: dict[str, Any] | None = None, **columns: list[str]) -> Embeddings:
    """Rows with the manifest's columns; those that are not given are empty, `path` is a file a row."""
    n = len(vectors)
    filled = {name: pa.nulls(n, pa.float64()) for name in ("x", "y", "w", "h", "cell_diameter")}
    text = {name: pa.nulls(n, pa.string()) for name in COLUMNS if name not in filled}
    given = {name: pa.array([v or None for v in values], pa.string()) for name, values in columns.items()}
    path = {"path": pa.array([f"{i}.png" for i in range(n)])}
    return Embeddings(vectors.astype(np.float32), pa.table(text | filled | path | given), meta or META)


def laboratories(
    rows: int = 360, sources: int = 3, classes: int = 3, seed: int = 0, **meta: Any
) -> Embeddings:
    """Cells of several sources and slides; each source shifts all of its vectors a little."""
    draw = np.random.default_rng(seed)
    label, source = draw.integers(classes, size=rows), np.arange(rows) % sources
    slide = draw.integers(8, size=rows)
    centres = np.random.default_rng(99).normal(size=(classes, 6)) * 1.5
    vectors = centres[label] + draw.normal(size=(rows, 6)) + source[:, None] * 0.2
    return table(
        vectors,
        META | meta,
        label=[f"class {one}" for one in label],
        source=[f"lab {one}" for one in source],
        slide=[f"slide {one}" for one in slide],
    )
