"""Columns of a table on disk, with each combination of their values held once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.combinations import combinations
from reddino.embedding.copies_file import read_copies
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.evaluation.question import Question
from reddino.foundations.stages import stage
from reddino.smears.choices import IDENTITIES
from reddino.smears.column_names import AT_BORDER
from reddino.smears.manifest import Manifest

#: The column that numbers the combinations.
NUMBER = "_combination"
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TableColumns:
    """Some columns of a table, without its vectors.

    The cells of a picture share their picture, slide, patient and often their label, so that these are few
    combinations of values, and memory holds 4 bytes a row. Where each row is a picture of its own, there are
    as many as rows.

    Attributes:
        combined: (k) the combinations in the order of their first rows, without vectors; the column NUMBER
            counts them.
        of_row: (n,) the combination of each row.
        rows_of: (k,) rows of each.
    """

    combined: Embeddings
    of_row: Codes
    rows_of: npt.NDArray[np.int64]

    def manifest(self) -> Manifest:
        """Return the combinations as the rows of a manifest."""
        names = [name for name in self.combined.table.column_names if name != NUMBER]
        return Manifest(self.combined.table.select(names), Path())


def question_columns(table: TableOnDisk, question: Question) -> TableColumns:
    """Read the columns that a question needs.

    Raises:
        RedDinoError: the table has no column of the labels or of the groups.
    """
    needed = [question.label, *([question.group_by] if question.group_by else [])]
    others = (AT_BORDER, question.source_column, question.split_column)
    return read_columns(table, needed, others)


def read_columns(table: TableOnDisk, needed: Sequence[str], others: Sequence[str] = ()) -> TableColumns:
    """Read the columns by which rows belong together, and further columns, a row group at a time.

    Args:
        table: on disk.
        needed: columns that it must have.
        others: that are read where it has them.

    Raises:
        RedDinoError: it lacks one that is needed.
    """
    table.require_columns(needed)
    wanted = dict.fromkeys(["path", *IDENTITIES, "source", *others, *needed])
    names = [name for name in wanted if name in table.schema.names]
    known: dict[tuple[Any, ...], int] = {}
    of_row = np.empty(len(table), np.int32)
    with stage("reading the columns") as advance:
        for block in table.blocks(names):
            codes, values = combinations(block.columns, names)
            numbers = np.array([known.setdefault(one, len(known)) for one in values], np.int32)
            of_row[block.start : block.start + len(block)] = numbers[codes]
            advance(block.start + len(block), len(table))
    columns = dict(zip(names, zip(*known, strict=True), strict=True)) if known else {}
    schema = pa.schema([table.schema.field(name) for name in names])
    held = pa.table({name: list(columns.get(name, ())) for name in names}, schema=schema)
    held = held.append_column(NUMBER, pa.array(np.arange(len(known))))
    empty = np.empty((len(known), 0), np.float32)
    combined = Embeddings(empty, held, table.meta, read_copies(table.folder))
    return TableColumns(combined, of_row, np.bincount(of_row, minlength=len(known)).astype(np.int64))
