"""What a table holds, read from the notes of its parts and a few of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reddino.embedding.part_files import uncovered
from reddino.embedding.table_on_disk import TableOnDisk, open_table
from reddino.embedding.table_shares import shares_sentence
from reddino.foundations.stores.anywhere import byte_size

#: Columns whose values are counted; all but the source's are listed by source.
COUNTED = ("source", "slide", "patient", "label")


@dataclass(frozen=True)
class TableInfo:
    """What a table holds.

    Attributes:
        folder: of the table.
        rows: views, fields or tokens.
        parts: files.
        bytes: of these on disk.
        missing: images that its pass has not come to.
        columns: types by name, without the vectors.
        sources: rows by source; "" where none is named.
        counts: how many slides, patients and labels there are, by the name of the column.
        meta: model, weights_hash, pooling, view, preprocessing, dim, dtype, images, provenance.
    """

    folder: Path
    rows: int
    parts: int
    bytes: int
    missing: int
    columns: Mapping[str, str]
    sources: Mapping[str, int]
    counts: Mapping[str, int]
    meta: Mapping[str, Any]

    @property
    def whole(self) -> bool:
        """Whether no image of it is missing."""
        return not self.missing

    @property
    def shares(self) -> str:
        """Which shares of a collection it holds alone, such as 'shares 1, 2 of 8'; "" where not of shares."""
        return shares_sentence(self.meta)

    @property
    def gigabytes_in_memory(self) -> float:
        """What its vectors take in commands that hold them all, as float32."""
        return self.rows * int(self.meta["dim"]) * 4 / 1e9


def table_info(folder: str | Path) -> TableInfo:
    """Return what a table holds, finished or not; no vector is read.

    Raises:
        RedDinoError: there is no table.
    """
    table = open_table(folder, partial=True)
    sources, counts = _count(table)
    left = uncovered(table.folder, table.records, int(table.meta["images"]))
    return TableInfo(
        folder=table.folder,
        rows=len(table),
        parts=len(table.paths),
        bytes=sum(byte_size(path) for path in table.paths),
        missing=sum(stop - start for start, stop in left),
        columns={field.name: str(field.type) for field in table.schema},
        sources=sources,
        counts=counts,
        meta=table.meta,
    )


def _count(table: TableOnDisk) -> tuple[dict[str, int], dict[str, int]]:
    """Return rows by source, and the number of different slides, patients and labels."""
    names = [name for name in COUNTED if name in table.schema.names]
    sources: Counter[str] = Counter()
    values: dict[str, set[tuple[str, str]]] = {name: set() for name in names if name != "source"}
    for block in table.blocks(names):
        grouped = block.columns.group_by(names).aggregate([([], "count_all")]) if names else block.columns
        for row in grouped.to_pylist():
            source = row.get("source") or ""
            sources[source] += row["count_all"]
            for name, found in values.items():
                if row[name] not in (None, ""):
                    found.add(("" if name == "label" else source, row[name]))
    return dict(sources.most_common()), {name: len(found) for name, found in values.items()}
