"""Choose rows of a table: by conditions on its columns, or at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.combinations import combinations
from reddino.embedding.conditions import Condition, mask_of
from reddino.embedding.reshaping.describing import carry_side_files, derived_meta
from reddino.embedding.reshaping.reshaped import Reshaped
from reddino.embedding.reshaping.writing import (
    Mask,
    joined,
    pieces_of,
    require_own_parts,
    write_parts,
)
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest_columns import ID_COLUMNS

Codes = npt.NDArray[np.int64]


def keep_rows(table: TableOnDisk, out: Path, conditions: Sequence[Condition]) -> Reshaped:
    """Write the rows that meet all conditions; memory holds a byte a row, and a row group.

    Raises:
        RedDinoError: no row meets them, or the table lacks a column that they name.
    """
    if not conditions:
        raise RedDinoError("filtering takes a condition, such as --where source=chula: give one")
    kept = mask_of(table, conditions)
    named = [str(condition) for condition in conditions]
    if not kept.any():
        raise RedDinoError(
            f"no row of '{table.folder}' meets {' and '.join(named)}: look at the columns' values"
        )
    return _write(table, out, kept, "table filter", {"where": named})


def draw_rows(
    table: TableOnDisk, out: Path, rows: int, *, evenly: str | None, whole: str | None, seed: int
) -> Reshaped:
    """Write a random choice of the rows; memory holds a byte a row, with a column 9, and a row group.

    Args:
        table: the table.
        out: folder of the new one.
        rows: to choose.
        evenly: column of which each value gives as many rows, as far as it has them.
        whole: column whose values are chosen with all of their rows, as long as these fit into `rows`.
        seed: of the choice.

    Raises:
        RedDinoError: more rows than there are, both columns at once, or one that the table lacks.
    """
    if evenly is not None and whole is not None:
        raise RedDinoError("rows are drawn evenly or in whole groups: leave one of --evenly and --whole out")
    if not 0 < rows <= len(table):
        raise RedDinoError(f"{rows:,} of {len(table):,} rows cannot be drawn: give a number from 1 to that")
    draw = np.random.default_rng(seed)
    choice: dict[str, Any] = {"rows": rows, "seed": seed, "evenly": evenly, "whole": whole}
    groups, short = None, 0
    if evenly is not None:
        kept, short = _evenly(_codes(table, evenly), rows, draw)
    elif whole is not None:
        kept, groups = _whole(_codes(table, whole), rows, draw, whole)
    else:
        kept = np.zeros(len(table), np.bool_)
        kept[draw.choice(len(table), rows, replace=False, shuffle=False)] = True
    made = _write(table, out, kept, "table sample", choice, seed=seed)
    return Reshaped(made.folder, made.rows, made.of, groups=groups, short=short)


def _write(
    table: TableOnDisk,
    out: Path,
    kept: Mask,
    verb: str,
    choice: Mapping[str, Any],
    *,
    seed: int | None = None,
) -> Reshaped:
    meta = derived_meta([table], verb, choice, images=int(table.meta["images"]), seed=seed)
    parts = list(joined(pieces_of(table, kept)))
    require_own_parts(out, meta)
    carry_side_files([table], out, data=str(meta["data"]), sources=_sources(table, kept))
    rows = write_parts(out, meta, table.schema, parts, int(kept.sum()))
    return Reshaped(out, rows, len(table))


def _sources(table: TableOnDisk, kept: Mask) -> set[str] | None:
    if "source" not in table.schema.names:
        return None
    found: set[str] = set()
    for block in table.blocks(["source"]):
        column: Any = block.columns.column("source")
        mine = column.filter(kept[block.start : block.start + len(block)])
        found |= {value or "" for value in mine.unique().to_pylist()}
    return found


def _codes(table: TableOnDisk, name: str) -> Codes:
    """Return the number (n,) of each row's group by a column, in the order of their first rows.

    A slide, patient or group of one source is another than that of the same name of another source. Rows
    without a value have -1.
    """
    table.require_columns([name])
    of_a_source = name in ID_COLUMNS and name != "source" and "source" in table.schema.names
    names = ["source", name] if of_a_source else [name]
    known: dict[tuple[Any, ...], int] = {}
    found = [np.empty(0, np.int64)]
    for block in table.blocks(names):
        codes, values = combinations(block.columns, names)
        numbers = [-1 if one[-1] in (None, "") else known.setdefault(one, len(known)) for one in values]
        found.append(np.array(numbers, np.int64)[codes])
    return np.concatenate(found)


def _evenly(codes: Codes, rows: int, draw: np.random.Generator) -> tuple[Mask, int]:
    """Draw about as many rows (n,) of each group; groups with fewer give all, and others more.

    Returns:
        Which rows were drawn, and how many groups had fewer than the others gave.
    """
    order = draw.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    order = order[codes[order] >= 0]
    counts = np.bincount(codes[order]) if len(order) else np.zeros(0, np.int64)
    turn = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Every group gives its first row, then every one its second, and so on.
    chosen = order[np.argsort(turn, kind="stable")][:rows]
    kept = np.zeros(len(codes), np.bool_)
    kept[chosen] = True
    taken = np.bincount(codes[chosen], minlength=len(counts))
    return kept, int(((taken == counts) & (taken < taken.max(initial=0))).sum())


def _whole(codes: Codes, rows: int, draw: np.random.Generator, name: str) -> tuple[Mask, int]:
    """Draw groups with all of their rows (n,), in random order, as long as they fit."""
    known = codes[codes >= 0]
    counts = np.bincount(known) if len(known) else np.zeros(0, np.int64)
    chosen = np.zeros(len(counts) + 1, np.bool_)  # the last is of rows without a group
    left = rows
    for group in draw.permutation(len(counts)).tolist():
        if counts[group] <= left:
            chosen[group] = True
            left -= int(counts[group])
    if not chosen.any():
        raise RedDinoError(f"no value of '{name}' has as few as {rows:,} rows: give more rows, or --evenly")
    return chosen[codes], int(chosen.sum())
