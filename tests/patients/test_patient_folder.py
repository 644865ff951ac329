"""Fitted models of patients: they predict from both sides or either, and are refused when damaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from patient_cohorts import cell_table, drawn_patients, write_cells, write_clinical
from safetensors.numpy import load_file, save_file

import reddino
from reddino.cli import main
from reddino.foundations.errors import RedDinoError

MEMBERS = drawn_patients(100, 5)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    table = write_cells(folder / "table", cell_table(MEMBERS))
    clinical = write_clinical(folder / "c.csv", MEMBERS)
    reddino.fit_patients(table, clinical=clinical, target="diagnosis", out=folder / "model", repeats=1)
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _predict(
    fitted: Path, out: Path, *, table: bool = True, clinical: Path | None = None
) -> list[dict[str, str]]:
    reddino.predict_patients(
        fitted / "model", fitted / "table" if table else None, clinical=clinical, out=out
    )
    return _rows(out)


def test_predict__ranks_the_patients_it_learned_from(fitted: Path, tmp_path: Path) -> None:
    rows = _predict(fitted, tmp_path / "p.csv", clinical=fitted / "c.csv")
    assert [row["patient"] for row in rows] == [one.name for one in MEMBERS]
    assert {row["answered_by"] for row in rows} == {"both"}
    likely = np.array([float(row["p_disease"]) for row in rows])
    diseased = np.array([one.diseased for one in MEMBERS])
    assert (likely[diseased][:, None] > likely[~diseased]).mean() > 0.7
    assert all(
        float(row["p_disease"]) + float(row["p_control"]) == pytest.approx(1, abs=1e-5) for row in rows
    )


def test_predict__from_the_side_that_a_patient_has(fitted: Path, tmp_path: Path) -> None:
    lines = (fitted / "c.csv").read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([lines[0], *lines[1:11], "new,50,f,9.5,70,18,250,7,"]) + "\n")
    rows = {row["patient"]: row for row in _predict(fitted, tmp_path / "p.csv", clinical=few)}
    assert rows["new"]["answered_by"] == "clinical"
    assert rows[MEMBERS[0].name]["answered_by"] == "both"
    assert rows[MEMBERS[50].name]["answered_by"] == "picture"
    assert len(rows) == 101
    alone = {row["patient"]: row for row in _predict(fitted, tmp_path / "q.csv", table=False, clinical=few)}
    assert alone["new"] == rows["new"]
    pictures = {row["patient"]: row for row in _predict(fitted, tmp_path / "r.csv")}
    assert pictures[MEMBERS[50].name]["p_disease"] == rows[MEMBERS[50].name]["p_disease"]
    with pytest.raises(RedDinoError, match="nobody to predict"):
        _predict(fitted, tmp_path / "s.csv", table=False)


def test_predict__of_one_patient_reads_numbers_as_the_model_does(fitted: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.csv"
    one.write_text(
        "patient,age,sex,hb_g_dl,mcv_fl,rdw_percent,platelets_10e9_l,wbc_10e9_l\na,50,f,9.5,70,18,250,7\n"
    )
    rows = _predict(fitted, tmp_path / "p.csv", table=False, clinical=one)
    assert float(rows[0]["p_disease"]) > 0.5
    one.write_text(one.read_text().replace("9.5", "low"))
    with pytest.raises(RedDinoError, match="line 2, column 'hb_g_dl': 'low' is not a number"):
        _predict(fitted, tmp_path / "q.csv", table=False, clinical=one)
    one.write_text("patient,age\na,50\n")
    with pytest.raises(RedDinoError, match="has no column 'sex'"):
        _predict(fitted, tmp_path / "r.csv", table=False, clinical=one)


COLUMNS = "patient,age,sex,hb_g_dl,mcv_fl,rdw_percent,platelets_10e9_l,wbc_10e9_l\n"


def _clinical(path: Path, *, hb: str = "9.5", sex: str = "f") -> Path:
    path.write_text(f"{COLUMNS}a,50,{sex},{hb},70,18,250,7\n")
    return path


def test_predict__refuses_a_patient_whom_the_tables_write_apart(fitted: Path, tmp_path: Path) -> None:
    text = (fitted / "c.csv").read_text()
    name = MEMBERS[3].name
    (tmp_path / "c.csv").write_text(text.replace(name, name.upper()))
    with pytest.raises(RedDinoError, match=f"patient '{name.upper()}'.*, and the embedding table '{name}'"):
        _predict(fitted, tmp_path / "p.csv", clinical=tmp_path / "c.csv")


def test_predict__refuses_a_category_that_the_model_did_not_learn(fitted: Path, tmp_path: Path) -> None:
    clinical = _clinical(tmp_path / "c.csv", sex="F")
    with pytest.raises(RedDinoError, match=r"column 'sex': 'F' is none of the categories .* \(f, m\)"):
        _predict(fitted, tmp_path / "p.csv", table=False, clinical=clinical)


def test_predict__refuses_another_unit_than_the_model_learned(fitted: Path, tmp_path: Path) -> None:
    lines = (fitted / "c.csv").read_text().splitlines()
    place = lines[0].split(",").index("hb_g_dl")
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        row[place] += " g/dL" if row[place] else ""
    written = tmp_path / "units.csv"
    written.write_text("\n".join([lines[0], *(",".join(row) for row in rows)]) + "\n")
    model = tmp_path / "model"
    reddino.fit_patients(fitted / "table", clinical=written, target="diagnosis", out=model, repeats=1)
    right = _clinical(tmp_path / "right.csv", hb="9.5 g/dl")
    assert reddino.predict_patients(model, clinical=right, out=tmp_path / "p.csv")[0].patient == "a"
    for other, own in (("95 g/L", "in 'g/L'"), ("9.5", "without a unit")):
        wrong = _clinical(tmp_path / "wrong.csv", hb=other)
        with pytest.raises(RedDinoError, match=f"'hb_g_dl': is {own}, and the model learned it in 'g/dL'"):
            reddino.predict_patients(model, clinical=wrong, out=tmp_path / "q.csv")
    with pytest.raises(RedDinoError, match="is in 'g/dl', and the model learned it without a unit"):
        reddino.predict_patients(fitted / "model", clinical=right, out=tmp_path / "r.csv")
    told = json.loads((model / "patients.json").read_text())
    del told["units"]  # as an earlier version wrote it
    (model / "patients.json").write_text(json.dumps(told))
    assert reddino.predict_patients(model, clinical=right, out=tmp_path / "s.csv")


def test_predict__says_where_a_column_lies_far_from_what_was_learned(
    fitted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _predict(fitted, tmp_path / "p.csv", table=False, clinical=_clinical(tmp_path / "c.csv"))
    assert not caplog.messages
    _predict(fitted, tmp_path / "q.csv", table=False, clinical=_clinical(tmp_path / "c.csv", hb="95"))
    assert [text for text in caplog.messages if "column 'hb_g_dl' is about 95 here, and" in text]


def test_predict__refuses_a_table_of_another_network(fitted: Path, tmp_path: Path) -> None:
    told = json.loads((fitted / "model" / "patients.json").read_text())
    told["embedding"]["weights_hash"] = "another"
    other = tmp_path / "model"
    other.mkdir()
    (other / "patients.json").write_text(json.dumps(told))
    (other / "patients.safetensors").write_bytes((fitted / "model" / "patients.safetensors").read_bytes())
    with pytest.raises(RedDinoError, match="its weights hash differs"):
        reddino.predict_patients(other, fitted / "table", out=tmp_path / "p.csv")


def test_folder__that_is_damaged_or_mixed_is_refused(fitted: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("patients.json", "patients.safetensors"):
        (model / name).write_bytes((fitted / "model" / name).read_bytes())
    arrays = load_file(model / "patients.safetensors")
    arrays["fusion_bias"] = arrays["fusion_bias"] + 1
    save_file(arrays, model / "patients.safetensors")
    with pytest.raises(RedDinoError, match=r"patients\.safetensors does not belong to patients\.json"):
        reddino.predict_patients(model, fitted / "table", out=tmp_path / "p.csv")
    (model / "patients.safetensors").write_bytes(b"nothing")
    with pytest.raises(RedDinoError, match="cannot be read as a model of patients"):
        reddino.predict_patients(model, fitted / "table", out=tmp_path / "p.csv")
    with pytest.raises(RedDinoError, match="is no model of patients"):
        reddino.predict_patients(tmp_path, fitted / "table", out=tmp_path / "p.csv")


def test_fit__does_not_replace_a_model(fitted: Path) -> None:
    with pytest.raises(RedDinoError, match="already holds a model of patients"):
        reddino.fit_patients(
            fitted / "table", clinical=fitted / "c.csv", target="diagnosis", out=fitted / "model"
        )


def test_commands__fit_and_predict(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--clinical", str(fitted / "c.csv")]
    tokens = ["patients", "fit", str(fitted / "table"), *given, "--target", "diagnosis", "--repeats", "1"]
    assert main([*tokens, "--out", str(tmp_path / "m")]) == 0
    assert "both - clinical: AUROC" in capsys.readouterr().out
    assert (
        main(
            [
                "patients",
                "predict",
                str(tmp_path / "m"),
                str(fitted / "table"),
                *given,
                "--out",
                str(tmp_path / "p.csv"),
            ]
        )
        == 0
    )
    assert "100 patients, 100 by both" in capsys.readouterr().out
    assert _rows(tmp_path / "p.csv") == _predict(fitted, tmp_path / "q.csv", clinical=fitted / "c.csv")
