"""The cells of a review: which table they are of, and the columns of those that have events."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import parse_json
from reddino.reviewing.schema import cells, facts, sa
from reddino.smears.contents import column_digests
from reddino.smears.manifest import Manifest

#: What names a cell, with the order of rows.
PLACE = ("path", "x", "y", "w", "h")


def cells_digest(manifest: Manifest, rows: int) -> str:
    """Return 16 hex digits over the places of the first `rows` cells of a table, in order."""
    digests = column_digests(manifest.table.slice(0, rows).select(list(PLACE)))
    return hash_bytes(*(digests[name].encode() for name in PLACE))


def read_facts(connection: sa.Connection) -> dict[str, str]:
    """Return what holds for the whole database, by name."""
    found = connection.execute(sa.select(facts.c.name, facts.c.value))
    return {name: value or "" for name, value in found}


def write_facts(connection: sa.Connection, values: dict[str, str]) -> None:
    """Set what holds for the whole database."""
    for name, value in values.items():
        if connection.execute(facts.update().where(facts.c.name == name).values(value=value)).rowcount == 0:
            connection.execute(facts.insert().values(name=name, value=value))


def folder_facts(manifest: Manifest, file: Path | None) -> dict[str, str]:
    """Return where the pictures lie, also as seen from the database's file."""
    root = os.path.realpath(manifest.root)
    relative = "" if file is None else os.path.relpath(root, os.path.realpath(file.parent))
    return {"root": root, "root_beside": relative}


def pictures_folder(found: dict[str, str], file: Path | None) -> Path:
    """Return the folder that paths are relative to: the new one if database and pictures moved together."""
    root, relative = Path(found["root"]), found.get("root_beside", "")
    if file is None or not relative or root.is_dir():
        return root
    moved = Path(os.path.realpath(file.parent / relative))
    return moved if moved.is_dir() else root


def require_same_cells(found: dict[str, str], manifest: Manifest, shown: str) -> dict[str, str]:
    """Return the facts of a database that change since its table has grown; none where it has not.

    Raises:
        RedDinoError: the database is about other cells.
    """
    rows = int(found["rows"])
    if len(manifest) < rows or cells_digest(manifest, rows) != found["cells"]:
        raise RedDinoError(
            f"the review database is about another table: {shown}; it holds {rows:,} cells, in another order "
            "or of other pictures: give another --database, or carry its labels over with `reddino labels`"
        )
    if len(manifest) == rows:
        return {}
    return {"rows": str(len(manifest)), "cells": cells_digest(manifest, len(manifest))}


def keep_cells(connection: sa.Connection, manifest: Manifest, rows: Sequence[int]) -> None:
    """Store the columns of the cells that are not stored yet."""
    known = stored_rows(connection, rows)
    new = [row for row in rows if row not in known]
    if new:
        described = _described(manifest, new)
        connection.execute(
            cells.insert(),
            [{"row": row, "columns": text} for row, text in zip(new, described, strict=True)],
        )


def refresh_cells(connection: sa.Connection, manifest: Manifest) -> None:
    """Replace the columns of cells that the table describes otherwise now: patients, for example."""
    stored = sa.select(cells.c.row, cells.c.columns)
    found = connection.execute(stored).all()
    texts = _described(manifest, [row for row, _ in found])
    for (row, before), text in zip(found, texts, strict=True):
        if text != before:
            connection.execute(cells.update().where(cells.c.row == row).values(columns=text))


def _described(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """Return the columns of rows as JSON, without those that are empty there."""
    described = manifest.table.take(np.asarray(rows, dtype=np.int64)).to_pylist()
    return [
        json.dumps({name: value for name, value in one.items() if value is not None}) for one in described
    ]


def stored_rows(connection: sa.Connection, rows: Sequence[int]) -> set[int]:
    """Return which of the rows are stored."""
    found: set[int] = set()
    for start in range(0, len(rows), 5000):
        chosen = sa.select(cells.c.row).where(cells.c.row.in_(rows[start : start + 5000]))
        found.update(connection.execute(chosen).scalars())
    return found


def stored_cells(connection: sa.Connection, root: Path) -> tuple[npt.NDArray[np.int64], Manifest]:
    """Return the rows (n,) of all cells that have events, in order, and their columns as a manifest."""
    found = connection.execute(sa.select(cells.c.row, cells.c.columns).order_by(cells.c.row)).all()
    described: list[dict[str, Any]] = [parse_json(text, "the review database") for _, text in found]
    names = dict.fromkeys(name for one in described for name in one)
    table = pa.table({name: pa.array([one.get(name) for one in described]) for name in names})
    if not described:
        table = pa.table({"path": pa.array([], pa.string())})
    return np.array([row for row, _ in found], dtype=np.int64), Manifest(table, root)
