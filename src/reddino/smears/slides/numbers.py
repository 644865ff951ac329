"""Numbers of slides in Parquet: columns that a manifest carries along as text, written as what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reddino.smears.column_names import (
    LEVEL0_X,
    LEVEL0_Y,
    MONOLAYER,
    REGION,
    REGION_X,
    REGION_Y,
    UM_PER_PX,
)

#: Of slides: those that count something, or are in whole pixels, and those that measure.
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys((REGION, REGION_X, REGION_Y, MONOLAYER), pa.int64()),
    **dict.fromkeys(("slide_width", "slide_height", "levels", "focus_planes"), pa.int64()),
    **dict.fromkeys((UM_PER_PX, LEVEL0_X, LEVEL0_Y), pa.float64()),
}


def number_types(table: pa.Table, *, exact: bool = False) -> dict[str, pa.DataType]:
    """Return the types of the columns on slides that hold numbers alone, or nothing; others stay text.

    Args:
        table: of a manifest.
        exact: leave out columns of which reading the numbers would not give the same text, such as `0.250`:
            a manifest has one fingerprint, in whatever format it was written. Of whole numbers such as `007`,
            which may be names, this holds always.
    """
    found: dict[str, pa.DataType] = {}
    for name, kind in _TYPES.items():
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            column = table.column(name)
            if _holds(column, kind, exact=exact or kind == pa.int64()):
                found[name] = kind
    return found


def _holds(column: Any, kind: pa.DataType, *, exact: bool) -> bool:
    try:
        numbers: Any = column.cast(kind)
    except pa.ArrowException:
        return False
    infinite: Any = pc.invert(pc.is_finite(numbers))
    if pc.any(infinite).as_py():
        return False
    return not exact or bool(numbers.cast(pa.string()).equals(column))


def with_types(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return a table with some of its columns as other types."""
    for name, kind in types.items():
        place = table.column_names.index(name)
        column: Any = table.column(name)
        table = table.set_column(place, name, column.cast(kind))
    return table


def as_types(schema: pa.Schema, types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return a schema with some of its columns as other types."""
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in schema])
