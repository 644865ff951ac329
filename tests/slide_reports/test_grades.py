"""Grades: thresholds from a file, ranges where an interval crosses one, and too few cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from reddino.foundations.errors import RedDinoError
from reddino.slide_reports.grades import read_grades, unverified

FILE = """
name: ours
source: our laboratory
least_cells: 100
features:
  - feature: teardrop cells
    classes: [teardrop]
    bands: [{grade: 1+, above: 2}, {grade: 2+, above: 10}]
    source: our handbook
"""


def written(folder: Path, text: str) -> Path:
    (folder / "g.yaml").write_text(text)
    return folder / "g.yaml"


@pytest.mark.parametrize(
    ("low", "high", "grade"),
    [
        (0.0, 0.01, "none"),
        (0.03, 0.09, "1+"),
        (0.01, 0.05, "none to 1+"),
        (0.05, 0.2, "1+ to 2+"),
        (0.01, 0.5, "none to 2+"),
        (0.02, 0.02, "none"),
    ],
)
def test_grade__an_interval_that_crosses_a_threshold_is_a_range(
    low: float, high: float, grade: str, tmp_path: Path
) -> None:
    assert read_grades(written(tmp_path, FILE)).grade("teardrop", 100, low, high) == grade


def test_grade__too_few_cells_are_not_graded_and_say_how_many_are_missing() -> None:
    grades = read_grades()
    assert grades.grade("teardrop", 150, 0.3, 0.4) == "not graded: 50 cells missing"
    assert grades.grade("schistocyte", 999, 0.02, 0.04) == "not graded: 1 cell missing"
    assert grades.grade("schistocyte", 1000, 0.02, 0.04) == "more than 1 %"
    assert grades.grade("schistocyte", 1000, 0.001, 0.009) == "up to 1 %"


def test_grade__of_a_feature_that_several_classes_show_is_not_that_of_one_of_them() -> None:
    grades, classes = read_grades(), ["schistocyte", "fragment", "burr", "normal"]
    assert grades.sharing("fragment", classes) == ["schistocyte", "fragment"]
    shared = "not graded: thresholds are for schistocyte, fragment together"
    assert grades.grade("schistocyte", 1000, 0.001, 0.009, classes) == shared
    assert grades.grade("schistocyte", 1000, 0.001, 0.009, classes[::2]) == "up to 1 %"
    assert grades.grade("schistocyte", 1000, 0.001, 0.02, classes[::2]) == "up to 1 % or more than 1 %"
    assert grades.grade("normal", 1000, 0.1, 0.2, classes) == ""


def test_grade__classes_without_thresholds_or_fractions_have_none() -> None:
    assert read_grades().grade("normal", 5000, 0.5, 0.6) == ""
    assert read_grades().grade("teardrop", 5000, float("nan"), float("nan")) == ""


def test_read_grades__the_file_that_comes_along_names_its_sources() -> None:
    grades = read_grades()
    assert "10.1111/ijlh.12327" in grades.source
    assert all(one.source for one in grades.features)
    # No paper was at hand.
    assert unverified(grades.features) == [one.feature for one in grades.features]
    known = {"macrocyte", "burr", "Target_Cell", "tear-drop"}
    assert [grades.feature_of(name) is not None for name in sorted(known)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (FILE.replace("least_cells: 100", "least_cells: 0"), "least_cells"),
        (FILE.replace("above: 10", "above: 1"), "the bands must rise"),
        (FILE.replace("source: our handbook", "origin: our handbook"), "origin|source"),
        (FILE + FILE[FILE.index("  - feature") :].replace("teardrop cells", "drops"), "two features"),
        ("name: [", "cannot be read as YAML"),
    ],
)
def test_read_grades__refuses_what_does_not_fit(changed: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=message):
        read_grades(written(tmp_path, changed))
