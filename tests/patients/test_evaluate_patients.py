"""The evaluation of patients as a verb and as a command, on cohorts whose truth is known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patient_cohorts import cell_table, drawn_patients, write_cells, write_clinical

import reddino
from reddino.classification.classifier import open_classifier
from reddino.cli import main
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.patients.clinical_table import read_clinical
from reddino.patients.cohort import match
from reddino.patients.evaluation import PatientScores, class_probabilities, evaluate_cohort
from reddino.synthetic.choices import Adds
from reddino.synthetic.morphologies import MORPHOLOGIES


def _scores(
    tmp_path: Path, adds: Adds, *, seed: int = 3, confounded: bool = False, **options: Any
) -> list[PatientScores]:
    members = drawn_patients(150, seed, adds=adds, confounded=confounded)
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", members), target="diagnosis")
    return evaluate_cohort(match(cell_table(members), clinical), repeats=2, **options)


def _difference(scores: PatientScores) -> tuple[float, float, float]:
    row = scores.row("both - clinical")
    assert row is not None
    assert row.low is not None
    assert row.high is not None
    return row.value, row.low, row.high


def test_picture__that_adds_something_is_seen_and_one_that_adds_nothing_is_not(tmp_path: Path) -> None:
    adds, low, _ = _difference(_scores(tmp_path, "everything", seed=5)[0])
    assert adds > 0.1
    assert low > 0
    _, low, high = _difference(_scores(tmp_path, "nothing", seed=5)[0])
    assert low < 0.02
    assert high > -0.02


def test_scores__have_every_model_with_every_metric(tmp_path: Path) -> None:
    scores = _scores(tmp_path, "something", also=("boosted",))[0]
    models = {row.model for row in scores.rows}
    assert {"clinical", "picture", "both", "both - clinical", "clinical, boosted"} <= models
    assert {"both, picture withheld", "both, clinical withheld", "both, one linear model"} <= models
    for model in models:
        for metric in ("auroc", "auroc_bootstrap", "macro_f1", "balanced_accuracy", "brier"):
            row = scores.row(model, metric)
            assert row is not None
            assert row.low is not None
            assert row.low <= row.value <= (row.high or 0)
    assert scores.powers[0].patients is not None


def test_laboratory__that_goes_together_with_the_disease_is_warned_of_and_falls_when_left_out(
    tmp_path: Path,
) -> None:
    ordinary = _scores(tmp_path, "nothing", confounded=True)[0]
    assert any("The sources go together with the target" in note for note in ordinary.notes)
    left, beside = _scores(tmp_path, "nothing", confounded=True, protocol="leave-one-source-out")
    assert (left.protocol, beside.protocol) == ("leave-one-source-out", "patients")
    for one, flatters in (("picture", True), ("clinical", False)):
        apart, together = left.row(one), beside.row(one)
        assert apart is not None
        assert together is not None
        if flatters:
            assert together.value > apart.value + 0.15
    assert any("AUROC with each source left out" in note for note in left.notes)


def test_column__that_tells_the_target_is_warned_of(tmp_path: Path) -> None:
    members = drawn_patients(60)
    path = write_clinical(tmp_path / "c.csv", members)
    lines = path.read_text().splitlines()
    told = [
        lines[0] + ",transfused",
        *(f"{line},{'yes' if line.endswith('disease') else 'no'}" for line in lines[1:]),
    ]
    path.write_text("\n".join(told) + "\n")
    cohort = match(cell_table(members), read_clinical(path, target="diagnosis"))
    notes = evaluate_cohort(cohort, repeats=1)[0].notes
    assert any(
        "Column 'transfused' predicts the target almost by itself (right for 100 %" in note for note in notes
    )


def test_command__writes_results_that_others_rely_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = drawn_patients(80)
    table = write_cells(tmp_path / "table", cell_table(members))
    clinical = write_clinical(tmp_path / "c.csv", members)
    tokens = ["patients", "evaluate", str(table), "--clinical", str(clinical), "--target", "diagnosis"]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "results-patients.csv").write_text("of a score before")
    assert main([*tokens, "--out", str(tmp_path / "a"), "--repeats", "2"]) == 0
    assert not (tmp_path / "a" / "results-patients.csv").exists()
    shown = capsys.readouterr().out
    assert "AUROC of disease" in shown
    assert "both - clinical" in shown
    assert main([*tokens, "--out", str(tmp_path / "b"), "--repeats", "2"]) == 0
    results = (tmp_path / "a" / "results.csv").read_bytes()
    assert results == (tmp_path / "b" / "results.csv").read_bytes()
    rows = list(csv.DictReader(results.decode().splitlines()))
    assert list(rows[0]) == ["model", "metric", "value", "low", "high"]
    assert {
        ("both", "auroc"),
        ("clinical", "macro_f1"),
        ("picture", "brier"),
        ("both - clinical", "auroc"),
    } <= {(row["model"], row["metric"]) for row in rows}
    told = json.loads((tmp_path / "a" / "results.json").read_text())
    assert told["provenance"]["seed"] == 0
    assert [one["name"] for one in told["columns"]][:2] == ["age", "sex"]
    with (tmp_path / "a" / "predictions.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == 80
    assert 0 <= float(predicted[0]["both: disease"]) <= 1
    for name in ("calibration.png", "decision.png"):
        assert (tmp_path / "a" / name).stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"positive": "cancer"}, "no patient is 'cancer': --positive takes control, disease"),
        ({"folds": 1}, "folds must be 2 or more"),
    ],
)
def test_question__that_cannot_be_asked_is_refused(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        _scores(tmp_path, "something", **options)


def test_class__of_too_few_patients_is_refused_by_name(tmp_path: Path) -> None:
    members = drawn_patients(20)
    path = write_clinical(tmp_path / "c.csv", members)
    text = path.read_text().replace("control", "disease", len(members))
    rare = text.replace("disease", "rare", 2)
    path.write_text(rare)
    cohort = match(cell_table(members), read_clinical(path, target="diagnosis"))
    with pytest.raises(
        RedDinoError, match=r"6 patients of each class are needed, but there are fewer of 'rare' \(2\)"
    ):
        evaluate_cohort(cohort)


def test_target__that_no_patient_has_is_refused(tmp_path: Path) -> None:
    members = drawn_patients(20)
    path = write_clinical(tmp_path / "c.csv", members)
    path.write_text(path.read_text().replace("control", "").replace("disease", ""))
    cohort = match(cell_table(members), read_clinical(path, target="diagnosis"))
    with pytest.raises(RedDinoError, match="no patient has a target"):
        evaluate_cohort(cohort)


def test_class_fractions__of_a_classifier_are_a_picture_and_their_origin_is_said(tmp_path: Path) -> None:
    learned, members = drawn_patients(40, 8), drawn_patients(100, 3, adds="everything")
    table = write_cells(tmp_path / "learned", cell_table(learned, 8))
    common = {"normal", "teardrop", "schistocyte", "microcyte", "ovalocyte"}
    rare = [name for name in MORPHOLOGIES if name not in common]
    reddino.fit(table, out=tmp_path / "shapes", folds=3, drop=rare)
    classifier = open_classifier(tmp_path / "shapes")
    cells = read_embeddings(write_cells(tmp_path / "cells", cell_table(members)))
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", members), target="diagnosis")
    cohort = match(replace(cells, meta={**cells.meta, "data": "others"}), clinical)
    fractions = class_probabilities(classifier, cohort.cells)
    assert fractions.shape == (len(cohort.cells), len(classifier.classes))
    scores = evaluate_cohort(cohort, classifier=classifier, repeats=1)[0]
    row = scores.row("picture, class fractions")
    assert row is not None
    assert row.value > 0.65
    assert scores.row("both, class fractions - clinical") is not None
    assert any("own patients are not recorded" in note for note in scores.notes)
    own = match(replace(cells, meta={**cells.meta, "data": classifier.provenance["data"]}), clinical)
    notes = evaluate_cohort(own, classifier=classifier, repeats=1)[0].notes
    assert any("learned from this very table" in note for note in notes)


def test_target__that_is_a_measurement_is_refused(tmp_path: Path) -> None:
    members = drawn_patients(30)
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", members), target="wbc_10e9_l")
    cohort = match(cell_table(members), clinical)
    with pytest.raises(RedDinoError, match="is the target a measurement"):
        evaluate_cohort(cohort)


def test_positive__turns_the_classes_round(tmp_path: Path) -> None:
    plain, turned = _scores(tmp_path, "something")[0], _scores(tmp_path, "something", positive="control")[0]
    assert (plain.classes[1], turned.classes[1]) == ("disease", "control")
    a, b = plain.row("clinical"), turned.row("clinical")
    assert a is not None
    assert b is not None
    assert a.value == pytest.approx(b.value, abs=0.03)


def test_verb__refuses_choices_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="no such protocol: 'slides'; choose from patients, leave-one"):
        reddino.evaluate_patients(tmp_path, clinical="c.csv", target="x", protocol="slides")  # type: ignore[arg-type]


def test_repeats__differ_in_folds_and_not_in_who_is_tested(tmp_path: Path) -> None:
    first, second = _scores(tmp_path, "something")[0].repeats
    assert (first.fold != second.fold).any()
    for repeat in (first, second):
        assert np.isfinite(repeat.likely["both"]).all()
