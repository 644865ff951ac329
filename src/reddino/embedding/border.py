"""Cells that the border of their image cuts: no whole cells, left out of what describes cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.embedding.embeddings import Embeddings
from reddino.rbc.found_cells import given_at_border
from reddino.smears.column_names import AT_BORDER


def cells_at_border(table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows (n,) are cells that the border of their image cuts.

    None are where the table lacks the column, as tables of earlier versions do.
    """
    return given_at_border(table)


def whole_cells(table: Embeddings) -> tuple[Embeddings, int]:
    """Return the rows that the border of their image does not cut, and how many it cuts.

    Where it cuts all of them, all are returned.
    """
    cut = cells_at_border(table.table)
    return (table, 0) if cut.all() or not cut.any() else (table.select(~cut), int(cut.sum()))


def alike_at_border(tables: Mapping[str, Embeddings]) -> dict[str, Embeddings]:
    """Return tables of the same cells of which all name the same ones as cut, if one has the column.

    Tables of before lack the column: without it, models would be scored on different cells.

    Args:
        tables: by name; those with as many rows as the first that has it have the same rows.
    """
    holder = next((table for table in tables.values() if AT_BORDER in table.table.column_names), None)
    if holder is None:
        return dict(tables)
    column = holder.table.column(AT_BORDER)
    return {
        name: replace(table, table=table.table.append_column(AT_BORDER, column))
        if AT_BORDER not in table.table.column_names and len(table) == len(holder)
        else table
        for name, table in tables.items()
    }
