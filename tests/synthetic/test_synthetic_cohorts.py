"""Synthetic cohorts: the traits do what they say, and the folder holds pictures, counts and truth."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.synthetic.choices import Adds
from reddino.synthetic.cohorts import CLINICAL_COLUMNS, draw_cohort
from reddino.synthetic.morphologies import MORPHOLOGIES


def test_cohort__is_a_function_of_its_seed() -> None:
    assert draw_cohort(20, seed=4) == draw_cohort(20, seed=4)
    assert draw_cohort(20, seed=4) != draw_cohort(20, seed=5)


@pytest.mark.parametrize(
    ("adds", "of_counts", "of_shapes"),
    [("nothing", True, False), ("something", True, True), ("everything", False, True)],
)
def test_disease__follows_the_traits_that_it_should(adds: Adds, of_counts: bool, of_shapes: bool) -> None:
    members = draw_cohort(1500, adds=adds)
    diseased = np.array([one.diseased for one in members])
    assert 0.3 < diseased.mean() < 0.55
    for trait, follows in (("counted", of_counts), ("shaped", of_shapes)):
        values = np.array([getattr(one, trait) for one in members])
        gap = values[diseased].mean() - values[~diseased].mean()
        assert (gap > 0.5) if follows else (abs(gap) < 0.15)


def test_traits__move_counts_and_shapes() -> None:
    members = draw_cohort(800, missing=0.0)
    hb = np.array([float(one.clinical[CLINICAL_COLUMNS.index("hb_g_dl")] or 0) for one in members])
    teardrops = np.array([one.mix()[MORPHOLOGIES.index("teardrop")] for one in members])
    assert np.corrcoef(hb, [one.counted for one in members])[0, 1] < -0.6
    assert np.corrcoef(teardrops, [one.shaped for one in members])[0, 1] > 0.6
    assert abs(np.corrcoef(teardrops, [one.counted for one in members])[0, 1]) < 0.2
    assert all(one.mix().sum() == pytest.approx(1) for one in members)


def test_missing__is_missing_as_often_as_asked() -> None:
    values = [value for one in draw_cohort(800, missing=0.2) for value in one.clinical]
    assert np.mean([value is None for value in values]) == pytest.approx(0.2 * 6 / 7, abs=0.02)


def test_confounded__laboratory_goes_together_with_the_disease() -> None:
    members = draw_cohort(600, confounded=True)
    first = np.array([one.laboratory == 0 for one in members])
    diseased = np.array([one.diseased for one in members])
    assert first[diseased].mean() > 0.7
    assert first[~diseased].mean() < 0.3


def test_folder__has_a_clinical_row_for_every_patient_of_the_manifest(tmp_path: Path) -> None:
    made = reddino.synthesise_cohort(tmp_path / "c", patients=4, field_um=30.0, seed=1)
    with (tmp_path / "c" / "clinical.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == list(dict.fromkeys(made.strings("patient")))
    assert {row["patient"]: row["source"] for row in rows} == dict(
        zip(made.strings("patient"), made.strings("source"), strict=True)
    )
    assert {row["diagnosis"] for row in rows} <= {"disease", "control"}
    assert (tmp_path / "c" / "truth.csv").is_file()
    with pytest.raises(RedDinoError, match="already holds a manifest"):
        reddino.synthesise_cohort(tmp_path / "c", patients=4)


@pytest.mark.parametrize("options", [{"patients": 0}, {"laboratories": 99}, {"missing": 1.0}, {"fields": 0}])
def test_folder__of_impossible_settings_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(RedDinoError, match="not"):
        reddino.synthesise_cohort(tmp_path / "c", **options)
    assert not (tmp_path / "c" / "manifest.csv").exists()
