"""The end of the pass: the network's output becomes rows, and rows become the parts of a table."""

from __future__ import annotations

from dataclasses import dataclass

from reddino.embed.encoder import Vectors
from reddino.embed.parts import PartEnd
from reddino.embed.rows import Pooler, RowColumns, Rows
from reddino.embed.table import PartRecord
from reddino.embed.table_writer import PartWriter, TableWriter
from reddino.smears.image_views import Squares


@dataclass(frozen=True)
class Embedded:
    """What the network says of squares (n,) of the part whose first image is number `part`: (n, ...)."""

    part: int
    squares: Squares
    output: Vectors


class TableFiller:
    """Pools and writes what it is called with, one part after the other."""

    def __init__(self, writer: TableWriter, columns: RowColumns, pooler: type[Pooler]) -> None:
        self._writer = writer
        self._columns = columns
        self._pooler_of_a_part = pooler
        self._pooler = pooler()
        self._part: PartWriter | None = None

    def __call__(self, item: Embedded | PartEnd) -> None:
        """Take the next batch of a part, or its end, upon which the part appears."""
        if isinstance(item, PartEnd):
            self._finish(item)
            return
        part = self._open(item.part)
        for rows in self._pooler.add(item.squares, item.output):
            self._append(part, rows)

    def abandon(self) -> None:
        """Drop a part that was begun and will not be finished."""
        if self._part is not None:
            self._part.abandon()
        self._part = None

    def _open(self, start: int) -> PartWriter:
        if self._part is None:
            self._part = self._writer.part(start)
            self._pooler = self._pooler_of_a_part()
        return self._part

    def _append(self, part: PartWriter, rows: Rows) -> None:
        part.append(self._columns.of(rows), rows.vectors)

    def _finish(self, end: PartEnd) -> None:
        start, stop = end.images
        part = self._open(start)
        for rows in self._pooler.end():
            self._append(part, rows)
        part.finish(
            PartRecord(start, stop, part.rows, end.views, end.dropped, end.failures, hashes=end.hashes)
        )
        self._part = None
