"""Files as `reddino predict` writes them, of the 48 cells of `square_tables.write_table`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reddino.embedding.table import read_embeddings

CLASSES = ("normal", "sickle", "target")


def write_prediction_file(
    folder: Path,
    *,
    units: Sequence[Mapping[str, Any]] = (),
    classes: Sequence[str] = CLASSES,
    rows: Sequence[int] = tuple(range(48)),
    held_out: Mapping[str, Any] | None = None,
    **columns: Sequence[Any],
) -> Path:
    """Write predictions of the table in `folder`: the class of row i is `classes[i % k]`."""
    table = read_embeddings(folder / "table").table.select(
        ["path", "source", "slide", "patient", "label", "view_x", "view_y", "view_side"]
    )
    best = np.arange(48) % len(classes)
    probabilities = np.full((48, len(classes)), 0.1)
    probabilities[np.arange(48), best] = np.where(np.arange(48) < 12, 0.4, 0.9)
    table = table.append_column("predicted", pa.array([classes[i] for i in best.tolist()]))
    table = table.append_column("probability", pa.array(probabilities.max(axis=1)))
    for number, name in enumerate(classes):
        table = table.append_column(f"p_{name}", pa.array(probabilities[:, number]))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(list(values)))
    file = folder / "pred" / "cells.parquet"
    file.parent.mkdir(exist_ok=True)
    pq.write_table(table.take(list(rows)), file)
    pq.write_table(pa.table({"slide": ["s0"]}), file.with_name("cells.slides.parquet"))
    note: dict[str, Any] = {"domain": {"note": "", "units": list(units)}} if units else {}
    note["classifier"] = {"held_out": dict(held_out or {})}
    file.with_suffix(".json").write_text(json.dumps(note))
    return file
