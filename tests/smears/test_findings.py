"""Findings: the short sentence, each once, and as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears.findings import Finding, joined, short_form, write_findings

ODD = Finding("patient in several sources", "two laboratories, one name", 3, "patient 'p', a.png")
TRIMMED = Finding("blanks", "were trimmed", 7, "m.csv, row 2", harmless=True)


def test_short_form__counts_what_matters_and_names_the_first() -> None:
    assert short_form([TRIMMED, ODD]) == (
        "the input shows: patient in several sources (3); first: patient 'p', a.png; `reddino check` explains"
    )
    assert short_form([TRIMMED]) == ""


def test_joined__each_finding_once_in_order() -> None:
    assert joined([[ODD], [TRIMMED, ODD]]) == (ODD, TRIMMED)


def test_write_findings__as_csv_and_json(tmp_path: Path) -> None:
    write_findings([ODD, TRIMMED], tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["count"], row["harmless"]) for row in rows] == [
        (ODD.kind, "3", "False"),
        ("blanks", "7", "True"),
    ]
    write_findings([ODD], tmp_path / "f.json")
    assert json.loads((tmp_path / "f.json").read_text()) == [
        {
            "kind": ODD.kind,
            "message": ODD.message,
            "count": 3,
            "first": ODD.first,
            "harmless": False,
        }
    ]
    with pytest.raises(RedDinoError, match=r"\.csv or \.json"):
        write_findings([], tmp_path / "f.txt")
