"""Read an embedding table: a folder of Parquet parts with one row per view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.copies_file import read_copies
from reddino.embedding.embeddings import VECTOR_COLUMN, Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.part_files import (
    PartRecord,
    contents_digest,
    finished_parts,
    latest,
    read_part,
    readable,
    uncovered,
)
from reddino.embedding.seen_file import read_seen_file
from reddino.foundations.errors import RedDinoError
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
    stored = stored_table(path, partial=partial)
    folder, parts, records, meta = stored.folder, stored.parts, stored.records, dict(stored.meta)
    vectors = np.empty((sum(record.rows for record in records), int(meta["dim"])), dtype=np.float32)
    columns: list[pa.Table] = []
    start = 0
    for part, record in watched(list(zip(parts, records, strict=True)), "reading the table"):
        with readable(part) as file:
            require_size(file, part)
            table = file.read()
            table.validate(full=True)
            vectors[start : start + record.rows] = _vectors(table, vectors.shape[1])
        columns.append(table.drop_columns([VECTOR_COLUMN]).replace_schema_metadata(None))
        start += record.rows
    with reading_parquet(folder, "as one table"):
        table = pa.concat_tables(alike_columns(columns), promote_options="permissive")
    read = Embeddings(vectors, table, meta, read_copies(folder))
    require_finite(read)
    return read


@dataclass(frozen=True)
class StoredTable:
    """A finished embedding table on disk, of which parts are read one after another.

    Attributes:
        folder: of the table.
        parts: its files, in order.
        records: what each part records.
        meta: as `Embeddings.meta`.
    """

    folder: Path
    parts: tuple[Path, ...]
    records: tuple[PartRecord, ...]
    meta: Mapping[str, Any]

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
        for part, record in watched(list(zip(self.parts, self.records, strict=True)), name):
            with readable(part) as file:
                require_size(file, part)
                names = file.schema_arrow.names
                table = file.read(columns=[name for name in names if columns is None or name in columns])
                table.validate(full=True)
                vectors = np.empty((record.rows, 0), np.float32)
                if columns is None:
                    vectors = _vectors(table, int(self.meta["dim"]))
                    table = table.drop_columns([VECTOR_COLUMN])
            read = Embeddings(vectors, table.replace_schema_metadata(None), self.meta)
            require_finite(read)
            yield read


def stored_table(path: str | Path, *, partial: bool = False) -> StoredTable:
    """Open an embedding table without reading its rows.

    Raises:
        RedDinoError: no table there, or it is unfinished and `partial` is not set.
    """
    folder = Path(path)
    parts = list(finished_parts(folder).values())
    if not parts:
        raise RedDinoError(
            f"no embedding table at '{folder}': it holds no part-*.parquet; run `reddino embed` first"
        )
    described = [read_part(part) for part in parts]
    meta, records = latest(meta for meta, _ in described), [record for _, record in described]
    for part, (found, _) in zip(parts, described, strict=True):
        refuse_other_table(part, found, meta)
    missing = uncovered(folder, records, int(meta["images"]))
    if missing and not partial:
        left = sum(stop - start for start, stop in missing)
        raise RedDinoError(
            f"the embedding table '{folder}' lacks {left} of {meta['images']} images: "
            "run the same embed command again to finish it"
        )
    described_meta = {
        **meta,
        "dropped": _dropped(records),
        "contents": contents_digest(records),
        "seen": read_seen_file(folder),
    }
    return StoredTable(folder, tuple(parts), tuple(records), described_meta)


def alike_columns(parts: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the columns of parts: which cells a border cuts is told of all of them, or of none.

    Parts of before lack that column, and a table may have been continued since.
    """
    told = [AT_BORDER in part.column_names for part in parts]
    if all(told) or not any(told):
        return list(parts)
    return [
        part.drop_columns([AT_BORDER]) if tells else part for part, tells in zip(parts, told, strict=True)
    ]


def _dropped(records: Iterable[PartRecord]) -> dict[str, int]:
    """Count the views that were left out since they leave their image, by the label of their row."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.dropped)
    return dict(sorted(counts.items()))


def _vectors(table: pa.Table, dim: int) -> npt.NDArray[np.floating[Any]]:
    """Return the vectors (n, d) of a part."""
    numbers = pc.list_flatten(table.column(VECTOR_COLUMN))
    flat: npt.NDArray[np.floating[Any]] = numbers.to_numpy()
    return flat.reshape(table.num_rows, dim)
