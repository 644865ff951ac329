"""Write a table that is made of the parts of others, part by part, so that a killed command continues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.part_files import PartRecord, finished_parts, read_part
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.table_writer import TableWriter
from reddino.foundations.stages import stage
from reddino.smears.column_names import AT_BORDER

Mask = npt.NDArray[np.bool_]

#: Rows of a part that is joined of smaller ones, about; a part is never divided.
PART_ROWS = 65_536


@dataclass(frozen=True)
class Piece:
    """Rows of one part that go into a new table.

    Attributes:
        table: that the part belongs to.
        part: its number, from 0.
        kept: (n,) which of its rows; None: all.
        offset: added to the numbers of its images.
    """

    table: TableOnDisk
    part: int
    kept: Mask | None = None
    offset: int = 0

    @property
    def record(self) -> PartRecord:
        """What the part records of its images."""
        return self.table.records[self.part]

    @property
    def rows(self) -> int:
        """Rows that go into the new table."""
        return self.record.rows if self.kept is None else int(self.kept.sum())

    @property
    def stop(self) -> int:
        """Number of the image after its last, in the new table."""
        return self.record.stop + self.offset

    @property
    def start(self) -> int:
        """Number of its first image in the new table."""
        return self.record.start + self.offset


def pieces_of(table: TableOnDisk, kept: Mask | None = None, offset: int = 0) -> Iterator[Piece]:
    """Yield all parts of a table.

    Args:
        table: the table.
        kept: (n,) which of its rows go into the new one; None: all.
        offset: added to the numbers of its images.
    """
    for part in range(len(table.paths)):
        rows = slice(int(table.starts[part]), int(table.starts[part + 1]))
        yield Piece(table, part, None if kept is None else kept[rows], offset)


def joined(pieces: Iterator[Piece], part_rows: int = PART_ROWS) -> Iterator[list[Piece]]:
    """Yield consecutive pieces that together make a part of about `part_rows` rows.

    Pieces whose parts describe their table otherwise stay apart: they are of before it grew.
    """
    held: list[Piece] = []
    for piece in pieces:
        if held and (
            sum(one.rows for one in held) + piece.rows > part_rows or _meta_of(held[-1]) != _meta_of(piece)
        ):
            yield held
            held = []
        held.append(piece)
    if held:
        yield held


def _meta_of(piece: Piece) -> Mapping[str, Any]:
    return piece.table.metas[piece.part]


def require_own_parts(out: Path, meta: Mapping[str, Any]) -> None:
    """Refuse a folder with parts of another table, before anything is written there.

    Raises:
        RedDinoError: names what differs.
    """
    for path in finished_parts(out).values():
        refuse_other_table(out, read_part(path)[0], meta)


def write_parts(
    out: Path, meta: Mapping[str, Any], schema: pa.Schema, parts: Sequence[list[Piece]], total: int
) -> int:
    """Write the parts that a folder lacks of a table; returns how many rows it has then.

    Args:
        out: folder of the new table; the caller keeps others out.
        meta: of the table.
        schema: of its columns next to the vectors.
        parts: the pieces of each.
        total: rows of all parts of the table, for its progress.

    Raises:
        RedDinoError: the folder holds parts of another table.
    """
    writer = TableWriter(out, meta, schema)
    rows = 0
    with stage("writing the table") as advance:
        for pieces in parts:
            if pieces[0].start not in writer.records:
                _write_part(writer, pieces, schema)
            rows += writer.records[pieces[0].start].rows
            advance(rows, total)
    return rows


def _write_part(writer: TableWriter, pieces: Sequence[Piece], schema: pa.Schema) -> None:
    part = writer.part(pieces[0].start)
    at_border = 0
    try:
        for piece in pieces:
            first = int(piece.table.starts[piece.part])
            held = [name for name in schema.names if name in piece.table.schema.names]
            for block in piece.table.blocks(held, vectors=True, parts=[piece.part]):
                columns, vectors = block.columns, block.vectors
                if piece.kept is not None:
                    mine = piece.kept[block.start - first : block.start - first + len(block)]
                    columns, vectors = columns.filter(pa.array(mine)), vectors[mine]
                if len(vectors):
                    part.append(_completed(columns, schema), vectors)
                    at_border += _at_border(columns)
        part.finish(_joined_record(pieces, part.rows, at_border))
    except BaseException:
        part.abandon()
        raise


def _completed(columns: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return columns with those of a schema that they lack, as missing values, and with its types."""
    for field in schema:
        if field.name not in columns.column_names:
            columns = columns.append_column(field, pa.nulls(len(columns), field.type))
        elif columns.schema.field(field.name).type != field.type:
            given: Any = columns.column(field.name)
            columns = columns.set_column(
                columns.column_names.index(field.name), field, given.cast(field.type)
            )
    return columns


def _at_border(columns: pa.Table) -> int:
    if AT_BORDER not in columns.column_names:
        return 0
    return sum(value is True for value in columns.column(AT_BORDER).to_pylist())


def _joined_record(pieces: Sequence[Piece], rows: int, at_border: int) -> PartRecord:
    """Return what a part records that is made of pieces; what a choice of rows left out is not counted."""
    whole = [piece.record for piece in pieces if piece.kept is None]
    dropped: dict[str, int] = {}
    for record in whole:
        for label, count in record.dropped.items():
            dropped[label] = dropped.get(label, 0) + count
    return PartRecord(
        pieces[0].start,
        pieces[-1].stop,
        rows,
        sum(piece.rows if piece.kept is not None else piece.record.views for piece in pieces),
        dropped,
        tuple(failure for record in whole for failure in record.failures),
        hashes={key + one.offset: value for one in pieces for key, value in one.record.hashes.items()},
        not_finite=sum(record.not_finite for record in whole),
        contents={key + one.offset: value for one in pieces for key, value in one.record.contents.items()},
        at_border=at_border,
    )
