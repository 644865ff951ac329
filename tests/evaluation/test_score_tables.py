"""Result tables: numbers where they belong, valid JSON, nothing half-written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.metrics import Scores
from reddino.evaluation.result_files import as_json, save_results
from reddino.evaluation.results import CHANCE, FoldResult, Result
from reddino.evaluation.score_tables import comparison_rows, markdown, rich_tables
from reddino.foundations.provenance import provenance


def result(model: str, base: float, task: str = "shapes", folds: int = 2) -> Result:
    def fold(shift: float) -> FoldResult:
        names = (*PUBLISHED, CHANCE)
        scores = {name: Scores(base + shift + i / 100, 0.2, 0.3, 0.4) for i, name in enumerate(names)}
        confusion = {name: np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]) for name in names}
        return FoldResult(10, 6, scores, confusion, True)

    return Result(
        model=model,
        task=task,
        protocol="grouped-kfold" if folds > 1 else "fixed",
        group_by="patient",
        seed=7,
        classes=("burr", "target", "tear"),
        cells=12,
        left_out=3,
        groups=4,
        folds=tuple(fold(0.1 * i) for i in range(folds)),
        notes=("Class 'burr' is rare.",),
        embedding={"weights_hash": "ab"},
    )


def test_comparison_rows__models_under_each_classifier_then_the_largest_class() -> None:
    rows = comparison_rows([result("ours", 0.5), result("theirs", 0.4)])
    assert [row[:2] for row in rows] == [
        ("probe", "ours"),
        ("probe", "theirs"),
        ("1-NN", "ours"),
        ("1-NN", "theirs"),
        ("20-NN", "ours"),
        ("20-NN", "theirs"),
        (CHANCE, "-"),
    ]
    # Folds of 0.5 and 0.6: mean 0.55, sample sd 0.0707.
    assert rows[0][2:] == ("0.550 ± 0.071", "0.200 ± 0.000", "0.300 ± 0.000", "0.400 ± 0.000")


def test_comparison_rows__a_single_split_has_no_spread() -> None:
    assert comparison_rows([result("ours", 0.5, folds=1)])[0][2] == "0.500"


def test_markdown__is_aligned_and_says_what_was_scored() -> None:
    text = markdown([result("ours", 0.5), result("a longer name", 0.4), result("ours", 0.3, "new source")])
    assert text.index("### shapes") < text.index("### new source")
    first = text.split("### shapes: difference", maxsplit=1)[0]
    assert len({len(line) for line in first.splitlines() if line.startswith("|")}) == 1
    assert "12 cells, 3 classes, 4 groups (patient), 2 grouped-kfold test sets, mean ± sd, 3 rows" in first
    assert first.count("Class 'burr' is rare.") == 1


def test_rich_tables__print_every_row_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, width=110)
    for table in rich_tables([result("ours", 0.5), result("theirs", 0.4)]):
        console.print(table)
    text = out.getvalue()
    scores, differences = text.split("shapes: difference from ours")
    assert scores.count("theirs") == 3
    assert "0.550 ± 0.071" in scores
    assert differences.count("theirs") == 9
    assert re.search(r"probe .* theirs .* wF1 .* -0\.100", differences)


def test_rich_tables__print_each_figure_and_each_note_once() -> None:
    out = io.StringIO()
    console = Console(file=out, width=300)
    for table in rich_tables([result("ours", 0.5), result("theirs", 0.437)]):
        console.print(table)
    text = out.getvalue()
    assert text.count("Class 'burr' is rare.") == 1
    figures = re.findall(r"\d\.\d{3} ± \d\.\d{3}", text)
    assert len(figures) == 4 * (2 * 3 + 1)
    assert "48.7" not in text  # per cent, as in the paper's layout


def test_as_json__says_everything() -> None:
    document = as_json(result("ours", 0.5))
    assert document["scores"]["probe"]["mean"]["weighted_f1"] == pytest.approx(0.55)
    assert document["by_class"]["20-NN"][0] == {
        "name": "burr",
        "cells": 8,
        "precision": 1.0,
        "recall": 0.75,
        "f1": pytest.approx(6 / 7),
    }
    assert [fold["test"] for fold in document["folds"]] == [6, 6]


def test_save_results__writes_whole_json_with_provenance(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save_results(path, [result("ours", 0.5)], provenance(seed=7, data="d", model="m"))
    document = json.loads(path.read_text())
    assert document["provenance"]["seed"] == 7
    assert document["results"] == json.loads(json.dumps([as_json(result("ours", 0.5))]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_results(path, [result("broken", float("nan"))], {})
    assert json.loads(path.read_text()) == document
    assert list(tmp_path.iterdir()) == [path]
