"""An embedding table that stays on disk: columns and vectors are read on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embedding.column_types import joined_schema
from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.copies_file import read_copies
from reddino.embedding.embeddings import OWN_COLUMNS, VECTOR_COLUMN, Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.part_files import (
    PartRecord,
    contents_digest,
    finished_parts,
    latest,
    read_parts,
    readable,
    uncovered,
)
from reddino.embedding.seen_file import read_seen_file
from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import reading_parquet, require_size
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stages import watched
from reddino.foundations.stores.anywhere import open_file
from reddino.smears.column_names import AT_BORDER
from reddino.smears.manifest import Manifest

Stored = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

#: Bytes at the end of a Parquet file: the length of its footer, and four letters.
_TAIL = 8


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a table, a row group of one of its parts.

    Attributes:
        start: number of its first row in the table.
        part: number of the part, from 0.
        columns: (n rows) those that were requested.
        vectors: (n, d) as they are stored; (n, 0) where they were not requested.
    """

    start: int
    part: int
    columns: pa.Table
    vectors: Stored

    def __len__(self) -> int:
        return self.columns.num_rows if self.columns.num_columns else len(self.vectors)


@dataclass(frozen=True)
class TableOnDisk:
    """A table whose parts are read when they are needed; memory holds a row group at a time.

    Attributes:
        folder: of the table.
        paths: of its parts, in order.
        records: what the parts record of their images.
        metas: how the parts describe the table; they differ where it grew.
        meta: as `Embeddings.meta`, of its last growth.
    """

    folder: Path
    paths: tuple[Path, ...]
    records: tuple[PartRecord, ...]
    metas: tuple[dict[str, Any], ...]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> Indices:
        """Return the number (parts + 1,) of the first row of each part, and of all rows."""
        rows = np.array([record.rows for record in self.records], np.int64)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(rows)])

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the columns next to the vectors, as the parts have them together."""
        found: list[pa.Schema] = []
        for path in self.paths:
            with readable(path) as file:
                schema = file.schema_arrow.remove_metadata()
            found.append(schema.remove(schema.get_field_index(VECTOR_COLUMN)))
        held = [AT_BORDER in schema.names for schema in found]
        # All parts hold which cells a border cuts, or none does.
        if any(held) and not all(held):
            found = [
                one.remove(one.get_field_index(AT_BORDER)) if AT_BORDER in one.names else one for one in found
            ]
        with reading_parquet(self.folder, "as one table"):
            return joined_schema(found)

    def require_columns(self, names: Iterable[str]) -> None:
        """Refuse names that are no columns.

        Raises:
            RedDinoError: names the first, and the columns that there are.
        """
        missing = next((name for name in names if name not in self.schema.names), None)
        if missing is not None:
            have = ", ".join(self.schema.names)
            raise RedDinoError(f"the embedding table has no column '{missing}'; it has: {have}")

    def blocks(
        self,
        names: Sequence[str] = (),
        *,
        vectors: bool = False,
        parts: Sequence[int] | None = None,
        among: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[Block]:
        """Yield the row groups of the table, or of some of its parts, with some columns.

        Args:
            names: of columns; where a part lacks one, it is missing in all its rows.
            vectors: read the vectors too.
            parts: numbers of parts, from 0.
            among: (n,) rows of the table; row groups without one are passed over. None: all.
        """
        for part in range(len(self.paths)) if parts is None else parts:
            with readable(self.paths[part]) as file:
                require_size(file, self.paths[part], _read_of(file, names, vectors=vectors))
                start = int(self.starts[part])
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    if among is None or among[start:stop].any():
                        yield self._block(file, group, names, vectors=vectors, start=start, part=part)
                    start = stop

    def read(
        self, columns: Sequence[str] | None = None, name: str = "reading the table"
    ) -> Iterator[Embeddings]:
        """Yield the rows of each part, with vectors as they are stored: float16 or float32.

        Args:
            columns: to read, of those that a part has, without vectors; None: all, with vectors.
            name: of this stage of the work.

        Raises:
            RedDinoError: a part is damaged, or vectors of it are not finite.
        """
        for part, record in watched(list(zip(self.paths, self.records, strict=True)), name):
            with readable(part) as file:
                require_size(file, part)
                names = file.schema_arrow.names
                table = file.read(columns=[name for name in names if columns is None or name in columns])
                table.validate(full=True)
                vectors: Stored = np.empty((record.rows, 0), np.float32)
                if columns is None:
                    vectors = vectors_of(table, int(self.meta["dim"]))
                    table = table.drop_columns([VECTOR_COLUMN])
            read = Embeddings(vectors, table.replace_schema_metadata(None), self.meta)
            require_finite(read)
            yield read

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return some columns of all rows; no vector is read."""
        self.require_columns(names)
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.concat_tables([schema.empty_table(), *(block.columns for block in self.blocks(names))])

    def manifest(self) -> Manifest:
        """Return the rows as a manifest, as `Embeddings.manifest` does; no vector is read."""
        return Manifest(self.columns([name for name in self.schema.names if name not in OWN_COLUMNS]), Path())

    def without_vectors(self) -> Embeddings:
        """Return the rows with all columns, and vectors (n, 0): none is read."""
        columns = self.columns(self.schema.names)
        empty = np.empty((len(self), 0), np.float32)
        return Embeddings(empty, columns, dict(self.meta), read_copies(self.folder))

    def take(self, rows: Indices, names: Sequence[str] | None = None) -> pa.Table:
        """Return columns of rows (n,), in the order of `rows`; only their row groups are read.

        Args:
            rows: numbers of rows.
            names: of columns; None: all.
        """
        names = self.schema.names if names is None else names
        found = [block.columns for block in self._blocks_of(rows, names)]
        # Rows lie in `found` in the order of the table, each once.
        places = np.searchsorted(np.unique(rows), rows)
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.concat_tables([schema.empty_table(), *found]).combine_chunks().take(places)

    def take_vectors(self, rows: Indices) -> Stored:
        """Return the vectors (n, d) of rows (n,), as they are stored; only their row groups are read."""
        found = [block.vectors for block in self._blocks_of(rows, (), vectors=True)]
        places = np.searchsorted(np.unique(rows), rows)
        stored: Stored = np.concatenate(found or [self._no_vectors()])[places]
        return stored

    def fingerprint(self) -> str:
        """Return 16 hex digits that change with the rows: over the names and footers of the parts.

        A footer holds sizes, places and limits of every column, and what the part records of its images.
        Copies of a table have the same.
        """
        return hash_bytes(*(chunk for path in self.paths for chunk in (path.name.encode(), _footer(path))))

    def _no_vectors(self) -> Stored:
        return np.empty((0, int(self.meta["dim"])), self.meta["dtype"])

    def _blocks_of(self, rows: Indices, names: Sequence[str], *, vectors: bool = False) -> Iterator[Block]:
        """Yield what the row groups of some rows hold of them, in the order of the table."""
        wanted = np.unique(np.asarray(rows, np.int64))
        parts = np.unique(np.searchsorted(self.starts, wanted, side="right") - 1)
        for part in parts.tolist():
            with readable(self.paths[part]) as file:
                require_size(file, self.paths[part], _read_of(file, names, vectors=vectors))
                start = int(self.starts[part])
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    mine = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)] - start
                    if len(mine):
                        block = self._block(file, group, names, vectors=vectors, start=start, part=part)
                        kept = block.columns.take(mine) if names else block.columns
                        yield Block(start, part, kept, block.vectors[mine] if vectors else block.vectors)
                    start = stop

    def _block(
        self, file: Any, group: int, names: Sequence[str], *, vectors: bool, start: int, part: int
    ) -> Block:
        wanted = _read_of(file, names, vectors=vectors)
        held = [name for name in wanted if name != VECTOR_COLUMN]
        read = file.read_row_group(group, columns=wanted)
        read.validate(full=True)
        count = file.metadata.row_group(group).num_rows
        columns = {
            name: read.column(name).cast(self.schema.field(name).type)
            if name in held
            else pa.nulls(count, self.schema.field(name).type)
            for name in names
        }
        stored = vectors_of(read, int(self.meta["dim"])) if vectors else np.empty((count, 0), np.float32)
        schema = pa.schema([self.schema.field(name) for name in names])
        return Block(start, part, pa.table(columns, schema=schema), stored)


