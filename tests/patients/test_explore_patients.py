"""The map of patients and their most telling cells."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from patient_cohorts import cell_table, drawn_patients, write_cells, write_clinical

from reddino.cli import main
from reddino.patients.attention import AttentionSettings
from reddino.patients.bags import Bags
from reddino.patients.telling_cells import telling_cells, typical_patients


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_explore__draws_the_map_and_lists_the_cells_of_every_patient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = drawn_patients(36)
    table = write_cells(tmp_path / "table", cell_table(members))
    clinical = write_clinical(tmp_path / "c.csv", members)
    tokens = ["patients", "explore", str(table), "--clinical", str(clinical), "--target", "diagnosis"]
    assert main([*tokens, "--out", str(tmp_path / "out")]) == 0
    assert "map.png, patients.csv, telling_cells.csv" in capsys.readouterr().out
    patients, cells = _rows(tmp_path / "out" / "patients.csv"), _rows(tmp_path / "out" / "telling_cells.csv")
    assert [row["patient"] for row in patients] == [one.name for one in members]
    assert all(
        float(row["p_control"]) + float(row["p_disease"]) == pytest.approx(1, abs=1e-3) for row in patients
    )
    assert len(cells) == 36 * 20
    assert cells[0]["source"] == patients[0]["source"] != ""
    weights = [float(row["weight"]) for row in cells[:20]]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 1
    assert cv2.imread(str(tmp_path / "out" / "map.png")) is not None
    lines = clinical.read_text().replace("disease", "control")
    clinical.write_text(lines)
    assert main([*tokens, "--out", str(tmp_path / "out")]) == 0
    assert sorted(file.name for file in (tmp_path / "out").glob("*.*")) == ["map.png", "patients.csv"]


def test_telling_cells__are_those_that_make_the_class() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    patient = np.repeat(np.arange(60), 50)
    vectors = rng.normal(size=(3000, 5)).astype(np.float32)
    marked = rng.random(3000) < 0.15 * truth[patient]
    vectors[marked, 1] += 6
    shuffled = rng.permutation(3000)
    bags = Bags.of(vectors[shuffled], patient[shuffled], 60)
    settings = AttentionSettings(components=5, hidden=16, epochs=20, members=1)
    found = telling_cells(bags, truth, settings)
    weights = np.empty(3000)
    weights[shuffled] = found.weights
    assert weights.mean() == pytest.approx(1, abs=1e-4)
    assert weights[marked].mean() > weights[~marked].mean()
    for one, rows in enumerate(typical_patients(found.likely, truth, 3)):
        assert len(rows) == 3
        assert (truth[rows] == one).all()
        assert found.likely[rows[0], one] == found.likely[truth == one, one].max()
