"""BibTeX with authors, the same as CITATION.cff."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import reddino
from reddino.cli import main
from reddino.foundations.citation import PAPER, SOFTWARE

CFF = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8"))


def _plain(text: str) -> str:
    return text.replace("{", "").replace("}", "")


def test_cite__prints_both_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite"]) == 0
    text = capsys.readouterr().out
    assert text == f"{reddino.cite()}\n"
    assert re.findall(r"^@(\w+)\{(\w+),$", text, re.MULTILINE) == [
        ("article", "zedda2025reddino"), ("software", "reddino"),
    ]  # fmt: skip
    assert text.count("{") == text.count("}")
    assert re.search(r"^  author +=.*Di Ruberto, Cecilia and Marr, Carsten\},$", text, re.MULTILINE)


def test_citation__is_that_of_the_repository() -> None:
    paper = CFF["preferred-citation"]
    authors = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    assert PAPER["author"] == authors
    assert (_plain(PAPER["title"]), PAPER["year"]) == (paper["title"], str(paper["year"]))
    assert (PAPER["doi"], PAPER["url"]) == (paper["doi"], paper["url"])
    assert f"arXiv:{PAPER['eprint']}" in [one["value"] for one in paper["identifiers"]]
    assert _plain(SOFTWARE["title"]) == CFF["title"]
    assert (SOFTWARE["version"], SOFTWARE["note"]) == (CFF["version"], CFF["license"])
    assert _plain(SOFTWARE["author"]) == CFF["authors"][0]["name"]
