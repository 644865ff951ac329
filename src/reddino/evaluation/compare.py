"""Several models on one task: the same cells for all, and sources seen in pretraining kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reddino.embedding.border import alike_at_border
from reddino.embedding.comparable import require_same_views
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.protocol import Mask, TablePredictions, predict_table, summarise
from reddino.evaluation.question import Question
from reddino.evaluation.results import Result
from reddino.evaluation.same_rows import require_same_rows
from reddino.evaluation.table_inputs import ChosenTables
from reddino.evaluation.table_neighbours import with_neighbour_loss

SEEN_PART = "sources seen in pretraining"
OTHER_PART = "sources not seen in pretraining, as far as is known"


def compare_tables(
    tables: Mapping[str, Embeddings], question: Question, task: str = "", chosen: ChosenTables | None = None
) -> list[Result]:
    """Evaluate one question on the tables of several models.

    Where a model saw some of the tested sources in pretraining and others not, the two kinds become two
    tasks: no average mixes them, and all models are scored on the same cells in each.

    Args:
        tables: of the same cells, by their name in errors.
        question: what is evaluated.
        task: its title.
        chosen: how the rows of the tables were chosen; None: the tables are whole.

    Raises:
        RedDinoError: tables of other cells or views, or as `evaluate_table`.
    """
    require_same_views(tables)
    require_same_rows(tables, question.label)
    predictions = [
        _predicted(name, table, question, chosen) for name, table in alike_at_border(tables).items()
    ]
    known = [statuses(one) for one in predictions]
    parts = seen_parts(predictions[0], known, task)
    return [
        summarise(one, question, task=title, only=mask, seen=_within(status, one, mask))
        for title, mask in parts.items()
        for one, status in zip(predictions, known, strict=True)
    ]


def _predicted(
    name: str, table: Embeddings, question: Question, chosen: ChosenTables | None
) -> TablePredictions:
    if chosen is None:
        return predict_table(table, question)
    found = predict_table(table, question, chosen.rows)
    return with_neighbour_loss(found, chosen.tables[name], chosen.rows, question)


def statuses(predictions: TablePredictions) -> dict[str, str]:
    """Return what is known of each source of the labelled rows in the model's pretraining."""
    recorded = predictions.emb.meta.get("seen", {})
    return {source: recorded.get(source, "unknown") for source in set(predictions.emb.strings("source"))}


def seen_parts(
    predictions: TablePredictions, known: Sequence[Mapping[str, str]], task: str
) -> dict[str, Mask | None]:
    """Return the rows that are scored together, by the title of their task; None means all rows.

    A source goes to the seen ones if any of the models saw it.
    """
    seen = {source for status in known for source, what in status.items() if what == "seen"}
    tested = np.unique(np.concatenate([test.rows for test in predictions.tests]))
    sources = np.asarray(predictions.emb.strings("source"), dtype=np.str_)
    inside = np.isin(sources, sorted(seen))
    if inside[tested].all() or not inside[tested].any():
        return {task: None}
    return {
        f"{task}: {SEEN_PART}".removeprefix(": "): inside,
        f"{task}: {OTHER_PART}".removeprefix(": "): ~inside,
    }


def _within(status: Mapping[str, str], predictions: TablePredictions, only: Mask | None) -> dict[str, str]:
    """Return the statuses of the sources that are tested."""
    tested = np.zeros(len(predictions.emb), dtype=np.bool_)
    for test in predictions.tests:
        tested[test.rows] = True
    if only is not None:
        tested &= only
    sources = np.asarray(predictions.emb.strings("source"), dtype=np.str_)
    return {str(source): status[str(source)] for source in np.unique(sources[tested])}
