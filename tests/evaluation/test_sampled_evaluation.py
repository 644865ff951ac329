"""Evaluation of a stated sample: what is drawn, what stays together, and what is recorded of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.neighbors import KNeighborsClassifier
from stored_tables import store
from toy_tables import laboratories

import reddino
from reddino import cli
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import open_table
from reddino.evaluation import chosen_rows, table_neighbours
from reddino.evaluation.choices import Classifier
from reddino.evaluation.chosen_rows import choose_rows
from reddino.evaluation.classifiers import NEIGHBOURS
from reddino.evaluation.compare import compare_tables
from reddino.evaluation.few_shot import spread_over_groups
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.protocol import predict_table
from reddino.evaluation.question import Question
from reddino.evaluation.sampling import draw_rows
from reddino.evaluation.table_columns import question_columns
from reddino.evaluation.table_inputs import read_tables
from reddino.foundations.errors import RedDinoError

QUICK = Question(resamples=0, classifiers=("1-NN", "20-NN"))


def uneven(rows: int = 1200) -> Embeddings:
    """Cells of three laboratories, of which one class is rare."""
    emb = laboratories(rows, seed=3)
    label = np.asarray(emb.strings("label"), dtype=object)
    common = np.random.default_rng(1).permutation(np.flatnonzero(label == "class 2"))[12:]
    label[common] = "class 0"
    return Embeddings(emb.vectors, with_column(emb.table, "label", label.tolist()), emb.meta)


def with_column(table: pa.Table, name: str, values: list[str | None]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))


def scored(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    reddino.evaluate(folder, out=out, **{"resamples": 100, **options})
    return dict(json.loads(out.read_text())["results"][0])


def test_evaluate__states_what_was_drawn_on_the_screen_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = store(tmp_path / "t", uneven()), tmp_path / "scores.json"
    assert cli.main(["evaluate", str(table), "--rows", "300", "--seed", "7", "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    (found,) = json.loads(out.read_text())["results"]
    sample = found["sample"]
    assert (sample["rows"], sample["of"], sample["seed"]) == (300, 1200, 7)
    assert (sample["groups"], sample["of_groups"], found["cells"]) == (24, 24, 300)
    assert sum(one["rows"] for one in sample["by_class"].values()) == 300
    assert [one["classifier"] for one in sample["neighbours"]] == ["1-NN", "20-NN"]
    assert "SAMPLE: 300 of 1,200 labelled cells were drawn (--rows; seed 7), of 24 of 24 groups" in shown
    assert "on 300 tested cells: 1-NN" in shown
    assert "300 cells of a sample (300 of 1,200)" in out.with_suffix(".md").read_text()
    # Files without captions state it too.
    assert out.with_suffix(".csv").read_text().count("sample of 300 of 1,200 cells") == 2


def test_evaluate__below_the_size_the_file_is_what_it_was(tmp_path: Path) -> None:
    table = store(tmp_path / "t", uneven())
    whole, limited = (
        scored(table, tmp_path / f"{name}.json", **options)
        for name, options in (("whole", {}), ("limited", {"rows": 1200}))
    )
    assert "sample" not in whole
    assert whole == limited
    read = reddino.read_embeddings(table)
    (alone,) = compare_tables({str(table): read}, Question(resamples=100), "label")
    assert whole["notes"] == list(alone.notes)


def test_evaluate__few_labels_of_a_large_table_are_all_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emb = uneven(600)
    label: list[str | None] = [one if row % 4 else None for row, one in enumerate(emb.strings("label"))]
    border = pa.array([row % 9 == 0 for row in range(len(emb))])
    part = with_column(emb.table, "label", label).append_column("at_border", border)
    table = store(tmp_path / "t", Embeddings(emb.vectors, part, emb.meta))
    whole = scored(table, tmp_path / "whole.json")
    monkeypatch.setattr(chosen_rows, "MOST_BYTES", 450 * 6 * 4)
    assert scored(table, tmp_path / "large.json") == whole
    assert (whole["cells"], whole["left_out"], whole["at_border"]) == (400, 200, 50)


def test_evaluate__past_the_size_a_sample_is_drawn_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store(tmp_path / "t", uneven())
    monkeypatch.setattr(chosen_rows, "MOST_BYTES", 1199 * 6 * 4)
    monkeypatch.setattr(chosen_rows, "SAMPLE_ROWS", 400)
    assert scored(table, tmp_path / "s.json")["sample"]["rows"] == 400


def test_choose_rows__same_seed_same_sample(tmp_path: Path) -> None:
    columns = question_columns(open_table(store(tmp_path / "t", uneven())), QUICK)
    one, same, other = (
        choose_rows(columns, QUICK.model_copy(update={"seed": seed}), dim=6, rows=200).rows
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_choose_rows__rare_classes_are_kept_and_others_keep_their_proportion(tmp_path: Path) -> None:
    emb = uneven()
    columns = question_columns(open_table(store(tmp_path / "t", emb)), QUICK)
    chosen = choose_rows(columns, QUICK, dim=6, rows=300)
    assert chosen.sample is not None
    counts = chosen.sample.by_class
    assert counts["class 2"] == (12, 12)
    (a, of_a), (b, of_b) = counts["class 0"], counts["class 1"]
    assert a / b == pytest.approx(of_a / of_b, rel=0.02)


def test_choose_rows__groups_are_those_of_the_whole_table(tmp_path: Path) -> None:
    """Two slides are one group by way of a patient whose only row on the second may not be drawn."""
    emb = laboratories(400, sources=1)
    slides = [f"s{row // 20}" for row in range(400)]
    patients: list[str | None] = [None] * 400
    for slide in range(0, 20, 2):
        patients[slide * 20] = patients[slide * 20 + 39] = f"p{slide}"
    table = with_column(with_column(emb.table, "slide", list(slides)), "patient", patients)
    emb = Embeddings(emb.vectors, table, emb.meta)
    folder = store(tmp_path / "t", emb)
    question = Question(resamples=0, classifiers=("1-NN",))
    inputs = read_tables({"t": folder}, question, rows=60)
    assert inputs.chosen is not None
    rows, sample = inputs.chosen.rows.rows, inputs.chosen.rows.sample
    every = np.asarray(groups_of(emb))
    assert list(inputs.chosen.rows.groups) == every[rows].tolist()
    assert sample is not None
    assert sample.of_groups == 10
    # Of the drawn rows alone, more groups would be found: these would be parted between folds.
    assert len(set(groups_of(inputs.tables["t"]))) > 10
    plan = predict_table(inputs.tables["t"], question, inputs.chosen.rows).plan
    for split in plan.splits:
        tested = {every[rows[row]] for _, own in split.tests for row in own}
        assert not tested & {every[rows[row]] for row in split.train}


def test_evaluate__sides_that_are_given_keep_their_patients_apart(tmp_path: Path) -> None:
    emb = laboratories(600, sources=2)
    emb = Embeddings(
        emb.vectors,
        with_column(
            emb.table, "patient", [f"p{row // 30}" if row % 30 < 2 else f"q{row}" for row in range(600)]
        ),
        emb.meta,
    )
    question = Question(protocol="cross-source", join_sources=("patient",), resamples=0)
    inputs = read_tables({"t": store(tmp_path / "t", emb)}, question, rows=200)
    assert inputs.chosen is not None
    patients = emb.strings("patient")
    rows = inputs.chosen.rows.rows
    for split in predict_table(inputs.tables["t"], question, inputs.chosen.rows).plan.splits:
        tested = {patients[rows[row]] for _, own in split.tests for row in own}
        assert not tested & {patients[rows[row]] for row in split.train}
    found = compare_tables(inputs.tables, question, "", inputs.chosen)[0].sample
    assert found is not None
    assert found.queries == 200


PLAIN: tuple[Classifier, ...] = ("1-NN", "20-NN")
COSINE: tuple[Classifier, ...] = ("cosine 1-NN", "cosine 20-NN")


@pytest.mark.parametrize(
    ("options", "classifiers"),
    [
        ({}, PLAIN),
        ({}, COSINE),
        ({"protocol": "kfold"}, PLAIN),
        ({"protocol": "cross-source"}, PLAIN),
        ({"protocol": "leave-one-source-out"}, PLAIN),
        ({"protocol": "fixed", "split_column": "source", "test_values": ("lab 2",)}, PLAIN),
    ],
)
def test_neighbour_loss__is_against_scikit_learns_neighbours_among_all_cells(
    tmp_path: Path, options: dict[str, Any], classifiers: tuple[Classifier, ...]
) -> None:
    emb = uneven()
    question = Question(resamples=0, classifiers=classifiers, **options)
    inputs = read_tables({"t": store(tmp_path / "t", emb)}, question, rows=300)
    assert inputs.chosen is not None
    (result,) = compare_tables(inputs.tables, question, "", inputs.chosen)
    sample, rows = result.sample, inputs.chosen.rows.rows
    assert sample is not None
    predictions = predict_table(inputs.tables["t"], question, inputs.chosen.rows)
    truth, groups = np.asarray(emb.strings("label")), np.asarray(groups_of(emb))
    sources = np.asarray(emb.strings("source"))
    # With all tested cells as queries, or as many as are drawn.
    total = sum(len(test.rows) for test in predictions.tests)
    assert sample.queries == total <= table_neighbours.QUERIES
    for one in sample.neighbours:
        right = []
        for split in predictions.plan.splits:
            tested = rows[np.concatenate([own for _, own in split.tests])]
            trained = rows[split.train]
            if question.protocol == "grouped-kfold":
                train = ~np.isin(groups, groups[tested])
            elif question.protocol == "kfold":
                train = ~np.isin(np.arange(len(emb)), tested)
            else:
                train = np.isin(sources, sources[trained])
                assert not set(sources[train]) & set(sources[tested])
            model = KNeighborsClassifier(NEIGHBOURS[one.classifier], algorithm="brute")
            model.set_params(metric="cosine" if one.classifier.startswith("cosine") else "euclidean")
            model.fit(emb.vectors[train], truth[train])
            right.append(model.predict(emb.vectors[tested]) == truth[tested])
        assert one.in_table == pytest.approx(np.concatenate(right).mean())
        own = [test.predictions[one.classifier].predicted == test.truth for test in predictions.tests]
        assert one.in_sample == pytest.approx(np.concatenate(own).mean())


def test_neighbour_loss__few_shots_lose_nothing_and_state_none(tmp_path: Path) -> None:
    table = store(tmp_path / "t", uneven())
    (result,) = reddino.evaluate(table, rows=300, protocol="few-shot", shots=[5], repeats=3, resamples=0)
    assert result.sample is not None
    assert (result.sample.queries, result.sample.neighbours) == (0, ())
    assert not any("k-NN seeks" in note for note in result.notes)


def test_neighbour_loss__of_stratified_folds_leaves_the_cell_itself_out(tmp_path: Path) -> None:
    emb = uneven()
    question = Question(protocol="kfold", resamples=0, classifiers=("1-NN",))
    inputs = read_tables({"t": store(tmp_path / "t", emb)}, question, rows=300)
    assert inputs.chosen is not None
    (result,) = compare_tables(inputs.tables, question, "", inputs.chosen)
    assert result.sample is not None
    assert 0.4 < result.sample.neighbours[0].in_table < 0.99  # 1 if each cell were its own neighbour


def test_evaluate__models_are_scored_on_the_same_drawn_cells(tmp_path: Path) -> None:
    emb = uneven()
    other = Embeddings(emb.vectors[:, :4] * 2, emb.table, {**emb.meta, "model": "smaller"})
    folders = [store(tmp_path / "a", emb), store(tmp_path / "b", other)]
    a, b = reddino.evaluate(folders, rows=300, resamples=0)
    assert [test.test for test in a.folds] == [test.test for test in b.folds]
    assert a.sample is not None
    assert b.sample is not None
    assert a.sample.by_class == b.sample.by_class
    assert a.sample.neighbours != b.sample.neighbours


def test_evaluate__fewer_rows_than_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="2 rows cannot hold cells of each of 3 classes"):
        reddino.evaluate(store(tmp_path / "t", uneven()), rows=2)


def test_evaluate__rows_without_a_group_are_counted_in_the_whole_table(tmp_path: Path) -> None:
    table = store(tmp_path / "t", uneven())
    with pytest.raises(RedDinoError, match="1200 of 1200 labelled rows have no 'patient'"):
        reddino.evaluate(table, rows=300, group_by="patient")


def test_draw_rows__small_strata_come_from_as_many_groups_as_they_can() -> None:
    strata = np.repeat([0, 1], [10_000, 100])
    groups = np.arange(10_100) % 50
    chosen = draw_rows(strata, groups, 100, seed=0)
    rare = chosen[strata[chosen] == 1]
    assert len(chosen) == 100
    assert len(rare) == 50
    assert len(np.unique(groups[rare])) == 50
    order = spread_over_groups(np.flatnonzero(strata == 1), groups, np.random.default_rng([0, 1]))
    assert set(rare) == set(order[:50])


def rare(rows: int = 1200) -> Embeddings:
    """Cells of which one class has 40, and two share the others."""
    emb = laboratories(rows, seed=3, classes=2)
    label = np.asarray(emb.strings("label"), dtype=object)
    label[:: rows // 40] = "rare"
    return Embeddings(emb.vectors, with_column(emb.table, "label", label.tolist()), emb.meta)


def test_evaluate__states_which_scores_are_not_of_the_table(tmp_path: Path) -> None:
    table = store(tmp_path / "t", rare())
    found = scored(table, tmp_path / "s.json", rows=120, resamples=0)
    share = found["sample"]["by_class"]["rare"]
    assert (share["rows"], share["of"]) == (40, 40)
    (note,) = [one for one in found["notes"] if one.startswith("Acc, wF1, precision")]
    assert "1 of its 3 classes, such as 'rare' (33.3% of its cells, and 3.3% of the table's)" in note
    even = scored(store(tmp_path / "even", laboratories(1200)), tmp_path / "e.json", rows=300, resamples=0)
    assert not [one for one in even["notes"] if one.startswith("Acc, wF1, precision")]


def test_evaluate__a_class_that_the_sample_has_in_one_group_is_not_said_to_be_of_one(tmp_path: Path) -> None:
    emb = laboratories(1200, seed=3, classes=2)
    slide: list[str | None] = [f"slide {number % 8}" for number in range(1200)]
    label: list[str | None] = ["common"] * 1200
    # Of 900 cells of the second class, two stand outside of the slide of all others.
    slide[:898], label[:900] = ["one slide"] * 898, ["clumped"] * 900
    columns = with_column(with_column(emb.table, "slide", slide), "label", label)
    columns = with_column(columns, "source", ["lab"] * 1200)
    table = store(tmp_path / "t", Embeddings(emb.vectors, columns, emb.meta))
    assert reddino.evaluate(table, resamples=0, folds=2)
    with pytest.raises(
        RedDinoError, match=r"in one group.*sample of 40 of 1,200 cells, which --rows changes"
    ):
        reddino.evaluate(table, resamples=0, folds=2, rows=40)


@pytest.mark.parametrize("rows", [None, 300])
def test_evaluate__refuses_tables_whose_rows_or_labels_differ(tmp_path: Path, rows: int | None) -> None:
    emb = laboratories(1200, seed=3)
    one = store(tmp_path / "one", emb)
    labels: list[str | None] = [*[None] * 600, *emb.strings("label")[600:]]
    half = Embeddings(emb.vectors, with_column(emb.table, "label", labels), emb.meta)
    turned = emb.select(np.arange(1200)[::-1])
    for name, table, sentence in (
        ("half", half, "they have other labels"),
        ("turned", turned, "not of the same cells: one" if rows is None else "their rows in another order"),
    ):
        other = store(tmp_path / name, table)
        for pair in ([one, other], [other, one]):
            with pytest.raises(RedDinoError, match=sentence):
                reddino.evaluate(pair, rows=rows, resamples=0)


def test_evaluate__vectors_that_are_not_finite_are_refused_where_they_were_not_drawn(tmp_path: Path) -> None:
    emb = laboratories(600)
    for row in (7, 8):  # whatever is drawn of 60, one of two tables has the odd vector outside of it
        vectors = emb.vectors.copy()
        vectors[row, 0] = np.nan
        table = store(tmp_path / f"{row}", Embeddings(vectors, emb.table, emb.meta))
        with pytest.raises(RedDinoError, match="hold numbers that are not finite"):
            reddino.evaluate(table, rows=60, resamples=0)
