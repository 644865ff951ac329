"""Cells that the border of their image cuts: no whole cells, left out of what describes cells."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.embedding.embeddings import Embeddings
from reddino.rbc.found_cells import given_at_border


def cells_at_border(table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows (n,) are cells that the border of their image cuts.

    None are where the table does not say: tables of before lack the column.
    """
    return given_at_border(table)


def whole_cells(table: Embeddings) -> tuple[Embeddings, int]:
    """Return the rows that the border of their image does not cut, and how many it cuts.

    Where it cuts all of them, all are returned.
    """
    cut = cells_at_border(table.table)
    return (table, 0) if cut.all() or not cut.any() else (table.select(~cut), int(cut.sum()))
