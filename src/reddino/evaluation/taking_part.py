"""Which rows of a table a question is about: labelled, on a side of the split, and of whole cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.question import Question
from reddino.evaluation.splits import on_a_side
from reddino.foundations.counting import counted

Mask = npt.NDArray[np.bool_]


def labelled_and_cut(emb: Embeddings, question: Question) -> tuple[Embeddings, list[str], Mask]:
    """Return the labelled rows on a side of the split, their classes, and which of them a border cuts.

    Nothing counts as cut where the question keeps such cells, or where the border cuts all of them.
    """
    labelled, labels = labelled_rows(_on_a_side(question, emb), question.label, question.classes)
    cut = cells_at_border(labelled.table)
    if question.keep_border or cut.all():
        cut = np.zeros(len(labelled), np.bool_)
    return labelled, labels, cut


def cut_notes(cut: int, gone: Sequence[str]) -> list[str]:
    """Count the cells that a border cuts, and name the classes that lost all of theirs."""
    lost = f", and with them all of {', '.join(map(repr, gone))}" if gone else ""
    cells = counted(cut, "labelled cell")
    return [f"{cells} left out, cut by the border of their image (--keep-border){lost}."] if cut else []


def _on_a_side(question: Question, emb: Embeddings) -> Embeddings:
    """Return the rows that are on a side of the split: all, but for a column's split that leaves some out."""
    if question.protocol != "fixed" or question.test_values:
        return emb
    if question.split_column not in emb.table.column_names:
        return emb  # which planning the split will refuse
    inside = on_a_side(emb.names(question.split_column))
    return emb.select(inside) if inside.any() else emb
