"""Which rows of a table on disk are evaluated: all labelled ones, or a sample where these are too many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.copies_file import read_copies
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.evaluation.question import Question
from reddino.evaluation.row_facts import NONE, RowFacts, gather_facts
from reddino.evaluation.sampling import DrawnSample, draw_rows, least_rows
from reddino.evaluation.table_columns import TableColumns
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError

Indices = npt.NDArray[np.int64]

#: Bytes that the vectors of all labelled rows may take, as float32, before a sample of them is drawn.
MOST_BYTES = 4_000_000_000
#: Rows of that sample, if no other number is given.
SAMPLE_ROWS = 200_000


@dataclass(frozen=True)
class ChosenRows:
    """The rows of a table that a question is evaluated on.

    Attributes:
        rows: (m,) numbers of rows, sorted.
        facts: of all rows of the table.
        left_out: rows of the table that take no part.
        sample: what was drawn; None: these are all labelled rows.
    """

    rows: Indices
    facts: RowFacts
    left_out: int
    sample: DrawnSample | None

    @property
    def groups(self) -> list[str]:
        """Names (m,) of what stays on one side of a split, by way of rows that were not drawn too."""
        return [self.facts.groups[one] for one in self.facts.group_of[self._combinations].tolist()]

    @property
    def apart(self) -> list[str]:
        """Names (m,) of what sides that are given must not share, the same way."""
        return [self.facts.apart[one] for one in self.facts.apart_of[self._combinations].tolist()]

    @property
    def _combinations(self) -> npt.NDArray[np.int32]:
        return self.facts.combination[self.rows]


def fits(rows: int, dim: int) -> bool:
    """Return whether vectors (rows, dim) are held in memory unasked."""
    return rows * dim * np.dtype(np.float32).itemsize <= MOST_BYTES


def choose_rows(
    columns: TableColumns, question: Question, *, dim: int, rows: int | None = None
) -> ChosenRows:
    """Choose the rows that a question is evaluated on, without reading a vector.

    Args:
        columns: what `question_columns` read of a table.
        question: its labels, groups and protocol; its seed is that of the sample.
        dim: length of the vectors.
        rows: at most; None: all whose vectors take MOST_BYTES, or SAMPLE_ROWS of more.

    Raises:
        RedDinoError: no row has a label, one has no group, or fewer rows than there are classes.
    """
    facts = gather_facts(columns, question)
    taking = int(columns.rows_of[facts.class_of != NONE].sum())
    if rows is None:
        rows = taking if fits(taking, dim) else SAMPLE_ROWS
    left_out = len(columns.of_row) - taking
    if taking <= rows:
        every = np.flatnonzero(facts.class_of[facts.combination] != NONE)
        return ChosenRows(every.astype(np.int64), facts, left_out, None)
    drawn, sample = _drawn(facts, question, rows)
    return ChosenRows(drawn, facts, left_out, sample)


def read_rows(table: TableOnDisk, rows: Indices) -> Embeddings:
    """Return rows of a table with all their columns and float32 vectors; only their row groups are read."""
    vectors = table.take_vectors(rows).astype(np.float32, copy=False)
    return Embeddings(vectors, table.take(rows), dict(table.meta), read_copies(table.folder))


def _drawn(facts: RowFacts, question: Question, rows: int) -> tuple[Indices, DrawnSample]:
    """Draw rows of those that take part, each class (of each side) in its proportion."""
    sides = int(facts.side_of.max(initial=0)) + 1
    strata = np.where(facts.class_of == NONE, NONE, facts.class_of * sides + facts.side_of)
    count = len(np.unique(strata[strata != NONE]))
    if rows < count:
        raise RedDinoError(
            f"{counted(rows, 'row')} cannot hold cells of each of {count:,} classes and sides: draw more"
        )
    groups = facts.group_of[facts.combination]
    drawn = draw_rows(strata[facts.combination], groups, rows, question.seed)
    return drawn, DrawnSample(
        rows=len(drawn),
        of=int((facts.class_of[facts.combination] != NONE).sum()),
        groups=len(np.unique(groups[drawn])),
        of_groups=len(facts.groups),
        seed=question.seed,
        strata="class" if sides == 1 else f"class of a {_side_name(question)}",
        least=least_rows(rows, count),
        by_class=_by_class(facts, drawn),
    )


def _by_class(facts: RowFacts, drawn: Indices) -> dict[str, tuple[int, int]]:
    """Return drawn rows, and all, of each class."""
    classes = facts.class_of[facts.combination]
    all_rows = np.bincount(classes[classes != NONE], minlength=len(facts.classes)).tolist()
    of_sample = np.bincount(classes[drawn], minlength=len(facts.classes)).tolist()
    return dict(zip(facts.classes, zip(of_sample, all_rows, strict=True), strict=True))


def _side_name(question: Question) -> str:
    return "side of the split" if question.protocol == "fixed" else question.source_column
