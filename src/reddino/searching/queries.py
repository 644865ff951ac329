"""What a search is for: a row of the table, all rows of another, or a picture that is embedded for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embedding.part_files import is_table
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.searching.exact import Real, unit_vectors

Indices = npt.NDArray[np.int64]

#: How a cell is named: the path of its picture, and a place in it in pixels, or none.
_CELL = re.compile(r"(?P<path>.+)@(?:(?P<x>-?\d+(?:\.\d+)?)\s*,\s*(?P<y>-?\d+(?:\.\d+)?))?")
#: A row by its number, from 0.
_ROW = re.compile(r"\d+")
#: How far, in pixels, a place may be from the x and y of the row that it names.
SAME_PLACE = 0.5
#: Of the side of its view, how far apart the centres of two views of one cell may be.
SAME_VIEW = 0.25
#: Queries of one search, at most.
MOST = 100_000

Place = tuple[float, float]


@dataclass(frozen=True)
class Queries:
    """What the nearest cells are looked for.

    Attributes:
        names: (q,) of the queries.
        vectors: (q, d) of length 1.
        columns: path, source, slide and patient of each query, by name, as far as they are known.
        own: by query, rows of the table that show the query itself.
        rows: (q,) of the table that the queries come from, which may be the searched one; None: a picture.
        of: that table; None: a picture.
        shown: path, view_x, view_y and view_side of a picture, with which its view is cut again; None: `of`
            has these.
    """

    names: tuple[str, ...]
    vectors: Real
    columns: Mapping[str, list[str]]
    own: Mapping[int, Indices] = field(default_factory=dict)
    rows: Indices | None = None
    of: TableOnDisk | None = None
    shown: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Named:
    """What `--like` names.

    Attributes:
        row: of the table; None: something else.
        path, place: of a cell of the table; of the picture's only row where no place is given.
        table: folder of another table.
        picture: a file.
    """

    row: int | None = None
    path: str | None = None
    place: Place | None = None
    table: Path | None = None
    picture: Path | None = None


def read_like(like: str | Path | int, table: TableOnDisk) -> Named:
    """Return what is named: a table, a row by number, a cell as PATH@X,Y, or a picture, in this order.

    Raises:
        RedDinoError: it is none of these.
    """
    text = str(like)
    if is_table(text):
        return Named(table=Path(text))
    if _ROW.fullmatch(text):
        if int(text) >= len(table):
            raise RedDinoError(f"'{table.folder}' has no row {text}: its rows are 0 to {len(table) - 1}")
        return Named(row=int(text))
    if Path(text).is_file():
        return Named(picture=Path(text))
    match = _CELL.fullmatch(text)
    if match is not None:
        place = None if match["x"] is None else (float(match["x"]), float(match["y"]))
        return Named(path=match["path"], place=place)
    raise RedDinoError(
        f"'{text}' is neither a picture, nor an embedding table, nor a cell: give a file, a folder, the "
        "number of a "
        "row, or PATH@X,Y"
    )


def row_queries(table: TableOnDisk, rows: Indices) -> Queries:
    """Return rows of a table as queries of the same table: none is its own hit."""
    named = described(table, rows)
    own = {place: rows[place : place + 1] for place in range(len(rows))}
    vectors = unit_vectors(table.take_vectors(rows))
    return Queries(_names(table, rows), vectors, named, own, rows, table)


def table_queries(table: TableOnDisk, of: TableOnDisk) -> Queries:
    """Return all rows of a table as queries of another; a view that both have is not its own hit.

    Raises:
        RedDinoError: there are more than `MOST`.
    """
    if len(of) > MOST:
        raise RedDinoError(
            f"'{of.folder}' has {len(of):,} rows, and a search takes {MOST:,} queries at most: make a "
            "smaller table "
            "with `reddino table sample` or `filter`"
        )
    rows = np.arange(len(of), dtype=np.int64)
    if of.folder.resolve() == table.folder.resolve():
        return row_queries(table, rows)
    queries = row_queries(of, rows)
    own = _same_views(table, of)
    return Queries(queries.names, queries.vectors, queries.columns, own, rows, of)


def find_row(table: TableOnDisk, path: str, place: Place | None) -> int:
    """Return the row of a cell.

    A place names the row of that picture whose x and y are its numbers, as hits list them; else the one whose
    view's centre is nearest, if the place lies in its view. Without a place, the picture must have one row.

    Raises:
        RedDinoError: no row, or several.
    """
    names = [name for name in ("x", "y", "view_x", "view_y", "view_side") if name in table.schema.names]
    found: list[int] = []
    for block in table.blocks(["path"]):
        column: Any = block.columns.column("path")
        found += (np.flatnonzero(_is_in(column, {path})) + block.start).tolist()
    if not found:
        raise RedDinoError(f"'{table.folder}' has no row of '{path}': give a path as its rows have it")
    if place is None:
        if len(found) > 1:
            raise RedDinoError(f"'{path}' has {len(found)} rows: name one as {path}@X,Y")
        return found[0]
    rows = np.array(found, np.int64)
    columns = table.take(rows, names)
    numbers = {name: _numbers(columns, name) for name in ("x", "y", "view_x", "view_y", "view_side")}
    listed = _apart(numbers["x"], numbers["y"], place)
    if np.nanmin(listed, initial=np.inf) <= SAME_PLACE:
        return int(rows[np.nanargmin(listed)])
    centred = _apart(numbers["view_x"], numbers["view_y"], place)
    within = np.abs(numbers["view_x"] - place[0]) <= numbers["view_side"] / 2
    within &= np.abs(numbers["view_y"] - place[1]) <= numbers["view_side"] / 2
    if not within.any():
        raise RedDinoError(
            f"no cell of '{path}' lies at {place[0]:g},{place[1]:g}: give x and y as hits list them, or a "
            "place in "
            "the cell"
        )
    return int(rows[np.nanargmin(np.where(within, centred, np.nan))])


def described(table: TableOnDisk, rows: Indices) -> dict[str, list[str]]:
    """Return path, source, slide and patient of rows (n,), as far as a table has them; "" where missing."""
    names = [name for name in ("path", "source", "slide", "patient") if name in table.schema.names]
    columns = table.take(rows, names)
    return {
        name: ["" if value is None else str(value) for value in columns.column(name).to_pylist()]
        for name in names
    }


def rows_at(table: TableOnDisk, paths: set[str], centre: Place | None) -> Indices:
    """Return the rows of some pictures whose view has its centre at a place; without one, all of theirs."""
    names = [name for name in ("path", "view_x", "view_y", "view_side") if name in table.schema.names]
    found = [np.empty(0, np.int64)]
    for block in table.blocks(names):
        column: Any = block.columns.column("path")
        mine = _is_in(column, paths)
        if centre is not None and mine.any():
            numbers = {name: _numbers(block.columns, name) for name in ("view_x", "view_y", "view_side")}
            apart = _apart(numbers["view_x"], numbers["view_y"], centre)
            mine &= ~(apart > SAME_VIEW * numbers["view_side"])
        found.append(np.flatnonzero(mine) + block.start)
    return np.concatenate(found)


def _is_in(column: Any, paths: set[str]) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(column, pa.array(sorted(paths), pa.string())), np.bool_)


def _names(table: TableOnDisk, rows: Indices) -> tuple[str, ...]:
    """Return names of rows as `read_like` takes them."""
    wanted = [name for name in ("path", "x", "y", "view_x", "view_y") if name in table.schema.names]
    columns = table.take(rows, wanted)
    paths = columns.column("path").to_pylist()
    x, y = (_numbers(columns, name) for name in ("x", "y"))
    cx, cy = (_numbers(columns, name) for name in ("view_x", "view_y"))
    x, y = np.where(np.isnan(x), cx, x), np.where(np.isnan(y), cy, y)
    return tuple(
        f"{path}@" if np.isnan(a) else f"{path}@{a:g},{b:g}"
        for path, a, b in zip(paths, x.tolist(), y.tolist(), strict=True)
    )


def _numbers(columns: Any, name: str) -> npt.NDArray[np.float64]:
    if name not in columns.column_names:
        return np.full(len(columns), np.nan)
    values = columns.column(name).cast("float64").to_pylist()
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _apart(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], place: Place) -> npt.NDArray[np.float64]:
    apart: npt.NDArray[np.float64] = np.hypot(x - place[0], y - place[1])
    return apart


def _same_views(table: TableOnDisk, of: TableOnDisk) -> dict[int, Indices]:
    """Return by row of one table the rows of another that are the same view of a picture of one path."""
    names = ["path", *(name for name in ("view_x", "view_y") if name in of.schema.names)]
    mine: dict[tuple[Any, ...], list[int]] = {}
    for block in of.blocks(names):
        for row, key in enumerate(zip(*(block.columns.column(n).to_pylist() for n in names), strict=True)):
            mine.setdefault(key, []).append(block.start + row)
    found: dict[int, list[int]] = {}
    held = [name for name in names if name in table.schema.names]
    for block in table.blocks(held) if held == names else ():
        for row, key in enumerate(zip(*(block.columns.column(n).to_pylist() for n in names), strict=True)):
            for query in mine.get(key, ()):
                found.setdefault(query, []).append(block.start + row)
    return {query: np.array(rows, np.int64) for query, rows in found.items()}
