"""The verdict on a batch effect: plain words, beside cases whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reddino.evaluation.batch_effect.measures import BatchReport
from reddino.evaluation.batch_effect.sample import Measure
from reddino.evaluation.batch_effect.tables import BatchReports, markdown, save
from reddino.evaluation.batch_effect.verdict import KNOWN_CASES, mixing, probe_margin, scale_rows, verdict
from reddino.foundations.provenance import provenance


def made(model: str = "made", **values: tuple[float, float]) -> BatchReport:
    names = {
        "told": "source told",
        "lisi": "iLISI",
        "by_class": "variance by class",
        "within": "source within class",
    }
    measures = tuple(Measure(names[key], *value) for key, value in values.items())
    classes = ("a", "b") if "by_class" in values else ()
    return BatchReport(model, 10, 10, {"x": 5, "y": 5}, classes, 8, 8, 0, measures)


def test_probe_margin_and_mixing__are_fractions_between_chance_and_all() -> None:
    report = made(told=(0.75, 0.5), lisi=(1.4, 1.8))
    assert probe_margin(report) == pytest.approx(0.5)
    assert mixing(report) == pytest.approx(0.5)
    assert probe_margin(made(told=(0.4, 0.5), lisi=(2.0, 1.8))) == 0.0
    assert mixing(made(lisi=(2.0, 1.8))) == 1.0


@pytest.mark.parametrize(
    ("told", "lisi", "words"),
    [
        ((0.52, 0.5), (1.85, 1.9), "Hardly a trace"),
        ((0.95, 0.5), (1.85, 1.9), "probe separates the sources, and no more"),
        ((0.95, 0.5), (1.5, 1.9), "The source shapes the vectors"),
        ((0.95, 0.5), (1.1, 1.9), "fall apart"),
    ],
)
def test_verdict__names_how_far_the_sources_are_apart(
    told: tuple[float, float], lisi: tuple[float, float], words: str
) -> None:
    sentence = verdict(made(told=told, lisi=lisi))
    assert words in sentence
    assert "Without labels" in sentence
    with_classes = verdict(made(told=told, lisi=lisi, by_class=(0.3, 0.0), within=(0.1, 0.0)))
    assert "30% of the variance, more than the source adds within a class (10%)" in with_classes
    assert "Without labels" not in with_classes


def test_verdict__without_measures_gives_none() -> None:
    assert "there is no verdict" in verdict(made())
    assert "could not be measured" in verdict(made(lisi=(1.1, 1.9)))


def test_scale__sets_the_tables_among_the_known_cases() -> None:
    rows = scale_rows([made("mine", told=(0.9, 0.5), lisi=(1.45, 1.9)), made("none")])
    assert len(rows) == len(KNOWN_CASES) + 1
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)
    assert ("0.50", "0.80", "> this table: mine") in rows


def test_verdict__is_in_every_form_of_the_results(tmp_path: Path) -> None:
    reports = BatchReports([made("one|two", told=(0.95, 0.5), lisi=(1.1, 1.9))])
    save(tmp_path / "b.json", reports, provenance())
    assert "fall apart" in json.loads((tmp_path / "b.json").read_text())["reports"][0]["verdict"]
    text = markdown(reports)
    assert "fall apart" in text and "one\\|two" in text and KNOWN_CASES[0].name.split(",")[0] in text
    assert reports.verdicts()[0].startswith("The sources fall apart")
    assert reports.scale().row_count == len(KNOWN_CASES) + 1
