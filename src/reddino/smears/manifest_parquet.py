"""Manifests as Parquet, where there are millions of rows: its size is checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import MAX_VALUES, listed_values, open_parquet
from reddino.smears.manifest_columns import require_names
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import tidy

MAX_CHARACTERS = 4_000_000_000


def read_parquet(path: Path) -> tuple[pa.Table, RowPlace]:
    """Read the table of a Parquet file, and how to name its rows.

    Raises:
        RedDinoError: it is damaged, encrypted, or would not fit in memory.
    """
    place = RowPlace(str(path))
    try:
        with open_parquet(path) as file:
            names = [tidy(name) for name in file.schema_arrow.names]
            require_names(names, str(path))
            _require_size(file, path)
        # As dictionaries: a long text in many rows is read once.
        texts = [
            field.name
            for field in file.schema_arrow
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        ]
        with open_parquet(path, read_dictionary=texts) as file:
            table = file.read().replace_schema_metadata(None)
        for name in texts:
            table = _undictionaried(table, name, place)
    except RedDinoError:
        raise
    except UnicodeDecodeError as error:
        raise RedDinoError(f"{path} has a column whose name is not UTF-8 text") from error
    except Exception as error:  # on bytes that are no Parquet, its reader raises errors of many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RedDinoError(f"{path} cannot be read as Parquet: {reason.rstrip('.')}") from error
    return table.rename_columns(names), place


def _require_size(file: pq.ParquetFile, path: Path) -> None:
    if not 0 <= listed_values(file) <= MAX_VALUES:
        raise RedDinoError(
            f"{path} lists {file.metadata.num_rows} rows of {file.metadata.num_columns} columns, more than "
            f"the {MAX_VALUES} values that are read; split it, or leave columns out"
        )


def _undictionaried(table: pa.Table, name: str, place: RowPlace) -> pa.Table:
    """Return the table with a column of texts as such, if they fit in memory."""
    index = table.column_names.index(name)
    column = table.column(index)
    if not pa.types.is_dictionary(column.type):
        return table
    chunks: list[Any] = column.chunks
    lengths: list[Any] = [pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in chunks]
    characters = sum(pc.sum(each.cast(pa.int64())).as_py() or 0 for each in lengths)
    if characters > MAX_CHARACTERS:
        raise RedDinoError(f"{place.name}, column '{name}': holds {characters} characters, too many to read")
    return table.set_column(index, name, column.cast(pa.string()))
