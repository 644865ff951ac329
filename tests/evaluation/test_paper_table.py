"""Tables in the paper's layout, and grids in every format."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from toy_tables import laboratories

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation import render
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.paper_table import improvements, paper_grid
from reddino.evaluation.question import Question
from reddino.evaluation.render import Grid
from reddino.evaluation.results import CHANCE, Result
from reddino.foundations.errors import RedDinoError

GRID = Grid("A_title", ("model", "wF1"), (("a & b", "50.0 ± 1.0"), ("c", "-")), 1, ("100 % sure.",), (1,))


def results(task: str = "shapes") -> list[Result]:
    tables = {}
    for number, name in enumerate(("ResNet50", "DINOv2", "RedDino-S", "RedDino-B")):
        emb = laboratories(seed=0, model=name)
        noise = np.random.default_rng(number).normal(size=emb.vectors.shape) * (2 - 0.4 * number)
        tables[name] = Embeddings((emb.vectors + noise).astype(np.float32), emb.table, emb.meta)
    return compare_tables(tables, Question(protocol="cross-source", resamples=0), task)


def test_improvements__are_the_best_of_ours_less_mean_and_best_of_theirs() -> None:
    values = np.array([[50.0, 70.0], [60.0, 40.0], [65.0, 60.0], [55.0, 66.0]])
    gains = improvements(values, [False, False, True, True])
    assert gains is not None
    assert gains.average.tolist() == [65 - 55, 66 - 55]
    assert gains.best.tolist() == [5, -4]
    assert improvements(values, [True] * 4) is None
    assert improvements(values, [False] * 4) is None


def test_paper_grid__models_by_rows_then_largest_class_and_gains() -> None:
    found = results()
    grid = paper_grid("Table 1", found)
    assert [row[0] for row in grid.rows] == [
        "ResNet50", "DINOv2", "RedDino-S", "RedDino-B", CHANCE, "Avg Improvement", "Improvement",
    ]  # fmt: skip
    assert len(grid.header) == 1 + 3 * 4
    column = grid.header.index("20-NN macro F1")
    shown = [row[column] for row in grid.rows]
    true = [100 * one.mean("20-NN").macro_f1 for one in found]
    assert shown[:4] == [f"{value:.1f}" for value in true]
    assert shown[5] == f"{max(true[2:]) - np.mean(true[:2]):+.1f}"
    assert shown[6] == f"{max(true[2:]) - max(true[:2]):+.1f}"


def test_paper_grid__tasks_side_by_side_and_transposed() -> None:
    grid = paper_grid("Table 2", [*results("Chula"), *results("DSE")], classifiers=["probe"])
    assert grid.header[1:] == tuple(
        f"{task} probe {metric}" for task in ("Chula", "DSE") for metric in ("wF1", "bAcc", "Acc", "macro F1")
    )
    turned = grid.transposed()
    assert turned.header[-2:] == ("Avg Improvement", "Improvement")
    assert turned.transposed().rows == grid.rows


def test_paper_grid__refuses_a_task_that_lacks_a_model() -> None:
    with pytest.raises(RedDinoError, match="'DSE' lacks the model 'ResNet50'"):
        paper_grid("t", [*results("Chula"), *results("DSE")[1:]])


def test_latex__escapes_and_rules() -> None:
    text = render.latex(GRID)
    assert r"a \& b & 50.0 $\pm$ 1.0 \\" in text
    assert r"\caption{A\_title 100 \% sure.}" in text
    assert text.count(r"\midrule") == 2
    assert text.index(r"\begin{tabular}{lr}") < text.index(r"\end{tabular}")


def test_comma_separated__reads_back() -> None:
    lines = list(csv.reader(io.StringIO(render.comma_separated([GRID, GRID]))))
    assert lines == [
        ["A_title"],
        ["model", "wF1"],
        *map(list, GRID.rows),
        [],
        ["A_title"],
        ["model", "wF1"],
        *map(list, GRID.rows),
    ]


def test_markdown__aligns_numbers_to_the_right() -> None:
    lines = render.markdown(GRID).splitlines()
    assert lines[2:6] == [
        "| model |        wF1 |",
        "| ----- | ---------: |",
        "| a & b | 50.0 ± 1.0 |",
        "| c     |          - |",
    ]
    assert "- 100 % sure." in lines
