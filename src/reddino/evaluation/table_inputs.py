"""The tables of an evaluation: read whole, or the rows of large ones that a question is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reddino.embedding.comparable import require_same_views_meta
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_on_disk import TableOnDisk, open_table
from reddino.evaluation.chosen_rows import ChosenRows, choose_rows, fits, read_rows
from reddino.evaluation.question import Question
from reddino.evaluation.same_rows import require_same_labels
from reddino.evaluation.table_columns import question_columns
from reddino.foundations.errors import RedDinoError
from reddino.smears.column_names import AT_BORDER
from reddino.smears.manifest import Manifest


@dataclass(frozen=True)
class ChosenTables:
    """Rows that were chosen of tables of the same cells.

    Attributes:
        rows: the choice.
        tables: on disk, by name.
    """

    rows: ChosenRows
    tables: Mapping[str, TableOnDisk]


@dataclass(frozen=True)
class TableInputs:
    """Tables of the same cells.

    Attributes:
        tables: by name; all of their rows, or those that were chosen.
        manifest: their rows, or each combination of values that a question reads once.
        chosen: how rows were chosen; None: the tables are whole.
    """

    tables: Mapping[str, Embeddings]
    manifest: Manifest
    chosen: ChosenTables | None = None


def read_tables(folders: Mapping[str, Path], question: Question, rows: int | None = None) -> TableInputs:
    """Read tables of the same cells for a question.

    Args:
        folders: by name.
        question: that decides which rows take part.
        rows: that are evaluated at most; None: all, or a sample where their vectors take more than a size.

    Raises:
        RedDinoError: tables of other cells or views, or as `choose_rows`.
    """
    opened = {name: open_table(folder) for name, folder in folders.items()}
    dim = max(int(table.meta["dim"]) for table in opened.values())
    if rows is None and fits(max(map(len, opened.values())), dim):
        tables = {name: read_embeddings(folder) for name, folder in folders.items()}
        return TableInputs(tables, next(iter(tables.values())).manifest())
    require_same_views_meta({name: table.meta for name, table in opened.items()})
    _require_same_length(opened)
    require_same_labels(opened, question.label)
    # Which cells a border cuts, one of the tables may hold for all.
    marked = [table for table in opened.values() if AT_BORDER in table.schema.names]
    columns = question_columns([*marked, *opened.values()][0], question)
    chosen = choose_rows(columns, question, dim=dim, rows=rows)
    read = {name: read_rows(table, chosen.rows) for name, table in opened.items()}
    return TableInputs(read, columns.manifest(), ChosenTables(chosen, opened))


def _require_same_length(tables: Mapping[str, TableOnDisk]) -> None:
    first, *others = tables
    for name in others:
        if len(tables[name]) != len(tables[first]):
            raise RedDinoError(
                f"the embedding tables '{first}' and '{name}' cannot be compared, they have "
                f"{len(tables[first]):,} and {len(tables[name]):,} rows: embed the same manifest with the "
                "same views"
            )
