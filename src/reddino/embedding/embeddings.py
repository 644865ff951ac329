"""An embedding table in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.as_anndata import to_anndata
from reddino.embedding.view_encoder import Vectors
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.smears.spelling import clean

VECTOR_COLUMN = "embedding"
#: Columns of a table that are none of the manifest that it was made of.
OWN_COLUMNS = (VECTOR_COLUMN, "view_x", "view_y", "view_side", "views", "token_row", "token_col")


@dataclass(frozen=True)
class Embeddings:
    """An embedding table in memory.

    Attributes:
        vectors: (n, d) float32.
        table: the n rows' other columns: the manifest's; view_x, view_y (centre), view_side in pixels; for
            rows that are fields `views`, for tokens `token_row` and `token_col`.
        meta: model, weights_hash, pooling, view, preprocessing, data, provenance; seen: source -> whether the
            model saw it in pretraining (seen, unseen, unknown).
        copies: by path, the first image of the set of copies (the same image, or nearly); images without a
            copy are absent. None where copies were not searched for.
    """

    vectors: Vectors
    table: pa.Table
    meta: Mapping[str, Any]
    copies: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != self.table.num_rows:
            raise ValueError(f"{self.vectors.shape} vectors do not fit {self.table.num_rows} rows")

    def __len__(self) -> int:
        return len(self.vectors)

    def strings(self, column: str) -> list[str]:
        """Return a column as text, "" where missing."""
        return ["" if value is None else str(value) for value in self._column(column).to_pylist()]

    def names(self, column: str) -> list[str]:
        """Return a column of ids or classes (n,): tidy, "" where missing or where a word stands for missing.

        Columns that a manifest has beyond its own were carried along as they were written.
        """
        values = self.strings(column)
        known = {value: clean(value) for value in set(values)}
        return [known[value] for value in values]

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """Return a column (n,) as float64, NaN where missing."""
        try:
            values = self._column(column).cast(pa.float64()).to_pylist()
        except pa.ArrowException as error:
            raise RedDinoError(f"column '{column}' of the embedding table does not hold numbers") from error
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def select(self, mask: npt.ArrayLike) -> Embeddings:
        """Return the rows of a boolean mask (n,), or of an array of row numbers."""
        rows = np.asarray(mask)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        return replace(self, vectors=self.vectors[rows], table=self.table.take(rows))

    def columns(self) -> dict[str, list[str] | npt.NDArray[Any]]:
        """Return all columns by name: numbers as arrays (NaN where missing), the rest as text ("")."""
        return {
            field.name: self.table.column(field.name).to_numpy()
            if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            else self.strings(field.name)
            for field in self.table.schema
        }

    def manifest(self) -> Manifest:
        """Return the rows as a manifest, without the places of the views; its folder is not known."""
        names = [name for name in self.table.column_names if name not in OWN_COLUMNS]
        return Manifest(self.table.select(names), Path())

    def to_anndata(self) -> Any:
        """Return an `anndata.AnnData`; see `reddino.embedding.as_anndata.to_anndata`."""
        return to_anndata(self.vectors, self.columns(), self.meta)

    def _column(self, name: str) -> pa.ChunkedArray[Any]:
        if name not in self.table.column_names:
            have = ", ".join(self.table.column_names)
            raise RedDinoError(f"the embedding table has no column '{name}'; it has: {have}")
        return self.table.column(name)
