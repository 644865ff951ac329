"""Conditions on the columns of a table, such as `source=chula` or `cell_diameter<40`, as users write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embedding.table_on_disk import Block, TableOnDisk
from reddino.foundations.errors import RedDinoError

Mask = npt.NDArray[np.bool_]

_FORM = re.compile(r"(?P<column>.+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*)", re.DOTALL)
# The published type stubs list too few of the argument types that pyarrow's functions take.
_equal_to: Any = pc.equal
_ORDERS: dict[str, Any] = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


@dataclass(frozen=True)
class Condition:
    """What one column of a row must be.

    Attributes:
        column: its name.
        sign: `=`, `!=`, `<`, `<=`, `>` or `>=`.
        value: what the column is compared with: its text, or a number. "" stands for missing.
    """

    column: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value}"

    def holds(self, column: Any) -> Mask:
        """Return which rows (n,) of a column meet it.

        A missing value equals "" alone: it differs from every other value, and is neither less nor more than
        any.

        Raises:
            RedDinoError: the column, or the value, is no number, where numbers are compared.
        """
        if self.sign in _ORDERS:
            met = _ORDERS[self.sign](_as_numbers(column, self), _number(self))
            return _as_mask(met)
        same = _as_mask(_equal(column, self.value))
        return same if self.sign == "=" else ~same


def read_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Read conditions, all of which a row must meet.

    Raises:
        RedDinoError: names one that is none.
    """
    found = []
    for text in texts:
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise RedDinoError(
                f"'{text}' is no condition: write column=value, column!=value, or column<number (also <=, "
                ">, >=)"
            )
        found.append(Condition(match["column"], match["sign"], match["value"]))
    return tuple(found)


def rows_that_meet(block: Block, conditions: Sequence[Condition]) -> Mask:
    """Return which rows (n,) of a block, which has the columns of the conditions, meet all of them."""
    kept = np.ones(len(block), np.bool_)
    for condition in conditions:
        kept &= condition.holds(block.columns.column(condition.column))
    return kept


def mask_of(table: TableOnDisk, conditions: Sequence[Condition]) -> Mask:
    """Return which rows (n,) of a table meet all conditions; only the columns that they name are read.

    Raises:
        RedDinoError: the table lacks a column that they name.
    """
    names = list(dict.fromkeys(condition.column for condition in conditions))
    table.require_columns(names)
    found = [rows_that_meet(block, conditions) for block in table.blocks(names)]
    return np.concatenate([np.empty(0, np.bool_), *found])


def _equal(column: Any, value: str) -> Any:
    """Return where a column is a value: of numbers by number, of anything else by its text."""
    if value == "":
        empty = pc.is_null(column, nan_is_null=True)
        return pc.or_kleene(empty, _equal_to(column, "")) if _is_text(column) else empty
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        try:
            number = float(value)
        except ValueError:
            return pa.nulls(len(column), pa.bool_())
        return _equal_to(column.cast(pa.float64()), number)
    return _equal_to(column if _is_text(column) else column.cast(pa.string()), value)


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _as_numbers(column: Any, condition: Condition) -> Any:
    try:
        return column.cast(pa.float64())
    except pa.ArrowException as error:
        raise RedDinoError(
            f"column '{condition.column}' holds text, which is neither less nor more than anything: "
            f"'{condition}' "
            "needs a column of numbers"
        ) from error


def _number(condition: Condition) -> float:
    try:
        return float(condition.value)
    except ValueError as error:
        raise RedDinoError(
            f"'{condition}' compares with '{condition.value}', which is not a number"
        ) from error


def _as_mask(found: Any) -> Mask:
    filled: Mask = np.asarray(pc.fill_null(found, False), dtype=np.bool_)
    return filled
