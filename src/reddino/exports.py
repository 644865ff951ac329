"""Tables for people as CSV: whole or not at all, and without cells that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from reddino.atomic import atomic_path

#: How a cell starts that a spreadsheet takes for a formula (full-width signs count in some languages), after
#: apostrophes that stand there already.
_FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠]"
#: Cells that start so and are none: numbers, with an interval or not, and the sign alone.
_VALUE = r"^[+-]((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?( \([+-]?[\d.]+ to [+-]?[\d.]+\))?)?$"


def harmless(cell: str) -> str:
    """A cell that no spreadsheet computes: an apostrophe stands before what looks like a formula."""
    return f"'{cell}" if re.match(_FORMULA, cell) and not re.match(_VALUE, cell) else cell


def original(cell: str) -> str:
    """The cell that `harmless` was given."""
    return cell[1:] if cell.startswith("'") and re.match(_FORMULA, cell) else cell


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV, each cell harmless."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table for people, whole or not at all; names that are not UTF-8 keep their bytes."""
    with atomic_path(path) as partial:
        partial.write_bytes(csv_text([header, *rows]).encode("utf-8", "surrogateescape"))


def write_arrow_csv(table: pa.Table, path: Path) -> None:
    """Write a table of many rows to `path` as CSV: names of columns and cells of text harmless."""
    pacsv.write_csv(harmless_table(table), path)


def harmless_table(table: pa.Table) -> pa.Table:
    """A table whose names of columns and cells of text are harmless."""
    names = [harmless(name) for name in table.column_names]
    return pa.table([_changed(column, _harmless_column) for column in table.columns], names)


def original_table(table: pa.Table) -> pa.Table:
    """The table that `harmless_table` was given."""
    names = [original(name) for name in table.column_names]
    return pa.table([_changed(column, _original_column) for column in table.columns], names)


def _changed(column: Any, change: Callable[[Any], Any]) -> Any:
    return (
        change(column) if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else column
    )


def _harmless_column(column: Any) -> Any:
    formula: Any = pc.match_substring_regex(column, _FORMULA)
    risky = pc.and_not(formula, pc.match_substring_regex(column, _VALUE))
    if not pc.any(risky).as_py():
        return column
    return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)


def _original_column(column: Any) -> Any:
    marked: Any = pc.starts_with(column, "'")
    if not pc.any(marked).as_py():
        return column
    marked = pc.and_(marked, pc.match_substring_regex(column, _FORMULA))
    return pc.if_else(marked, pc.utf8_slice_codeunits(column, 1), column)
