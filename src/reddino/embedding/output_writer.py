"""The end of the pass: turn the network's output into rows, and rows into the parts of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.finite import Mask, finite_rows, why_left_out
from reddino.embedding.open_part import PartEnd
from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_rows import Pooler, RowColumns, TableRows
from reddino.embedding.table_writer import PartWriter, TableWriter
from reddino.embedding.view_encoder import Vectors
from reddino.smears.column_names import AT_BORDER
from reddino.views.placing import Squares


@dataclass(frozen=True)
class EmbeddedBatch:
    """The network's output (n, ...) for squares (n,) of the part whose first image is number `part`.

    `extra` holds further columns (n,) of the squares, where each has a row of its own.
    """

    part: int
    squares: Squares
    output: Vectors
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class OutputWriter:
    """Pools and writes what it is called with, one part after the other.

    Vectors that are not finite, or not as numbers of the table's type, never become rows: their image is
    listed among the failures, with the number of its rows that were left out.

    Args:
        writer: of the table.
        columns: of the rows, without their vectors.
        pooler: that makes the rows.
        names: of the images, by number.
    """

    def __init__(
        self, writer: TableWriter, columns: RowColumns, pooler: type[Pooler], names: Sequence[str]
    ) -> None:
        self._writer = writer
        self._names = names
        self._lost: dict[int, tuple[int, str]] = {}
        self._columns = columns
        self._pooler_of_a_part = pooler
        self._pooler = pooler()
        self._part: PartWriter | None = None
        self._at_border = 0

    def __call__(self, item: EmbeddedBatch | PartEnd) -> None:
        """Take the next batch of a part, or its end, upon which the part appears."""
        if isinstance(item, PartEnd):
            self._finish(item)
            return
        part = self._open(item.part)
        if self._pooler.placed:  # a view is kept whole or not at all; of a field the mean shows what is wrong
            item = self._finite(item)
        for rows in self._pooler.add(item.squares, item.output):
            self._append(part, replace(rows, extra={**rows.extra, **item.extra}) if item.extra else rows)

    def abandon(self) -> None:
        """Drop a part that was begun and will not be finished."""
        if self._part is not None:
            self._part.abandon()
        self._part = None

    def _open(self, start: int) -> PartWriter:
        if self._part is None:
            self._part = self._writer.part(start)
            self._pooler = self._pooler_of_a_part()
            self._lost = {}
            self._at_border = 0
        return self._part

    def _finite(self, item: EmbeddedBatch) -> EmbeddedBatch:
        """Return the batch without the squares whose output cannot be stored."""
        kept = self._note_lost(item.squares, item.output)
        if kept.all():
            return item
        extra = {name: values[kept] for name, values in item.extra.items()}
        return replace(item, squares=item.squares[kept], output=item.output[kept], extra=extra)

    def _append(self, part: PartWriter, rows: TableRows) -> None:
        if not self._pooler.placed and not self._note_lost(rows.squares, rows.vectors).all():
            return  # the one row of a field
        if self._pooler.placed:
            self._at_border += int(np.nansum(rows.squares[AT_BORDER]))
        part.append(self._columns.of(rows), rows.vectors)

    def _note_lost(self, squares: Squares, vectors: Vectors) -> Mask:
        """Return which squares (n,) have finite output (n, ...), and note the others by their image."""
        dtype = self._writer.meta["dtype"]
        kept = finite_rows(vectors, dtype)
        for image in np.unique(squares["image"][~kept]).tolist():
            lost = ~kept & (squares["image"] == image)
            before = self._lost.get(image, (0, ""))[0]
            self._lost[image] = (before + int(lost.sum()), why_left_out(vectors[lost], dtype))
        return kept

    def _failures(self) -> tuple[tuple[str, str], ...]:
        """Return (path, reason) of the images with rows that were left out."""
        return tuple(
            (self._names[image], f"{count} of its vectors left out, {why}")
            for image, (count, why) in sorted(self._lost.items())
        )

    def _finish(self, end: PartEnd) -> None:
        start, stop = end.images
        part = self._open(start)
        for rows in self._pooler.end():
            self._append(part, rows)
        part.finish(
            PartRecord(
                start,
                stop,
                part.rows,
                end.views,
                end.dropped,
                (*end.failures, *self._failures()),
                hashes=end.hashes,
                contents=end.contents,
                not_finite=sum(count for count, _ in self._lost.values()),
                at_border=self._at_border,
            )
        )
        self._part = None
