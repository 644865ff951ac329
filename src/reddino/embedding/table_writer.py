"""Write an embedding table: parts that stream to disk, appear whole, and record which images they cover."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.embeddings import VECTOR_COLUMN
from reddino.embedding.part_files import (
    CHECKSUM_KEY,
    META_KEY,
    PART_KEY,
    PartRecord,
    finished_parts,
    note_checksum,
    part_path,
    read_part,
    read_parts,
    uncovered,
)
from reddino.embedding.view_encoder import Vectors
from reddino.foundations.atomic import atomic_path, remove_partials
from reddino.foundations.full_disk import writing
from reddino.foundations.locks import only_one
from reddino.foundations.parquet import parquet_writer
from reddino.foundations.stores.anywhere import remove_file, spool_folder
from reddino.foundations.stores.claims import claimed_folder
from reddino.foundations.stores.urls import is_url, url_of

#: Vectors that wait in memory before they are written as one row group.
ROW_GROUP_BYTES = 16_000_000


class TableWriter:
    """Writes the parts of one table; each appears whole.

    A part covers a run of images and is named after the first. Parts may be finished in any order, so that a
    pass that died continues where it was.

    Attributes:
        records: of the parts on disk, by the number of their first image.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any], columns: pa.Schema) -> None:
        """Open `folder` for a table that `meta` describes, with `columns` next to the vectors.

        Raises:
            RedDinoError: the folder holds parts of another table; names the key that differs.
        """
        self.folder = folder
        self.meta = dict(meta)
        kind = pa.float16() if meta["dtype"] == "float16" else pa.float32()
        vectors = pa.field(VECTOR_COLUMN, pa.list_(kind, int(meta["dim"])))
        self._schema = pa.schema([*columns, vectors], metadata={META_KEY: json.dumps(self.meta).encode()})
        self.records: dict[int, PartRecord] = {}
        for found, record in read_parts(list(finished_parts(folder).values())):
            refuse_other_table(folder, found, self.meta)
            self.records[record.start] = record
        if is_url(folder):
            remove_partials(spool_folder())
        else:
            folder.mkdir(parents=True, exist_ok=True)
            remove_partials(folder)

    def missing(self) -> list[tuple[int, int]]:
        """Return the runs of images that no part covers yet."""
        return uncovered(self.folder, self.records.values(), int(self.meta["images"]))

    def discard(self) -> None:
        """Delete all parts, for a table that has come out without a row: it must not stand in the way."""
        for start in list(self.records):
            remove_file(part_path(self.folder, start))
            del self.records[start]

    def part(self, start: int) -> PartWriter:
        """Begin the part whose first image is number `start`."""
        return PartWriter(self, part_path(self.folder, start), self._schema)

    def write(self, record: PartRecord, columns: pa.Table, vectors: Vectors) -> None:
        """Write a part in one go: the rows' columns and their vectors (n, d)."""
        part = self.part(record.start)
        part.append(columns, vectors)
        part.finish(record)


class PartWriter:
    """A part on its way to disk: rows leave memory in groups, the file appears when it is whole.

    Args:
        table: that the part belongs to.
        path: of the part.
        schema: of its rows, with the table's metadata.
    """

    def __init__(self, table: TableWriter, path: Path, schema: pa.Schema) -> None:
        self._table = table
        self._schema = schema
        self._path = path
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._rows = 0
        with writing(path), ExitStack() as files:
            partial = files.enter_context(atomic_path(path))
            self._partial = partial
            # Vectors do not repeat themselves: a dictionary of them would be made and thrown away.
            repeating: Any = [name for name in schema.names if name != VECTOR_COLUMN]
            self._parquet = parquet_writer(partial, schema, use_dictionary=repeating)
            self._files = files.pop_all()

    def append(self, columns: pa.Table, vectors: Vectors) -> None:
        """Add rows: their columns, and their vectors (n, d)."""
        kind = self._schema.field(VECTOR_COLUMN).type
        numbers = pa.array(np.ascontiguousarray(vectors, self._table.meta["dtype"]).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(numbers, kind.list_size)
        table = columns.append_column(VECTOR_COLUMN, embedding)
        self._held.append(table.select(self._schema.names).cast(self._schema))
        self._rows += len(vectors)
        self._bytes += numbers.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self, record: PartRecord) -> None:
        """Write what is held, note `record` in the file, and let it appear.

        Raises:
            RedDinoError: it cannot be written.
            ValueError: the record holds another number of rows.
        """
        if record.rows != self._rows:
            raise ValueError(f"the record holds {record.rows} rows, {self._rows} were added")
        self._flush()
        with writing(self._path):
            text = json.dumps(asdict(record))
            checksum = note_checksum(self._schema, text.encode()).decode()
            self._parquet.add_key_value_metadata({PART_KEY.decode(): text, CHECKSUM_KEY.decode(): checksum})
            self._parquet.close()
            if is_url(self._path):
                read_part(self._partial)
            self._files.close()
        self._table.records[record.start] = record

    @property
    def rows(self) -> int:
        """Rows added so far."""
        return self._rows

    def abandon(self) -> None:
        """Leave nothing behind of a part that will not be finished."""
        with suppress(OSError, pa.ArrowException):
            self._parquet.close()
        error = RuntimeError("abandoned")
        self._files.__exit__(type(error), error, None)

    def _flush(self) -> None:
        if self._held:
            with writing(self._path):
                self._parquet.write_table(pa.concat_tables(self._held).combine_chunks())
        self._held, self._bytes = [], 0


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other passes out of a table's folder; a pass that was killed holds no lock.

    Raises:
        RedDinoError: another pass writes there now.
    """
    url = url_of(folder)
    if url is not None:
        with claimed_folder(url):
            yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder, f"another pass is writing to '{folder}': wait for it or stop it"):
        yield
