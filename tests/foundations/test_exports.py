"""Tables for people: no cell that a spreadsheet computes, and nothing lost."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from reddino.classification.predict import Predictions
from reddino.classification.predictions_file import write_predictions
from reddino.embedding.convert import save
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.exports import csv_text, harmless, original, write_arrow_csv, write_csv
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding, write_findings
from reddino.smears.manifest import Manifest, read_manifest, write_manifest

FORMULAS = ["=1+1", "+A1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "+ve"]
VALUES = ["-", "+", "-0.5", "+0.013", "+0.013 (-0.001 to +0.027)", "-1e-5", "a=b", "", "12", "'quoted'", "5'"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_harmless__marks_what_a_spreadsheet_would_compute(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert original(harmless(cell)) == cell


@pytest.mark.parametrize("cell", VALUES)
def test_harmless__keeps_numbers_and_plain_text(cell: str) -> None:
    assert harmless(cell) == cell
    assert original(cell) == cell


def test_original__undoes_harmless_for_cells_that_start_with_an_apostrophe() -> None:
    for cell in ("'=1", "''=1", "'plain"):
        assert original(harmless(cell)) == cell


def test_csv_text__marks_cells_and_names_alike() -> None:
    assert csv_text([("=name", "n"), ("a", "-1"), ("@x", "")]) == "'=name,n\na,-1\n'@x,\n"


def test_write_csv__keeps_names_that_are_not_utf8(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", ("path",), [("caf\udce9.png",)])
    assert (tmp_path / "list.csv").read_bytes() == b"path\ncaf\xe9.png\n"


def test_write_arrow_csv__marks_columns_of_text_and_their_names(tmp_path: Path) -> None:
    table = pa.table({"path": [*FORMULAS, None, "a"], "p_=x": [-0.5] * 10, "=label": ["-1"] * 10})
    write_arrow_csv(table, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [*(f"'{cell}" for cell in FORMULAS), "", "a"]
    assert {(row["p_=x"], row["'=label"]) for row in rows} == {("-0.5", "-1")}


def test_manifest__as_csv_is_harmless_and_reads_back_as_it_was(tmp_path: Path) -> None:
    labels = [*FORMULAS[:4], "＝1+1", "+ve", "+", "-0.5", "'=x", "plain"]
    table = pa.table({"path": [f"{row}.png" for row in range(10)], "label": labels, "=extra": labels})
    made = Manifest(table, tmp_path)
    write_manifest(made, tmp_path / "m.csv")
    written = (tmp_path / "m.csv").read_text(encoding="utf-8")
    assert "'=extra" in written.splitlines()[0]
    assert all(not re.match(r"[=@\t]", cell) for row in csv.reader(written.splitlines()) for cell in row)
    read = read_manifest(tmp_path / "m.csv")
    assert read.strings("label") == labels
    assert read.strings("=extra") == labels
    assert read.fingerprint() == made.fingerprint()


def test_predictions_and_counts__as_csv_are_harmless(tmp_path: Path) -> None:
    rows = pa.table({name: ["=1+1"] for name in ("path", "source", "slide", "label")})
    found = Predictions(("@a", "b"), np.array([[0.75, 0.25]]), rows, None, False, 0, "")
    cells, slides, _ = write_predictions(found, tmp_path / "p.csv", {})
    for file, names in ((cells, ("path", "label")), (slides, ("source", "slide"))):
        with file.open(newline="", encoding="utf-8") as opened:
            (row,) = csv.DictReader(opened)
        assert {row[name] for name in names} == {"'=1+1"}
    with cells.open(newline="", encoding="utf-8") as opened:
        assert next(csv.DictReader(opened))["predicted"] == "'@a"


def test_converted_table__as_csv_is_harmless(tmp_path: Path) -> None:
    table = Embeddings(np.array([[-1.5]], np.float32), pa.table({"path": ["a"], "label": ["=1+1"]}), {})
    save(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"path": "a", "label": "'=1+1", "e0": "-1.5"}]


def test_findings_and_failures__as_csv_are_harmless(tmp_path: Path) -> None:
    write_findings([Finding("kind", "=1+1", 1, "@x")], tmp_path / "f.csv")
    assert "kind,'=1+1,1,'@x,False" in (tmp_path / "f.csv").read_text()
    failures = Failures()
    failures.add("-x+1.png", "=reason")
    failures.write(tmp_path / "failures.csv")
    assert (tmp_path / "failures.csv").read_text() == "path,reason\n'-x+1.png,'=reason\n"


ODD_LABELS = [
    "a,b",
    'a "quote"',
    "two\nlines",
    "nan",
    "NA",
    None,
    "红细胞",
    " blank",
    "x" * 40_000,
    "tab\there",
]


def test_write_arrow_csv__is_read_back_by_pandas_whatever_the_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    table = pa.table({"path": [f"{row}.png" for row in range(len(ODD_LABELS))], "label": ODD_LABELS})
    write_arrow_csv(table, tmp_path / "t.csv")
    read = pandas.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert list(read.columns) == ["path", "label"]
    assert read["label"].tolist() == [label or "" for label in ODD_LABELS]
    assert "'NA', 'nan', which pandas reads as missing values" in caplog.text
    assert "texts of more than 32767 characters, which Excel cuts off" in caplog.text


def test_write_arrow_csv__shows_a_nul_that_would_end_the_text(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_arrow_csv(pa.table({"a\0b": ["x\0y", "z"]}), tmp_path / "t.csv")
    read = pandas.read_csv(tmp_path / "t.csv")
    assert read["a\N{SYMBOL FOR NULL}b"].tolist() == ["x\N{SYMBOL FOR NULL}y", "z"]


@pytest.mark.parametrize(
    ("table", "marked"),
    [
        ({"a": ["x"]}, False),
        ({"a": ["é"]}, True),
        ({"é": ["x"]}, True),
        ({"a": [None, "x"], "n": [1, 2]}, False),
    ],
)
def test_write_arrow_csv__marks_files_that_are_not_ascii_for_excel(
    tmp_path: Path, table: dict[str, list[object]], marked: bool
) -> None:
    write_arrow_csv(pa.table(table), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf") == marked
    assert pacsv.read_csv(tmp_path / "t.csv").column_names == list(table)
