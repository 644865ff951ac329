"""The combinations of values that occur in columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def combinations(table: pa.Table, names: Sequence[str]) -> tuple[Rows, list[tuple[Any, ...]]]:
    """Return which combination of the values of columns each row (m,) has, and these combinations."""
    code = np.zeros(table.num_rows, dtype=np.int64)
    for name in names:
        values, place = _values(table.column(name))
        # Combined column by column and counted again, so that numbers stay below rows times values.
        code = np.unique(code * values + place, return_inverse=True)[1].astype(np.int64)
    first = np.unique(code, return_index=True)[1]
    rows = table.select(list(names)).take(first)
    return code, list(zip(*(rows.column(name).to_pylist() for name in names), strict=True))


def _values(column: pa.ChunkedArray[Any]) -> tuple[int, Rows]:
    """Return how many values a column has, and the number of each row's (m,); missing is one more."""
    known = column.unique()
    place = pc.index_in(column, known).to_numpy()
    return len(known), place.astype(np.int64)
