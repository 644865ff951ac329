"""Cells that the border of their image cuts take no part in scores, unless they are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from toy_tables import laboratories

from reddino.embedding.border import alike_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.protocol import evaluate_table, predict_table
from reddino.evaluation.question import Question
from reddino.evaluation.result_files import as_json
from reddino.evaluation.score_tables import captions, describe
from reddino.evaluation.task_file import read_task_file, shipped_tasks
from reddino.foundations.errors import RedDinoError


def with_border(emb: Embeddings, cut: np.ndarray) -> Embeddings:
    return replace(emb, table=emb.table.append_column("at_border", pa.array(cut, pa.bool_())))


def every(number: int, emb: Embeddings) -> np.ndarray:
    return np.asarray(np.arange(len(emb)) % number == 0)


def test_evaluate_table__leaves_out_what_the_border_cuts_and_counts_it_in_one_line() -> None:
    plain = laboratories()
    cut = every(6, plain)
    marked = with_border(plain, cut)
    found = evaluate_table(marked, Question(resamples=0))
    assert found.cells == len(plain) - cut.sum()
    assert (found.left_out, found.at_border) == (cut.sum(), cut.sum())
    lines = [line for line in captions([found]) if "border" in line]
    assert lines == ["60 labelled cells left out, cut by the border of their image (--keep-border)."]
    # They are no rows without a label.
    assert "left out" not in describe(found)
    # The same as if the table had never had them.
    without = evaluate_table(plain.select(~cut), Question(resamples=0))
    assert without.mean("probe") == found.mean("probe")
    assert as_json(found)["at_border"] == cut.sum()


def test_evaluate_table__keeps_them_where_it_is_asked_to_and_where_no_cell_is_marked() -> None:
    plain = laboratories()
    before = evaluate_table(plain, Question(resamples=0))
    kept = evaluate_table(with_border(plain, every(6, plain)), Question(resamples=0, keep_border=True))
    unmarked = evaluate_table(with_border(plain, np.zeros(len(plain), bool)), Question(resamples=0))
    for one in (kept, unmarked):
        assert [fold.scores for fold in one.folds] == [fold.scores for fold in before.folds]
        assert (one.at_border, one.notes) == (0, before.notes)


def test_evaluate_table__names_a_class_of_cut_cells_alone_and_still_knows_its_label() -> None:
    plain = laboratories()
    labels = plain.strings("label")
    cut = np.array([label == "class 2" for label in labels])
    question = Question(resamples=0, classes=ClassMap(drop=("class 2",)))
    assert evaluate_table(with_border(plain, cut), question).classes == ("class 0", "class 1")
    found = predict_table(with_border(plain, cut), Question(resamples=0))
    assert found.names == ("class 0", "class 1")
    assert found.notes[0].endswith(", and with them all of 'class 2'.")


def test_evaluate_table__says_that_cut_cells_may_be_why_classes_cannot_be_split() -> None:
    plain = laboratories()
    rare = np.array([label == "class 2" for label in plain.strings("label")])
    # All but the whole cells of one slide are cut.
    one = np.array([slide == "slide 0" for slide in plain.strings("slide")])
    lab = np.array([source == "lab 0" for source in plain.strings("source")])
    marked = with_border(plain, rare & ~(one & lab))
    with pytest.raises(
        RedDinoError, match=r"'class 2' are in one group.*; \d+ cells that the border .* cuts"
    ):
        evaluate_table(marked, Question(resamples=0))
    assert evaluate_table(marked, Question(resamples=0, keep_border=True)).cells == len(plain)


def test_compare_tables__models_are_scored_on_the_same_cells_though_one_table_is_older() -> None:
    older = laboratories()
    newer = with_border(replace(older, meta={**older.meta, "model": "new"}), every(4, older))
    first, second = compare_tables({"older": older, "newer": newer}, Question(resamples=0))
    assert first.cells == second.cells == 270
    assert alike_at_border({"older": older})["older"] is older


@pytest.mark.parametrize("name", sorted(shipped_tasks()))
def test_shipped_tasks__score_the_cells_of_their_published_figures(name: str) -> None:
    for task in read_task_file(shipped_tasks()[name]).tasks.values():
        assert task.keep_border or task.view == "image"
