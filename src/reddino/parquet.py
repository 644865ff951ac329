"""Parquet with a checksum of each page, written and verified: a flipped bit is an error, no other number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table to one file."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def parquet_writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """A writer of several tables to one file; `options` are pyarrow's."""
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True, **options)


def open_parquet(path: Path, **options: Any) -> pq.ParquetFile:
    """A file to read, whose pages are verified where it has checksums; `options` are pyarrow's.

    pyarrow's own `read_table` is not used: it turns names of folders such as `slide=7` into columns.
    """
    return pq.ParquetFile(path, page_checksum_verification=True, **options)
