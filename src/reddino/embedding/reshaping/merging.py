"""Merge tables of several passes that embedded the same way into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.choices import Doubles
from reddino.embedding.column_types import joined_schema
from reddino.embedding.comparable import require_one_way
from reddino.embedding.growth import picture_digests, plan_hash
from reddino.embedding.part_files import PartRecord
from reddino.embedding.reshaping.describing import carry_side_files, derived_meta
from reddino.embedding.reshaping.readings import require_one_reading
from reddino.embedding.reshaping.reshaped import Reshaped
from reddino.embedding.reshaping.writing import (
    Mask,
    joined,
    pieces_of,
    require_own_parts,
    write_parts,
)
from reddino.embedding.side_files import write_table_failures
from reddino.embedding.table_on_disk import Block, TableOnDisk
from reddino.embedding.table_rows import PLACE_COLUMNS
from reddino.embedding.table_shares import SHARES, joined_shares, shares_sentence
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import reading_parquet
from reddino.foundations.provenance import hash_bytes
from reddino.smears.failures import Failures
from reddino.smears.slides.identity import regions_twice

Keys = npt.NDArray[np.uint64]

#: Together they name a view.
VIEW_COLUMNS = ("path", *PLACE_COLUMNS, "token_row", "token_col")
#: Of the finaliser of splitmix64.
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def merge(tables: Sequence[TableOnDisk], out: Path, *, doubles: Doubles) -> Reshaped:
    """Write the rows of all tables, one table after the other, as one.

    Memory holds some tens of bytes a row, and a row group.

    Args:
        tables: that were embedded the same way.
        out: folder of the new table.
        doubles: `refuse` views that an earlier table has, or `drop` them.

    Raises:
        RedDinoError: tables that differ in how they were embedded, pictures of one name that are others, or
            doubles that are not to be dropped.
    """
    if len(tables) < 2:
        raise RedDinoError("merging takes two tables or more: name them all")
    require_one_way({str(table.folder): table.meta for table in tables})
    diameters = _joined_diameters(tables)
    _require_same_pictures(tables)
    require_one_reading(tables)
    kept, dropped = _without_doubles(tables, doubles)
    images = [int(table.meta["images"]) for table in tables]
    meta = derived_meta(tables, "table merge", {"doubles": doubles}, images=sum(images))
    meta["plan"] = plan_hash(diameters) if diameters else _joined_plan(tables)
    meta |= {"diameters": diameters} if diameters else {}
    meta.pop(SHARES, None)
    shares = joined_shares([table.meta for table in tables])
    meta |= {SHARES: shares} if shares else {}
    offsets = np.concatenate([[0], np.cumsum(images)]).tolist()
    pieces = (
        piece
        for table, mine, offset in zip(tables, kept, offsets, strict=False)
        for piece in pieces_of(table, mine, offset)
    )
    with reading_parquet(out, "as one table"):
        schema = joined_schema([table.schema for table in tables])
    parts = _in_order(list(joined(pieces)))
    total = sum(len(table) for table in tables) - dropped
    require_own_parts(out, meta)
    carry_side_files(tables, out, data=str(meta["data"]), sources=None)
    rows = write_parts(out, meta, schema, parts, total)
    _list_failures(tables, out)
    of = sum(len(table) for table in tables)
    return Reshaped(out, rows, of, doubles=dropped, shares=shares_sentence(meta))


def _in_order(parts: list[Any]) -> list[Any]:
    return sorted(parts, key=lambda pieces: int(pieces[0].start))


def _list_failures(tables: Sequence[TableOnDisk], out: Path) -> None:
    failed = Failures()
    records: list[PartRecord] = [record for table in tables for record in table.records]
    for record in records:
        for path, reason in record.failures:
            failed.add(path, reason)
    write_table_failures(out, failed)


def _joined_plan(tables: Sequence[TableOnDisk]) -> str:
    plans = sorted({str(table.meta["plan"]) for table in tables})
    return plans[0] if len(plans) == 1 else hash_bytes(*(plan.encode() for plan in plans))


def _joined_diameters(tables: Sequence[TableOnDisk]) -> dict[str, float]:
    """Return the cell diameter by source, which must be one in all tables that have the source."""
    found: dict[str, float] = {}
    for table in tables:
        for source, diameter in (table.meta.get("diameters") or {}).items():
            if found.setdefault(source, diameter) != diameter:
                raise RedDinoError(
                    f"'{tables[0].folder}' and '{table.folder}' cannot become one table, they differ in the "
                    "cell "
                    f"diameter of the source '{source}' ({found[source]:g} against {diameter:g} px): embed "
                    "both with --scale picture, or both in one pass"
                )
    return found


def _require_same_pictures(tables: Sequence[TableOnDisk]) -> None:
    """Refuse pictures of one name that are others, and slides that are there under two names."""
    known: dict[str, tuple[str, Path]] = {}
    for table in tables:
        for name, digest in picture_digests(table.folder).items():
            before, where = known.setdefault(name, (digest, table.folder))
            if before != digest:
                raise RedDinoError(
                    f"'{name}' is one picture in '{where}' and another in '{table.folder}': embed both from "
                    "a "
                    "folder in which their names differ"
                )
    for first, other in regions_twice((name, digest) for name, (digest, _) in known.items()):
        raise RedDinoError(
            f"{other} is the slide {first} under another name, and its cells would count twice: merge "
            "without the table that holds one of the two"
        )


def _without_doubles(tables: Sequence[TableOnDisk], doubles: Doubles) -> tuple[list[Mask | None], int]:
    """Return which rows (n,) of each table go into the new one (None: all), and how many do not."""
    kept: list[Mask | None] = []
    known = np.empty(0, np.uint64)
    count, example = 0, ""
    for table in tables:
        keys = _keys(table)
        new = ~np.isin(keys, known)
        known = np.union1d(known, keys)
        kept.append(None if new.all() else new)
        if not new.all():
            example = example or _first_path(table, int(np.argmin(new)))
            count += int((~new).sum())
    if count and doubles == "refuse":
        raise RedDinoError(
            f"{counted(count, 'view')} would be in the table twice: the first is of {example}; leave a "
            "table out, "
            "or give --doubles drop to keep the first of each"
        )
    return kept, count


def _first_path(table: TableOnDisk, row: int) -> str:
    path = table.take(np.array([row]), ["path"]).column("path")[0].as_py()
    return f"'{path}' in '{table.folder}'"


def _keys(table: TableOnDisk) -> Keys:
    """Return a number (n,) of each row that is the same for the same view of a picture of one name."""
    names = [name for name in VIEW_COLUMNS if name in table.schema.names]
    known: dict[str, int] = {}
    found = [_keys_of(block, names, known) for block in table.blocks(names)]
    return np.concatenate([np.empty(0, np.uint64), *found])


def _keys_of(block: Block, names: Sequence[str], known: dict[str, int]) -> Keys:
    """Return the numbers (n,) of a block's rows; `known` keeps those of paths."""
    keys = np.zeros(len(block), np.uint64)
    for name in names:
        column: Any = block.columns.column(name)
        if name == "path":
            encoded = column.combine_chunks().dictionary_encode()
            codes = np.array([_code(path, known) for path in encoded.dictionary.to_pylist()], np.uint64)
            values = codes[encoded.indices.to_numpy(zero_copy_only=False)]
        else:
            values = column.cast(pa.float64()).to_numpy().astype(np.float64).view(np.uint64)
        keys = _mixed(keys * np.uint64(3) + values)
    return keys


def _code(path: str | None, known: dict[str, int]) -> int:
    if path is None:
        return 0
    if path not in known:
        known[path] = int(hash_bytes(path.encode("utf-8", "surrogateescape")), 16)
    return known[path]


def _mixed(values: Keys) -> Keys:
    """Return numbers (n,) whose every bit depends on every bit of the given ones."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    return values ^ (values >> np.uint64(31))
