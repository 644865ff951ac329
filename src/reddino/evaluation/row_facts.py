"""What a question needs of every row of a table, by the combinations of values that rows share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.leaks import groups_of, kept_apart, require_groups
from reddino.evaluation.question import Question
from reddino.evaluation.splits import sides_of
from reddino.evaluation.table_columns import NUMBER, TableColumns
from reddino.evaluation.taking_part import labelled_and_cut

Indices = npt.NDArray[np.int64]
#: Of rows that take no part.
NONE = -1


@dataclass(frozen=True)
class RowFacts:
    """What is known of every row of a table.

    Attributes:
        combination: (n,) number of the combination of values of each row.
        class_of: (k,) number of the class of a combination; NONE: it takes no part.
        group_of: (k,) number of what stays on one side of a split.
        apart_of: (k,) number of what sides that are given must not share.
        side_of: (k,) number of the side that a column gives; 0 where none does.
        classes, groups, apart: names by number.
        at_border: labelled cells that take no part since a border cuts them.
        gone: classes that so lost all of their cells.
    """

    combination: npt.NDArray[np.int32]
    class_of: Indices
    group_of: Indices
    apart_of: Indices
    side_of: Indices
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    apart: tuple[str, ...]
    at_border: int
    gone: tuple[str, ...]


def gather_facts(columns: TableColumns, question: Question) -> RowFacts:
    """Return what a question needs of every row.

    Raises:
        RedDinoError: no row has a label, or one that takes part has no group.
    """
    emb, labels, cut = labelled_and_cut(columns.combined, question)
    number = emb.numbers(NUMBER).astype(np.int64)
    kept, own = emb.select(~cut), number[~cut]
    if question.group_by is not None:
        nameless = np.array([not value for value in kept.names(question.group_by)], np.bool_)
        counts = columns.rows_of[own]
        require_groups(question.group_by, int(counts[nameless].sum()), int(counts.sum()))
    names = np.asarray(labels)
    classes = sorted(set(names[~cut].tolist()))
    groups = groups_of(kept, question.group_by, question.join_sources)
    apart = kept_apart(kept, question.join_sources)
    size = len(columns.rows_of)
    return RowFacts(
        columns.of_row,
        _spread(names[~cut].tolist(), classes, own, size),
        _spread(groups, names_of_groups := tuple(dict.fromkeys(groups)), own, size),
        _spread(apart, names_apart := tuple(dict.fromkeys(apart)), own, size),
        _spread(sides := _sides(question, kept), tuple(dict.fromkeys(sides)), own, size),
        tuple(classes),
        names_of_groups,
        names_apart,
        int(columns.rows_of[number[cut]].sum()),
        tuple(sorted(set(names[cut].tolist()) - set(classes))),
    )


def _spread(values: Sequence[str], names: Sequence[str], rows: Indices, size: int) -> Indices:
    """Return the place (size,) in `names` of the value that each of `rows` has; NONE elsewhere."""
    place = {name: number for number, name in enumerate(names)}
    found = np.full(size, NONE, np.int64)
    found[rows] = [place[value] for value in values]
    return found


def _sides(question: Question, emb: Embeddings) -> list[str]:
    """Return the side (k,) that a column gives each combination, in protocols whose sides are given."""
    if question.protocol in ("cross-source", "leave-one-source-out"):
        if question.source_column in emb.table.column_names:
            return emb.names(question.source_column)
    elif question.protocol == "fixed" and question.split_column in emb.table.column_names:
        values = emb.names(question.split_column)
        return values if question.test_values else sides_of(values)
    return [""] * len(emb)
