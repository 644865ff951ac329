"""A small table with pictures, whose vectors and pixels are known: a cell is a square of its row's colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from row_colours import colour_of

from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_writer import TableWriter

SIDE = 20


def write_table(tmp_path: Path) -> Path:
    """Write the table below `tmp_path`."""
    draw = np.random.default_rng(0)
    images = tmp_path / "images"
    rows: dict[str, list[Any]] = {name: [] for name in ("path", "source", "slide", "patient", "label")}
    places: dict[str, list[float]] = {name: [] for name in ("view_x", "view_y", "view_side")}
    for number in range(4):
        picture = np.full((60, 80, 3), 250, np.uint8)
        for place in range(12):
            row = 12 * number + place
            left, top = place % 4 * SIDE, place // 4 * SIDE
            picture[top : top + SIDE, left : left + SIDE] = colour_of(row)
            rows["path"].append(f"lab-{number % 2}/{number}.png")
            rows["source"].append(f"lab-{number % 2}")
            rows["slide"].append(f"s{number}")
            rows["patient"].append(f"p{number}")
            rows["label"].append(("round, large", "sickle", "")[place % 3])
            for name, value in zip(places, (left + SIDE / 2, top + SIDE / 2, SIDE), strict=True):
                places[name].append(float(value))
        file = images / str(rows["path"][-1])
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), picture[..., ::-1])
    vectors = draw.normal(size=(48, 6)).astype(np.float32)
    vectors[:, 0] += 8 * np.array([label == "sickle" for label in rows["label"]])
    meta = {
        "model": "a network",
        "weights_hash": "0123456789abcdef",
        "pooling": "cls",
        "preprocessing": {"input_size": 20},
        "precision": "fp32",
        "view": {"kind": "cells", "side": 20, "unit": "px", "output": 20, "border": "pad"},
        "data": "fedcba9876543210",
        "dim": 6,
        "dtype": "float32",
        "images": 4,
        "plan": "0",
        "part_rows": 4096,
        "provenance": {"command": "reddino embed", "version": "0"},
    }
    columns = pa.table({**rows, **places, "diameter": pa.array(np.arange(48.0) / 3)})
    TableWriter(tmp_path / "table", meta, columns.schema).write(PartRecord(0, 4, 48, 48), columns, vectors)
    return tmp_path / "table"
