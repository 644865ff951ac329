"""Held-out reports: each class as scikit-learn scores it, and intervals that say what few groups can show."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from labelled_smears import noisy_table
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from reddino.classification.fit import fit_on_table
from reddino.classification.held_out import HeldOut, held_out_summary
from reddino.evaluation.intervals import group_weights, interval
from reddino.smears.decode import decode_image

NAMES = ("a", "b", "c")


def guessed(groups: int, rows: int = 600, right: float = 0.7) -> HeldOut:
    draw = np.random.default_rng(0)
    truth = draw.choice(3, rows, p=[0.6, 0.3, 0.1])
    predicted = np.where(draw.random(rows) < right, truth, draw.integers(0, 3, rows))
    names = [f"g{number}" for number in draw.integers(0, groups, rows)]
    return HeldOut(NAMES, truth, predicted, names)


def test_report__scores_each_class_and_all_together_as_scikit_learn_does() -> None:
    held = guessed(30)
    found = held.report()
    expected = precision_recall_fscore_support(held.truth, held.predicted)
    for place, rate in enumerate(("precision", "recall", "f1")):
        assert [one[rate] for one in found["by_class"]] == pytest.approx(expected[place].tolist())
    assert [one["cells"] for one in found["by_class"]] == expected[3].tolist()
    assert [one["predicted"] for one in found["by_class"]] == np.bincount(held.predicted).tolist()
    macro = f1_score(held.truth, held.predicted, average="macro")
    assert found["scores"]["macro_f1"] == pytest.approx(macro)
    balanced = balanced_accuracy_score(held.truth, held.predicted)
    assert found["scores"]["balanced_accuracy"] == pytest.approx(balanced)


def test_report__intervals_are_those_of_resampling_whole_groups() -> None:
    held = guessed(25)
    entry = held.report()["by_class"][1]
    number = np.unique(held.groups, return_inverse=True)[1]
    recalls = []
    for weights in np.concatenate(list(group_weights(25, 1000, 0))):
        weight = weights[number] * (held.truth == 1)
        recalls.append((weight * (held.predicted == 1)).sum() / weight.sum())
    assert entry["recall_interval"] == pytest.approx(interval(np.array(recalls), entry["recall"]))


def test_report__a_class_without_a_mistake_has_an_interval_from_its_number_of_groups() -> None:
    held = guessed(20, right=1.0)
    found = held.report()
    assert found["by_class"][0]["recall_interval"] == pytest.approx([0.05 ** (1 / 20), 1.0])
    assert found["intervals"]["macro_f1"] == pytest.approx([0.05 ** (1 / 20), 1.0])


def test_report__says_where_groups_are_too_few_for_intervals() -> None:
    found = guessed(9).report()
    assert found["intervals"] == {}
    assert all(one["f1_interval"] is None for one in found["by_class"])
    assert found["interval_notes"] == ["No intervals: 9 held-out groups, and at least 10 are needed."]
    held = guessed(40)
    rare = HeldOut(
        NAMES,
        held.truth,
        held.predicted,
        ["g0" if truth == 2 else group for truth, group in zip(held.truth, held.groups, strict=True)],
    )
    found = rare.report()
    assert [one["recall_interval"] is None for one in found["by_class"]] == [False, False, True]
    assert "fewer than 10 groups: 'c' (1)" in found["interval_notes"][1]


def test_report__counts_groups_of_one_cell_each_without_a_matrix_of_all() -> None:
    held = guessed(30, rows=3000)
    single = HeldOut(NAMES, held.truth, held.predicted, [str(row) for row in range(3000)])
    dense = single.report()
    many = HeldOut(NAMES, held.truth, held.predicted, [str(row) for row in range(3000)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reddino.evaluation.intervals.CHUNK_NUMBERS", 10_000)
        sparse = many.report()
    for one, other in zip(dense["by_class"], sparse["by_class"], strict=True):
        assert one["recall_interval"] == pytest.approx(other["recall_interval"], abs=0.02)


def test_fit__scores_all_folds_together_where_each_holds_one_class(tmp_path: Path) -> None:
    """A fold of a single class has a balanced accuracy of 1 where none of it is missed."""
    table = noisy_table()
    labels = table.strings("label")
    groups = [f"{label}{row % 2}" for row, label in enumerate(labels)]
    rows = table.table.set_column(table.table.column_names.index("path"), "path", pa.array(groups))
    report = fit_on_table(replace(table, table=rows), tmp_path / "c", group_column="path", folds=2).report
    recalls = [one["recall"] for one in report["by_class"]]
    assert report["pooled"] and report["scores"]["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_summary__names_recall_of_each_class_what_it_is_taken_for_and_what_is_never_found() -> None:
    held = guessed(30)
    report = {
        **replace(held, predicted=np.where(held.predicted == 2, 0, held.predicted)).report(),
        "cells": 600,
    }
    found = held_out_summary(report)
    assert [one["recall"] for one in found["classes"]] == [one["recall"] for one in report["by_class"]]
    assert found["classes"][2]["taken_for"] == "a" and found["classes"][0]["recall_interval"] is not None
    assert found["never_found"] == {"c": int((held.truth == 2).sum())}
    assert found["balanced_accuracy"] == pytest.approx(report["scores"]["balanced_accuracy"])
    of_before = held_out_summary({"cells": 9, "scores": {"balanced_accuracy": 0.4}})
    assert of_before == {"cells": 9, "balanced_accuracy": 0.4, "evidence": True}


def test_fit__leaves_classes_and_confusion_as_files(tmp_path: Path) -> None:
    made = fit_on_table(noisy_table(), tmp_path / "c")
    with (tmp_path / "c" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(made.classes)
    assert [float(row["recall_low"]) for row in rows] == pytest.approx(
        [one["recall_interval"][0] for one in made.report["by_class"]], abs=1e-4
    )
    with (tmp_path / "c" / "confusion.csv").open() as file:
        header, *lines = list(csv.reader(file))
    assert header == ["true class", *made.classes]
    assert [[int(cell) for cell in line[1:]] for line in lines] == made.report["confusion"]
    assert min(decode_image(tmp_path / "c" / "confusion.png").shape[:2]) > 100
