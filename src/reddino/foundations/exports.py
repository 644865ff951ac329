"""Tables for people as CSV: whole or not at all, and without cells that a spreadsheet would compute."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from reddino.foundations.atomic import atomic_path

#: How a cell starts that a spreadsheet takes for a formula (full-width ones count in some languages), after
#: apostrophes that stand there already.
_FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠]"
#: Cells that start so and are not formulas: numbers, with an interval or not, and the sign alone.
_VALUE = r"^[+-]((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?( \([+-]?[\d.]+ to [+-]?[\d.]+\))?)?$"


#: What is written for a NUL character in a text.
NUL_SHOWN = "\N{SYMBOL FOR NULL}"
#: Texts that pandas takes for missing values by default.
READ_AS_MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
#: Characters of a cell in Excel.
MOST_LETTERS = 32_767
log = logging.getLogger(__name__)


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet computes: an apostrophe stands before what could be a formula."""
    return f"'{cell}" if re.match(_FORMULA, cell) and not re.match(_VALUE, cell) else cell


def original(cell: str) -> str:
    """Return the cell that was given to `harmless`."""
    return cell[1:] if cell.startswith("'") and re.match(_FORMULA, cell) else cell


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV, each cell harmless."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table for people, whole or not at all; names that are not UTF-8 keep their bytes."""
    with atomic_path(path) as partial:
        partial.write_bytes(csv_text([header, *rows]).encode("utf-8", "surrogateescape"))


def write_arrow_csv(table: pa.Table, path: Path) -> None:
    """Write a table of many rows to `path` as CSV: names of columns and cells of text harmless.

    A NUL character, at which readers of CSV end a text, is written as its picture. A file that is not plain
    ASCII begins with a byte-order mark, without which Excel reads it in the encoding of the country. What
    programs read differently than it stands there is logged.
    """
    names = [harmless(name).replace("\0", NUL_SHOWN) for name in table.column_names]
    table = pa.table([_changed(column, _shown_column) for column in table.columns], names)
    for name, column in zip(names, table.columns, strict=True):
        _log_what_is_misread(name, column)
    with path.open("wb") as file:
        if not _is_ascii(table):
            file.write(codecs.BOM_UTF8)
        pacsv.write_csv(table, file)


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _shown_column(column: Any) -> Any:
    return pc.replace_substring(_harmless_column(column), "\0", NUL_SHOWN)


def _is_ascii(table: pa.Table) -> bool:
    texts: list[Any] = [column for column in table.columns if _is_text(column)]
    return all(map(str.isascii, table.column_names)) and all(
        pc.all(pc.string_is_ascii(column)).as_py() is not False for column in texts
    )


def _log_what_is_misread(name: str, column: Any) -> None:
    """Log which texts of a column pandas takes for missing values, and that Excel cuts off long ones."""
    if not _is_text(column):
        return
    missing = pc.unique(column.filter(pc.is_in(column, pa.array(READ_AS_MISSING)))).to_pylist()
    if missing:
        log.warning(
            "column '%s' holds %s, which pandas reads as missing values: read the file with "
            "keep_default_na=False",
            name,
            ", ".join(map(repr, sorted(missing))),
        )
    if (pc.max(pc.utf8_length(column)).as_py() or 0) > MOST_LETTERS:
        log.warning(
            "column '%s' holds texts of more than %d characters, which Excel cuts off", name, MOST_LETTERS
        )


def harmless_table(table: pa.Table) -> pa.Table:
    """Return a table whose names of columns and cells of text are harmless."""
    names = [harmless(name) for name in table.column_names]
    return pa.table([_changed(column, _harmless_column) for column in table.columns], names)


def original_table(table: pa.Table) -> pa.Table:
    """Return the table that was given to `harmless_table`."""
    names = [original(name) for name in table.column_names]
    return pa.table([_changed(column, _original_column) for column in table.columns], names)


def _changed(column: Any, change: Callable[[Any], Any]) -> Any:
    return change(column) if _is_text(column) else column


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
