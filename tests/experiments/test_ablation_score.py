"""Scores of one table, their pairing, and the files that keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ablation.results import RESULT, read_result, write_result
from ablation.score import OUTLIER, RANK, RARE_RECALL, Scored, score_table, table_groups
from ablation.table import BATCH
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.intervals import interval
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.results import paired_differences
from reddino.evaluation.task_file import Task
from reddino.foundations.errors import RedDinoError

TASK = Task(data=("chula",), protocol="grouped-kfold", folds=3)


def table(seed: int, strength: float = 1.5, fields: int = 24) -> Embeddings:
    """240 cells of three classes in fields of ten; the vectors hold the class, and noise of the seed."""
    draw = np.random.default_rng(0)
    labels = draw.choice(["common", "usual", "odd"], size=10 * fields, p=[0.5, 0.35, 0.15])
    noise = np.random.default_rng(seed).normal(size=(len(labels), 6))
    means = strength * np.eye(6)[[["common", "usual", "odd"].index(one) for one in labels]]
    columns = {
        "path": [f"{row // 10}.png" for row in range(len(labels))],
        "source": ["lab"] * len(labels),
        "label": labels.tolist(),
        "x": [float(row) for row in range(len(labels))],
        "y": [0.0] * len(labels),
        **{name: [""] * len(labels) for name in ("patient", "slide", "group")},
    }
    return Embeddings((noise + means).astype(np.float32), pa.table(columns), {"model": f"m{seed}"})


def scored(seed: int, strength: float = 1.5) -> Scored:
    return score_table(table(seed, strength), TASK, "shapes", ["odd"], resamples=200)


def test_score_table__scores_are_those_of_the_package() -> None:
    found, expected = scored(1), evaluate_table(table(1), TASK.questions("shapes")["shapes"])
    for name in ("probe", "1-NN", "20-NN"):
        assert found.values[f"{name} macro F1"] == expected.mean(name).macro_f1
        assert found.values[f"{name} wF1"] == expected.mean(name).weighted_f1
        (odd,) = (one for one in expected.by_class(name) if one.name == "odd")
        # Mean over folds here, all folds together there.
        assert found.values[f"{name} {RARE_RECALL}"] == pytest.approx(odd.recall, abs=0.05)
    assert 0.5 < found.values[OUTLIER] <= 1.0
    assert set(found.resamples) == set(found.values) - {RANK, *BATCH}


def test_score_table__differences_are_paired_as_in_the_package() -> None:
    first, second = scored(1), scored(2, strength=2.5)
    assert first.cells == second.cells
    question = TASK.questions("shapes")["shapes"].model_copy(update={"resamples": 2000})
    tables = [table(1, 1.5), table(2, 2.5)]
    published = paired_differences([evaluate_table(one, question) for one in tables])
    for one in published:
        if one.metric != "macro F1":
            continue
        name = f"{one.classifier} macro F1"
        gain = second.values[name] - first.values[name]
        assert gain == pytest.approx(one.difference)
        found = interval(second.resamples[name] - first.resamples[name], gain)
        assert found == pytest.approx(one.interval, abs=0.03)  # other draws of the same groups


def test_score_table__other_cells_have_another_fingerprint() -> None:
    fewer = table(1).select(np.arange(230))
    assert score_table(fewer, TASK, "shapes", ["odd"], resamples=10).cells != scored(1).cells


def test_score_table__tasks_on_one_table_share_the_draws() -> None:
    two = TASK.model_copy(update={"classes": type(TASK.classes)(drop=("usual",))})
    whole = score_table(table(1), TASK, "shapes", ["odd"], resamples=200)
    part = score_table(table(1), two, "elongated", ["odd"], resamples=200)
    # Novelty among other cells, but of the same cells: groups that are drawn often count often in both.
    together = np.corrcoef(whole.resamples[OUTLIER], part.resamples[OUTLIER])[0, 1]
    assert together > 0.5


def test_score_table__too_few_groups_give_no_resamples() -> None:
    few = table(1, fields=9)
    assert score_table(few, TASK, "shapes", ["odd"], resamples=10).resamples == {}


def test_score_table__rare_cells_in_too_few_fields_have_no_interval_but_a_recall() -> None:
    whole = table(1)
    labels = np.asarray(whole.strings("label"))
    labels[(labels == "odd") & (np.arange(len(labels)) >= 60)] = "usual"  # odd ones in 6 of 24 fields
    columns = {**whole.table.to_pydict(), "label": labels.tolist()}
    found = score_table(Embeddings(whole.vectors, pa.table(columns), whole.meta), TASK, "shapes", ["odd"], 10)
    assert {f"{name} {RARE_RECALL}" for name in ("probe", "1-NN", "20-NN")} <= set(found.values)
    assert not any(RARE_RECALL in name for name in found.resamples)
    assert "probe macro F1" in found.resamples


def test_score_table__refuses_rare_classes_that_are_not_there() -> None:
    with pytest.raises(RedDinoError, match="none of its rare classes: teardrop"):
        score_table(table(1), TASK, "shapes", ["teardrop"], resamples=10)


def test_table_groups__tasks_of_the_same_views_share_a_table() -> None:
    other = TASK.model_copy(update={"side": 64.0, "unit": "px"})
    joined = TASK.model_copy(update={"classes": type(TASK.classes)(drop=("usual",))})
    found = table_groups({"a": TASK, "b": other, "c": joined})
    assert [list(group) for group in found] == [["a", "c"], ["b"]]


def test_results__are_read_as_they_were_written(tmp_path: Path) -> None:
    one = scored(1)
    write_result(
        tmp_path / "run", {"arm": "A", "seed": 3}, {"shapes": one, "blood cells": Scored("x", {"m": 0.5})}
    )
    found = read_result(tmp_path / "run")
    assert found is not None
    assert found.about == {"arm": "A", "seed": 3}
    assert found.scored["shapes"].values == one.values
    assert found.scored["shapes"].detail["rare_classes"] == ["odd"]
    assert set(found.scored["shapes"].resamples) == set(one.resamples)
    assert found.scored["shapes"].resamples[OUTLIER] == pytest.approx(one.resamples[OUTLIER])
    assert found.scored["blood cells"].resamples == {}
    assert read_result(tmp_path / "another") is None


def test_results__a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_result(tmp_path, {}, {"shapes": Scored("x", {"m": 0.5})})
    (tmp_path / "resamples.npz").write_bytes(b"nothing")
    with pytest.raises(RedDinoError, match=f"delete {RESULT} there"):
        read_result(tmp_path)
