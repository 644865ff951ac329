"""The protocol: what is scored, on which rows, and that groups change the answer where they should."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from toy_tables import laboratories, table

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.class_map import ClassMap, labelled_rows
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.protocol import evaluate_table
from reddino.evaluation.question import Question
from reddino.evaluation.results import CHANCE
from reddino.evaluation.score_tables import describe, markdown
from reddino.foundations.errors import RedDinoError


def near_duplicates(groups: int = 40, per_group: int = 8, seed: int = 0) -> Embeddings:
    """Cells of a field look alike and a field has one random class: nothing carries over to other fields."""
    draw = np.random.default_rng(seed)
    fields = draw.normal(size=(groups, 16))
    labels = draw.permutation(np.arange(groups) % 2)
    vectors = np.repeat(fields, per_group, axis=0) + draw.normal(size=(groups * per_group, 16)) * 0.01
    return table(
        vectors,
        label=[f"class {labels[i // per_group]}" for i in range(groups * per_group)],
        group=[f"field {i // per_group}" for i in range(groups * per_group)],
    )


def separable(n: int = 200, seed: int = 0, **columns: list[str]) -> Embeddings:
    draw = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    centres = np.random.default_rng(99).normal(size=(3, 6))
    vectors = centres[classes] + draw.normal(size=(n, 6)) * 0.8
    given = {"label": [f"class {c}" for c in classes], **columns}
    return table(vectors, None, **given)


def test_evaluate_table__ungrouped_folds_flatter_where_fields_repeat_themselves() -> None:
    emb = near_duplicates()
    ungrouped = evaluate_table(emb, Question(protocol="kfold")).mean("1-NN").accuracy
    grouped = evaluate_table(emb, Question(protocol="grouped-kfold")).mean("1-NN").accuracy
    assert ungrouped == 1.0
    assert 0.25 < grouped < 0.75


def test_evaluate_table__ungrouped_is_the_published_protocol_written_out() -> None:
    emb = separable()
    truth = np.array(emb.strings("label"))
    expected: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=4).split(emb.vectors, truth):
        models = {
            "probe": LogisticRegression(C=6 * 3 / 100, max_iter=1000),
            "1-NN": KNeighborsClassifier(1),
            "20-NN": KNeighborsClassifier(20),
        }
        for name, model in models.items():
            predicted = model.fit(emb.vectors[train], truth[train]).predict(emb.vectors[test])
            expected[name].append(f1_score(truth[test], predicted, average="weighted"))
    result = evaluate_table(emb, Question(protocol="kfold", seed=4))
    for name, scores in expected.items():
        assert result.mean(name).weighted_f1 == pytest.approx(np.mean(scores))
        spread = result.sd(name)
        assert spread is not None
        assert spread.weighted_f1 == pytest.approx(np.std(scores, ddof=1))
    assert (result.cells, result.classes, len(result.folds)) == (200, ("class 0", "class 1", "class 2"), 5)


def test_evaluate_table__chance_is_the_largest_class() -> None:
    emb = separable(label=["large"] * 120 + ["small"] * 80)
    result = evaluate_table(emb, Question(protocol="kfold"))
    assert result.mean(CHANCE).accuracy == pytest.approx(0.6)
    assert result.mean(CHANCE).balanced_accuracy == pytest.approx(0.5)


def test_evaluate_table__leaves_out_and_counts_rows_without_label() -> None:
    labels = [["a", "b", "", "junk"][i % 4] for i in range(200)]
    result = evaluate_table(
        separable(label=labels), Question(protocol="kfold", classes=ClassMap(drop=("junk",)))
    )
    assert (result.cells, result.left_out, result.classes) == (100, 100, ("a", "b"))


def test_labelled_rows__renames_and_drops() -> None:
    emb = separable(4, label=["burr", "echinocyte", "junk", "target"])
    kept, labels = labelled_rows(
        emb, "label", ClassMap(join={"burr": ("burr", "echinocyte")}, drop=("junk",))
    )
    assert labels == ["burr", "burr", "target"]
    assert np.array_equal(kept.vectors, emb.vectors[[0, 1, 3]])


def test_labelled_rows__refuses_a_class_that_is_not_there() -> None:
    with pytest.raises(RedDinoError, match="labelled 'bur'; labels are: class 0, class 1, class 2"):
        labelled_rows(separable(9), "label", ClassMap(drop=("bur",)))


def test_labelled_rows__refuses_a_table_without_labels() -> None:
    with pytest.raises(RedDinoError, match="no column 'morphology'"):
        labelled_rows(separable(9), "morphology")
    with pytest.raises(RedDinoError, match="no row"):
        labelled_rows(separable(9), "slide")


def test_groups_of__joins_what_shares_group_or_slide_within_the_source() -> None:
    emb = separable(4, source=["A", "A", "B", "B"], group=["g", "", "", "g"], slide=["s", "s", "", "s"])
    first, second, third, fourth = groups_of(emb)
    assert first == second
    assert len({first, third, fourth}) == 3
    assert (
        groups_of(separable(2, source=["A", "A"], slide=["s", "s"]))[0]
        == groups_of(separable(2, source=["A", "A"], slide=["s", "s"]))[1]
    )


def test_groups_of__a_named_column_must_be_filled() -> None:
    emb = separable(3, source=["A", "B", "A"], patient=["p1", "p1", "p1"])
    first, other, again = groups_of(emb, "patient")
    assert first == again != other
    with pytest.raises(RedDinoError, match="1 of 3 labelled rows have no 'patient'"):
        groups_of(separable(3, patient=["p1", "", "p2"]), "patient")


def test_evaluate_table__fixed_tests_the_named_patients_only() -> None:
    patients = [f"p{i % 5}" for i in range(200)]
    result = evaluate_table(
        separable(patient=patients),
        Question(protocol="fixed", split_column="patient", test_values=("p3",), group_by="patient"),
    )
    (fold,) = result.folds
    assert (fold.train, fold.test, result.groups) == (160, 40, 5)
    assert result.sd("probe") is None


def test_evaluate_table__fixed_reads_train_and_test_from_a_column() -> None:
    sides = [["train", "test", "", "Train"][i % 4] for i in range(200)]
    emb = separable()
    emb = Embeddings(emb.vectors, emb.table.append_column("part", pa.array(sides)), emb.meta)
    result = evaluate_table(emb, Question(protocol="fixed", split_column="part"))
    (fold,) = result.folds
    assert (fold.train, fold.test) == (100, 50)
    assert (result.cells, result.left_out) == (150, 50)


def test_evaluate_table__fixed_knows_no_class_that_is_on_neither_side() -> None:
    emb = separable()
    labels = emb.strings("label")
    third = sorted(set(labels))[2]
    sides = ["" if label == third else ["train", "test"][i % 2] for i, label in enumerate(labels)]
    emb = Embeddings(emb.vectors, emb.table.append_column("split", pa.array(sides)), emb.meta)
    result = evaluate_table(emb, Question(protocol="fixed"))
    assert third not in result.classes
    assert result.left_out == labels.count(third) == 200 - result.cells
    assert f"{result.left_out} rows left out (no label, or a dropped one, or on neither side" in describe(
        result
    )


def test_evaluate_table__fixed_says_what_it_lacks() -> None:
    with pytest.raises(RedDinoError, match="column 'split', which the table lacks"):
        evaluate_table(separable(), Question(protocol="fixed"))
    with pytest.raises(RedDinoError, match="'train' and 'test'; it has 'class 0'"):
        evaluate_table(separable(), Question(protocol="fixed", split_column="label"))


def test_result__by_class_counts_every_cell_once() -> None:
    result = evaluate_table(separable(), Question(protocol="kfold"))
    assert sum(row.cells for row in result.by_class("20-NN")) == 200
    assert result.confusion("probe").sum() == 200


def test_evaluate_table__says_how_many_vectors_are_equal() -> None:
    emb = laboratories(120)
    vectors = emb.vectors.copy()
    vectors[:60] = vectors[0]
    result = evaluate_table(dataclasses.replace(emb, vectors=vectors), Question(resamples=0))
    assert any(note.startswith("60 of 120 vectors are equal to another") for note in result.notes)
    assert not any("vectors are equal" in note for note in evaluate_table(emb, Question(resamples=0)).notes)


def test_evaluate_table__says_where_one_of_two_classes_is_not_tested() -> None:
    emb = laboratories(classes=2, sources=3)
    one_class = np.array(
        [
            source != "lab 2" or label == "class 0"
            for source, label in zip(emb.strings("source"), emb.strings("label"), strict=True)
        ]
    )
    found = evaluate_table(
        emb.select(one_class), Question(protocol="leave-one-source-out", classifiers=("1-NN",), resamples=0)
    )
    said = [note for note in found.notes if "test sets" in note]
    assert said == [
        "Class 'class 1' has no cell in 1 of 3 test sets (all but lab 2 -> lab 2): bAcc and macro F1 there "
        "are means over the other classes, and there is no AUROC.",
        "1 of 3 test sets hold a single class (all but lab 2 -> lab 2: 'class 0'): their scores show how "
        "often it is recognised, and nothing of what is taken for it.",
    ]
    areas = [fold.scores["1-NN"].auroc for fold in found.folds]
    first, second, third = areas
    assert third is None and first is not None and second is not None
    assert found.mean("1-NN").auroc == pytest.approx((first + second) / 2)
    assert said[0] in markdown([found])
    whole = evaluate_table(emb, Question(protocol="leave-one-source-out", classifiers=("1-NN",), resamples=0))
    assert not [note for note in whole.notes if "test sets" in note]
