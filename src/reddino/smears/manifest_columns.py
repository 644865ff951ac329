"""The columns of a manifest: which there are, and what their values must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reddino.errors import RedDinoError

# A pyarrow column. The published type stubs know too few of the argument types that pyarrow's functions take.
Column: TypeAlias = Any

COLUMNS = ("path", "source", "slide", "patient", "group", "x", "y", "w", "h", "label", "cell_diameter")
NUMBER_COLUMNS = ("x", "y", "w", "h", "cell_diameter")


def _row_number(row: int) -> str:
    return f"row {row + 1}"


@dataclass(frozen=True)
class RowPlace:
    """Where a row stands, in the words of a person who has the file open.

    Attributes:
        name: the file, or what the table is.
        position: turns a row number (from 0) into words; looked up only when something is wrong.
    """

    name: str
    position: Callable[[int], str] = field(default=_row_number)

    def of(self, row: int) -> str:
        """Name the row, e.g. `cells.csv, line 17`."""
        return f"{self.name}, {self.position(row)}"

    def refuse(self, row: int, column: str, fault: str) -> NoReturn:
        """Raise for the value in `column` of `row`."""
        raise RedDinoError(f"{self.of(row)}, column '{column}': {fault}.")


def conform(table: pa.Table, place: RowPlace) -> pa.Table:
    """Bring a table into the form of a manifest: all columns, their types, missing values as null, rules
    checked.

    Raises:
        RedDinoError: names the row and the column of the first fault.
    """
    if "path" not in table.column_names:
        raise RedDinoError(
            f"{place.name} has no column 'path', only: {', '.join(map(repr, table.column_names)) or 'none'}."
        )
    for name in table.column_names:
        if table.column_names.count(name) > 1:
            raise RedDinoError(f"{place.name} has two columns named '{name}': rename or remove one.")
    extras = [name for name in table.column_names if name not in COLUMNS]
    columns = {name: _conform_column(table, name, place) for name in (*COLUMNS, *extras)}
    _check_rules(columns, place)
    return pa.table(columns)


def _conform_column(table: pa.Table, name: str, place: RowPlace) -> Column:
    if name not in table.column_names:
        return pa.chunked_array(
            [pa.nulls(table.num_rows, pa.float64() if name in NUMBER_COLUMNS else pa.string())]
        )
    column = table.column(name)
    if name in NUMBER_COLUMNS:
        return _as_numbers(column, name, place)
    return _as_strings(column, name, place)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _as_strings(column: Column, name: str, place: RowPlace) -> Column:
    if pa.types.is_nested(column.type):
        if name in COLUMNS:
            raise RedDinoError(f"{place.name}, column '{name}': holds {column.type}, not text.")
        return column
    if pa.types.is_floating(column.type):
        column = _whole_as_integers(column)
    if column.type != pa.string():
        column = column.cast(pa.string())
    empty = pc.equal(column, pa.scalar(""))
    return pc.if_else(empty, pa.scalar(None, pa.string()), column) if pc.any(empty).as_py() else column


def _whole_as_integers(column: Column) -> Column:
    """Undo what pandas does to an integer column with gaps: slide 7 must not become '7.0'."""
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _as_numbers(column: Column, name: str, place: RowPlace) -> Column:
    if _is_text(column.type):
        column = _parse_numbers(column.cast(pa.string()), name, place)
    elif not (pa.types.is_null(column.type) or pa.types.is_integer(column.type) or _is_real(column.type)):
        raise RedDinoError(f"{place.name}, column '{name}': holds {column.type}, not numbers.")
    column = column.cast(pa.float64())
    infinite = pc.is_inf(column)
    if pc.any(infinite).as_py():
        place.refuse(_first(infinite), name, "is not a finite number")
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def _parse_numbers(column: Column, name: str, place: RowPlace) -> Column:
    column = pc.utf8_trim_whitespace(column)
    column = pc.if_else(pc.equal(column, pa.scalar("")), pa.scalar(None, pa.string()), column)
    wrong = pc.invert(pc.match_substring_regex(column, _NUMBER))
    if pc.any(wrong).as_py():
        row = _first(wrong)
        place.refuse(row, name, f"'{column[row].as_py()}' is not a number")
    return pc.utf8_ltrim(column, characters="+").cast(pa.float64())


def _first(mask: Column) -> int:
    return int(pc.index(pc.fill_null(mask, False), True).as_py())


def _check_rules(columns: dict[str, Column], place: RowPlace) -> None:
    """Refuse what no reader of a manifest could make sense of."""
    given = {name: np.asarray(pc.is_valid(columns[name])) for name in ("path", *NUMBER_COLUMNS)}
    number = {name: np.asarray(pc.fill_null(columns[name], np.nan)) for name in ("w", "h", "cell_diameter")}
    rules: list[tuple[str, NDArray[np.bool_], str]] = [
        ("path", ~given["path"], "is empty; every row names an image"),
        ("x", given["y"] & ~given["x"], "is empty although y is given"),
        ("y", given["x"] & ~given["y"], "is empty although x is given"),
        ("w", given["h"] & ~given["w"], "is empty although h is given"),
        ("h", given["w"] & ~given["h"], "is empty although w is given"),
        (
            "x",
            given["w"] & ~given["x"],
            "is empty although the box has a width: x and y are its top-left corner",
        ),
        ("w", number["w"] < 0, "is negative"),
        ("h", number["h"] < 0, "is negative"),
        ("cell_diameter", number["cell_diameter"] <= 0, "must be above 0 pixels (empty where unknown)"),
    ]
    for column, broken, fault in rules:
        if broken.any():
            place.refuse(int(np.argmax(broken)), column, fault)
