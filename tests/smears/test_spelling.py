"""Spelling of ids, labels and columns: what is trimmed, what is missing, and what is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reddino.checks.inspection import inspect_rows
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.spelling import may_mean_missing, means_missing, name_key, spelling_key, tidy


@pytest.mark.parametrize(
    "text",
    [
        " burr",
        "burr ",
        "\tburr\n",
        "\xa0burr",
        "burr\u200b",
        "\ufeffburr",
        "bu\u00adrr",
        "\u3000burr\u200d \u2060",
        "\u202bburr\u202c",
        "\u2066burr\u2069",
        "burr\ufe0f",
        "\u3164burr\u2800",
        "bu\U000e0061rr",
    ],
)
def test_tidy__takes_off_what_nobody_sees(text: str) -> None:
    assert tidy(text) == "burr"


def test_tidy__joins_accents_and_keeps_what_has_a_meaning() -> None:
    assert tidy("cellule e\u0301chinocyte") == "cellule \u00e9chinocyte"
    assert tidy("Burr\u00a0cell") == "Burr cell"
    assert tidy("Burr  cell") == "Burr  cell"
    assert tidy("می\u200cخواهم") == "می\u200cخواهم"
    assert tidy("\u200b \ufeff") == ""


@pytest.mark.parametrize(
    "word",
    [
        "",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "NaN",
        "nan",
        "-nan",
        "null",
        "NULL",
        "None",
        "<NA>",
        "nil",
        "-",
        "--",
        "?",
        ".",
        "\\N",
        "<NULL>",
        "N\uff0fA",
        "\uff0d",
        "#NV",
        "#N/D",
        "#DIV/0!",
        "#WERT!",
        "#NAME?",
        "#¡VALOR!",
        "#¿NOMBRE?",
        "#Н/Д",
        "#SAKNAS!",
        "#N/D!",
        "Err:502",
    ],
)
def test_means_missing__recognises_what_programs_write(word: str) -> None:
    assert means_missing(word)


@pytest.mark.parametrize(
    "word",
    ["0", "p1", "normal", "none", "unknown", "n", "a", "N", "-1", "no", "NAN1", "#1", "#7!", "#burr", "Err"],
)
def test_means_missing__leaves_values_alone(word: str) -> None:
    assert not means_missing(word)


def test_may_mean_missing__is_for_words_that_may_be_a_class() -> None:
    for word in (
        "unknown",
        "none",
        "(null)",
        "<Unknown>",
        "Not_Recorded",
        "n.k.",
        "k. A.",
        "-1",
        "-999",
        "*",
        "未知",
    ):
        assert may_mean_missing(word), word
    for word in ("normal", "nd", "0", "99", "-12", "p-1", "no", "A."):
        assert not may_mean_missing(word), word


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("burr cell", "Burr  cell"),
        ("burr cell", "burr-cell"),
        ("burr cell", "burr_cell"),
        ("p1", "P1"),
        ("p1", "p 1"),
        ("p1", "p01"),
        ("é", "e"),
        ("p-1", "p\u20111"),
        ("1", "1.0"),
        ("1", "01"),
        ("Ａ", "a"),
        ("А", "A"),
        ("p1", "p\u0661"),
        ("p1", '"p1"'),
        ("p1\u2019", "p1'"),
        ("sickle", "sickle."),
        ("burr cell", "burr.cell"),
    ],
)
def test_spelling_key__is_the_same_for_what_a_reader_takes_for_one(one: str, other: str) -> None:
    assert spelling_key(one) == spelling_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 2", "12"),
        ("CD4", "CD4-"),
        ("1.01", "1.1"),
        ("p1", "p10"),
        ("10", "100"),
        ("-1", "1"),
        ("1.2", "1-2"),
    ],
)
def test_spelling_key__differs_for_what_differs(one: str, other: str) -> None:
    assert spelling_key(one) != spelling_key(other)


def test_name_key__is_that_of_the_name_that_is_meant() -> None:
    for name in (
        "Cell diameter",
        "cell-diameter",
        "\ufeffCELL_DIAMETER ",
        "celldiameter",
        "cell\u00a0diameter",
    ):
        assert name_key(name) == name_key("cell_diameter")


def found(**columns: list[Any]) -> dict[str, Finding]:
    """By kind, what the checks find in a manifest of those columns."""
    rows = len(next(iter(columns.values())))
    table = pa.table({"path": [f"{row}.png" for row in range(rows)], **columns})
    return {finding.kind: finding for finding in inspect_rows(Manifest(table, Path()))}


def test_check__names_values_that_are_spelt_alike() -> None:
    finding = found(label=["burr cell", "normal", "Burr  cell", "burr cell"])["values spelt alike"]
    assert "'burr cell' (2 rows)" in finding.message and "'Burr  cell' (1 row)" in finding.message
    assert (finding.count, finding.first, finding.harmless) == (1, "row 3 (2.png)", False)


def test_check__compares_patients_within_a_source_and_between_two() -> None:
    columns = {"source": ["a", "b", "b", "b"], "patient": ["p1", "P1", "q7", "Q7"]}
    finding = found(**columns)["values spelt alike"]
    assert "'q7' (1 row of source 'b') and 'Q7' (1 row of source 'b')" in finding.message
    assert (finding.count, finding.first) == (2, "row 4 (3.png)")
    finding = found(source=["a", "b"], patient=["p1", "P1"])["values spelt alike"]
    assert "'p1' (1 row of source 'a') and 'P1' (1 row of source 'b')" in finding.message
    assert "values spelt alike" not in found(source=["a", "b"], patient=["p1", "p1"])
    assert "values spelt alike" in found(source=["Lab A", "lab a"])


def test_check__reports_words_that_may_mean_missing() -> None:
    finding = found(patient=["p1", "unknown", "unknown"])["values that may mean missing"]
    assert (finding.count, finding.first, finding.harmless) == (2, "row 2 (1.png)", False)
    assert found(label=["normal", "none"])["values that may mean missing"].harmless


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("patient_id", "patient"),
        ("PatientID", "patient"),
        ("slide_id", "slide"),
        ("class", "label"),
        ("Cell Type", "label"),
        ("xmin", "x"),
        ("pateint", "patient"),
        ("patient.1", "patient"),
        ("cell_diamter", "cell_diameter"),
        ("pat", "patient"),
        ("site", "source"),
    ],
)
def test_check__names_the_column_that_another_may_be_meant_for(name: str, column: str) -> None:
    finding = found(**{name: ["1", "2"]})["columns of other names"]
    assert f"'{name}'" in finding.message and f"call it '{column}'" in finding.message


def test_check__takes_the_far_edge_of_a_box_for_no_width() -> None:
    message = found(xmax=["1", "2"])["columns of other names"].message
    assert "fill 'w' with the size" in message and "call it" not in message
    assert not found(side=["left", "right"], patient_age=["70", "71"])


@pytest.mark.parametrize("left", ["1.23457E+11", "1E+05", "####", "M\ufffdller", "MÃ¼ller", "ç´°"])
def test_check__reports_what_a_spreadsheet_or_an_encoding_left_of_an_id(left: str) -> None:
    finding = found(patient=["p1", left, left])["values that lost characters"]
    assert (finding.count, finding.first, finding.harmless) == (2, "row 2 (1.png)", False)


@pytest.mark.parametrize("left", ["3-Jan", "01. Mrz", "Mar-01", "12-Dez"])
def test_check__reports_ids_that_a_spreadsheet_took_for_dates(left: str) -> None:
    finding = found(slide=["4-1b", left, "13-1"])["values that lost characters"]
    assert (finding.count, finding.first) == (1, "row 2 (1.png)")
    assert "values that lost characters" not in found(slide=[left, left])
    assert "values that lost characters" not in found(label=["mar", "may 7b", "target"])


def test_check__takes_accents_and_other_scripts_for_what_they_are() -> None:
    names = ["Müller", "Zoë", "Šimůnek", "Ångström", "棘红细胞", "Ä", "São Tomé", "naïve ½"]
    assert "values that lost characters" not in found(patient=names)


def test_check__reports_numbers_too_large_for_their_type() -> None:
    patient = pa.array([3.0, 2.0**24, 2.0**24], pa.float32())
    table = pa.table({"path": ["1.png", "2.png", "3.png"], "patient": patient})
    (finding,) = Manifest(table, Path()).findings
    assert (finding.kind, finding.count) == ("values that lost characters", 2)
    assert not Manifest(table.slice(0, 1), Path()).findings


def test_check__leaves_other_columns_alone_where_the_known_one_is_filled() -> None:
    assert "columns of other names" not in found(patient_id=["1", "2"], patient=["p1", "p2"])


def test_check__reports_decimal_commas_in_columns_of_numbers() -> None:
    finding = found(haemoglobin=["12", None, "11,2"])["decimal commas"]
    assert "'11,2'" in finding.message and finding.first == "row 3 (2.png)"
    assert "decimal commas" not in found(numbers=["1,93,472", "11,2"])
    assert "decimal commas" not in found(note=["about 11,2", "11,2"])


def test_check__reports_rows_that_are_listed_twice() -> None:
    places: dict[str, Any] = {"path": ["a.png"] * 4, "x": [1.0, 2.0, 1.0, 1.0], "y": [1.0, 2.0, 1.0, 1.0]}
    assert found(**places, label=["k"] * 4)["rows listed twice"].count == 2
    finding = found(**places, label=["k", "k", "l", "k"])["rows of several labels"]
    assert (finding.count, finding.first) == (2, "row 1 (a.png)")
    assert not found(path=["a.png"] * 2, x=[1.0, 2.0], y=[1.0, 1.0])
