"""Tables for people: no cell that a spreadsheet computes, and nothing lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from reddino.exports import csv_text, harmless, original, write_arrow_csv, write_csv

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
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [*(f"'{cell}" for cell in FORMULAS), "", "a"]
    assert {(row["p_=x"], row["'=label"]) for row in rows} == {("-0.5", "-1")}
