"""Parquet with a checksum of each page, written and verified; damage is reported in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.anywhere import byte_size, open_file
from reddino.foundations.stores.urls import url_of

#: Values in memory for each byte of the file, and for nothing: a few bytes can stand for any number of rows.
RATIO, FREE = 200, 50_000_000
#: Values in all columns, and characters in one: a few kilobytes can stand for more than memory holds.
MAX_VALUES = 500_000_000


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table to one file."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def parquet_writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """Open a writer of several tables to one file; `options` are pyarrow's."""
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True, **options)


def open_parquet(path: Path, **options: Any) -> pq.ParquetFile:
    """Open a file or object to read, whose pages are verified where it has checksums; `options`: pyarrow's.

    pyarrow's own `read_table` is not used: it turns names of folders such as `slide=7` into columns.
    """
    source: Any = path if url_of(path) is None else pa.PythonFile(cast(IOBase, open_file(path)))
    return pq.ParquetFile(source, page_checksum_verification=True, **options)


@contextmanager
def reading_parquet(path: Path, what: str) -> Iterator[None]:
    """Turn what Arrow raises on a damaged or strange file into a sentence; `what`: `as a list of ...`."""
    try:
        yield
    except RedDinoError:
        raise
    except Exception as error:  # on bytes that are no Parquet, its reader raises errors of many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RedDinoError(f"{path} cannot be read {what}: {reason.rstrip('.')}") from error


def read_parquet_file(path: Path) -> pa.Table:
    """Read the table of a file, if it can hold as many values as it lists; call it in `reading_parquet`.

    Raises:
        RedDinoError: it lists more.
    """
    with open_parquet(path) as file:
        require_size(file, path)
        return file.read()


def listed_values(file: pq.ParquetFile, names: Sequence[str] | None = None) -> int:
    """Return how many values a file lists: by its rows or by its columns, whichever is more.

    Args:
        file: that is open.
        names: of the columns that will be read; None: all.

    Raises:
        pa.ArrowException, OSError: it is damaged.
    """
    metadata = file.metadata
    by_rows = metadata.num_rows * metadata.num_columns
    if not 0 <= by_rows <= MAX_VALUES:
        return by_rows
    # Arrow ends the whole process where the description of a column is read and is damaged. Reading the
    # pages once, a few values at a time, finds that first, as an error.
    if names is None or names:
        file.scan_contents(None if names is None else list(names))
    return max(
        by_rows,
        sum(
            metadata.row_group(group).column(column).num_values
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        ),
    )


def require_size(file: pq.ParquetFile, path: Path, names: Sequence[str] | None = None) -> None:
    """Refuse a file that claims far more values than its bytes could stand for.

    Args:
        file: that is open.
        path: of it.
        names: of the columns that will be read, which alone are fetched of an object; None: all.
    """
    values = listed_values(file, None if url_of(path) is None else names)
    if not 0 <= values <= RATIO * byte_size(path) + FREE:
        raise RedDinoError(f"{path} claims {values:,} values, which are not in it; it is damaged")


def require_columns(table: pa.Table, **kinds: pa.DataType) -> None:
    """Refuse a table that lacks a column, or has it with another type; text may be kept as a dictionary.

    Raises:
        ValueError: names the column, for `reading_parquet`.
    """
    for name, kind in kinds.items():
        if table.column_names.count(name) != 1:
            raise ValueError(f"column '{name}' is missing")
        found = table.schema.field(name).type
        if (found.value_type if pa.types.is_dictionary(found) else found) != kind:
            raise ValueError(f"column '{name}' is of type {found}, not {kind}")
        if table.column(name).null_count and not pa.types.is_string(kind):
            raise ValueError(f"column '{name}' lacks values")
