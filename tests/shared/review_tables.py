"""A table to review, with pictures: coloured cells of two classes in fields of several slides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_on_disk import open_table
from reddino.embedding.table_writer import TableWriter
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.pool import Pool
from reddino.reviewing.web.guard import Door
from reddino.reviewing.web.options import ReviewOptions
from reddino.reviewing.web.pictures import CellPictures
from reddino.reviewing.web.session import ReviewSession
from reddino.smears.manifest import Manifest

SIDE, ACROSS, DOWN = 24, 6, 2
PER_FIELD = ACROSS * DOWN


def colour_of_cell(row: int) -> tuple[int, int, int]:
    """Red cells at even rows, blue ones at odd ones, each a little different."""
    return (200, 40 + row % 50, 60) if row % 2 == 0 else (40, 60 + row % 50, 200)


def write_review_table(
    folder: Path, fields: int = 8, paths: list[str] | None = None, at_border: list[int] | None = None
) -> Path:
    """Write `folder/table` and its pictures below `folder/images`; two fields a slide, four a source."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("path", "source", "slide", "patient", "label", "view_x", "view_y", "view_side")
    }
    for field in range(fields):
        name = f"slide{field // 2}/field{field}.png" if paths is None else paths[field]
        picture = np.full((DOWN * SIDE, ACROSS * SIDE, 3), 240, np.uint8)
        for place in range(PER_FIELD):
            row, (line, column) = PER_FIELD * field + place, divmod(place, ACROSS)
            x, y = column * SIDE + SIDE / 2, line * SIDE + SIDE / 2
            cv2.circle(picture, (int(x), int(y)), SIDE // 2 - 1, colour_of_cell(row), -1)
            values = (name, f"lab{field // 4}", f"s{field // 2}", f"p{field // 2}", "", x, y, float(SIDE))
            for column_values, value in zip(columns.values(), values, strict=True):
                column_values.append(value)
        file = folder / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), picture[..., ::-1])
    rows = fields * PER_FIELD
    vectors = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    vectors[:, 0] += 6 * (np.arange(rows) % 2)
    meta = {
        "model": "a network",
        "weights_hash": "0123456789abcdef",
        "pooling": "cls",
        "preprocessing": {"input_size": SIDE},
        "precision": "fp32",
        "view": {"kind": "cells", "side": SIDE, "unit": "px", "output": SIDE, "border": "pad"},
        "data": "fedcba9876543210",
        "dim": 6,
        "dtype": "float32",
        "images": fields,
        "plan": "0",
        "part_rows": 4096,
        "provenance": {"command": "reddino embed", "version": "0"},
    }
    if at_border is not None:
        columns["at_border"] = [row in at_border for row in range(rows)]
    table = pa.table(columns)
    writer = TableWriter(folder / "table", meta, table.schema)
    writer.write(PartRecord(0, fields, rows, rows), table, vectors)
    return folder / "table"


def open_session(folder: Path, database: str | None = None, **options: Any) -> ReviewSession:
    """Open the review of the table in `folder`, which is written where it is not there."""
    table = folder / "table"
    if not table.is_dir():
        write_review_table(folder)
    stored = open_table(table)
    read = stored.without_vectors()
    opened = ReviewDatabase.open(
        database or folder / "review.sqlite", Manifest(read.manifest().table, folder / "images")
    )
    given = {"title": "table", "reader": "ada", "goal": 30, "refit_after": 10, **options}
    for name in ("red", "blue"):
        opened.add_class(name, reader="ada")
    pictures = CellPictures(read, folder / "images")
    return ReviewSession(read, Pool.of_table(stored), opened, pictures, ReviewOptions(**given))


def door(port: int = 5056, **options: Any) -> Door:
    """A server's door with a known secret."""
    return Door(port, "the secret", **options)