def open_table(path: str | Path, *, partial: bool = False) -> TableOnDisk:
    """Open an embedding table without reading its rows.

    Args:
        path: the folder of its parts.
        partial: accept a table whose pass has not finished.

    Raises:
        RedDinoError: no table there, it is unfinished, or its parts do not belong together.
    """
    folder = Path(path)
    parts = list(finished_parts(folder).values())
    if not parts:
        raise RedDinoError(
            f"no embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first"
        )
    described = list(read_parts(parts))
    metas, records = tuple(meta for meta, _ in described), tuple(record for _, record in described)
    meta = latest(metas)
    for part, found in zip(parts, metas, strict=True):
        refuse_other_table(part, found, meta)
    missing = uncovered(folder, records, int(meta["images"]))
    if missing and not partial:
        left = sum(stop - start for start, stop in missing)
        raise RedDinoError(
            f"the embedding table '{folder}' lacks {left} of {meta['images']} images: "
            f"run the same {_maker(meta)} command again to finish it"
        )
    about = {
        **meta,
        "dropped": _dropped(records),
        "contents": contents_digest(records),
        "seen": read_seen_file(folder),
    }
    return TableOnDisk(folder, tuple(parts), records, metas, about)


def vectors_of(table: pa.Table, dim: int) -> Stored:
    """Return the vectors (n, d) of rows with their column of vectors, as they are stored."""
    numbers = pc.list_flatten(table.column(VECTOR_COLUMN))
    flat: Stored = numbers.to_numpy()
    return flat.reshape(table.num_rows, dim)


def _read_of(file: Any, names: Sequence[str], *, vectors: bool) -> list[str]:
    """Return which columns are read of a part for those of some names, and vectors."""
    return [
        *(name for name in names if name in file.schema_arrow.names),
        *([VECTOR_COLUMN] if vectors else []),
    ]


def _maker(meta: dict[str, Any]) -> str:
    """Return the name of the command that makes a table of such metadata."""
    derived = meta.get("derived")
    return str(derived.get("verb", "table")) if isinstance(derived, dict) else "embed"


def _dropped(records: Iterable[PartRecord]) -> dict[str, int]:
    """Count the views that were left out since they leave their image, by the label of their row."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.dropped)
    return dict(sorted(counts.items()))


def _footer(path: Path) -> bytes:
    """Return the footer of a Parquet file."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(size - _TAIL)
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - _TAIL - length))
        return file.read(length)
