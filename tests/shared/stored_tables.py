"""Tables on disk of random vectors in several parts, without pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_writer import TableWriter

META: dict[str, Any] = {
    "model": "a network",
    "weights_hash": "0123456789abcdef",
    "pooling": "cls",
    "preprocessing": {"input_size": 20},
    "precision": "fp32",
    "view": {"kind": "cells", "side": 20.0, "unit": "px", "output": 20, "border": "pad"},
    "data": "fedcba9876543210",
    "plan": "0",
    "dtype": "float32",
    "part_rows": 64,
    "provenance": {"command": "reddino embed", "version": "0"},
}
#: Cells of a picture.
PER_IMAGE = 10


def write_stored(
    folder: Path,
    images: int = 12,
    dim: int = 8,
    seed: int = 0,
    first: int = 0,
    *,
    at_border: np.ndarray | None = None,
    **meta: Any,
) -> np.ndarray:
    """Write a table of `images` pictures from number `first` in parts of two; return its vectors (n, d).

    Two pictures are of a slide, four of a source; the last column is missing at every fifth row.
    """
    rows = images * PER_IMAGE
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    number = np.arange(rows)
    image = first + number // PER_IMAGE
    columns = pa.table(
        {
            "path": [f"field{one:03d}.png" for one in image.tolist()],
            "source": [f"lab{one // 4}" for one in image.tolist()],
            "slide": [f"s{one // 2}" for one in image.tolist()],
            "patient": [f"p{one // 4}" for one in image.tolist()],
            "x": pa.array((number % PER_IMAGE * 20.0).tolist()),
            "y": pa.array([5.0] * rows),
            "label": [("round", "sickle", "")[one % 3] for one in number.tolist()],
            "cell_diameter": pa.array([15.0] * rows),
            "view_x": pa.array((number % PER_IMAGE * 20.0).tolist()),
            "view_y": pa.array([5.0] * rows),
            "view_side": pa.array([20.0] * rows),
            "size": pa.array([None if one % 5 == 0 else float(one) for one in number.tolist()], pa.float64()),
        }
    )
    if at_border is not None:
        columns = columns.append_column("at_border", pa.array(at_border.tolist()))
    writer = TableWriter(folder, META | {"dim": dim, "images": images} | meta, columns.schema)
    stored = vectors.astype(writer.meta["dtype"])
    for start in range(0, images, 2):
        some = slice(start * PER_IMAGE, min(start + 2, images) * PER_IMAGE)
        count = some.stop - some.start
        record = PartRecord(start, min(start + 2, images), count, count)
        writer.write(record, columns.slice(some.start, count), stored[some])
    return stored.astype(np.float32)


def store(folder: Path, emb: Embeddings, part_rows: int = 64) -> Path:
    """Write a table in memory to a folder, an image a row, in parts; return the folder."""
    meta = META | dict(emb.meta) | {"dim": emb.vectors.shape[1], "images": len(emb), "part_rows": part_rows}
    writer = TableWriter(folder, meta, emb.table.schema)
    for start in range(0, len(emb), part_rows):
        stop = min(start + part_rows, len(emb))
        record = PartRecord(start, stop, stop - start, stop - start)
        writer.write(record, emb.table.slice(start, stop - start), emb.vectors[start:stop])
    return folder
