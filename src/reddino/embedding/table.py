"""Read an embedding table: a folder of Parquet parts with one row per view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.embedding.column_types import alike_schemas
from reddino.embedding.copies_file import read_copies
from reddino.embedding.embeddings import VECTOR_COLUMN, Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.part_files import readable
from reddino.embedding.table_on_disk import open_table, vectors_of
from reddino.foundations.parquet import reading_parquet, require_size
from reddino.foundations.stages import watched
from reddino.smears.column_names import AT_BORDER


def read_embeddings(path: str | Path, *, partial: bool = False) -> Embeddings:
    """Read an embedding table.

    Args:
        path: the folder of its parts.
        partial: accept a table whose pass has not finished.

    Raises:
        RedDinoError: no table there, it is unfinished, or vectors of it are not finite.
    """
    opened = open_table(path, partial=partial)
    folder, meta = opened.folder, dict(opened.meta)
    vectors = np.empty((len(opened), int(meta["dim"])), dtype=np.float32)
    columns: list[pa.Table] = []
    start = 0
    pairs = list(zip(opened.paths, opened.records, strict=True))
    for part, record in watched(pairs, "reading the table"):
        with readable(part) as file:
            require_size(file, part)
            table = file.read()
            table.validate(full=True)
            vectors[start : start + record.rows] = vectors_of(table, vectors.shape[1])
        columns.append(table.drop_columns([VECTOR_COLUMN]).replace_schema_metadata(None))
        start += record.rows
    with reading_parquet(folder, "as one table"):
        table = pa.concat_tables(alike_columns(columns), promote_options="permissive")
    read = Embeddings(vectors, table, meta, read_copies(folder))
    require_finite(read)
    return read


def alike_columns(parts: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the columns of parts: all of them hold which cells a border cuts, or none does.

    Parts of before lack that column, and a table may have been continued since. What is text in some parts is
    text in all.
    """
    held = [AT_BORDER in part.column_names for part in parts]
    if any(held) and not all(held):
        parts = [
            part.drop_columns([AT_BORDER]) if has else part for part, has in zip(parts, held, strict=True)
        ]
    schemas = alike_schemas([part.schema for part in parts])
    return [part.cast(schema) for part, schema in zip(parts, schemas, strict=True)]
