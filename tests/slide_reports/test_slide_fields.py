"""Fields: blurred, thick and nearly empty ones are left out, each with its reason."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reddino.rbc.field_measures import crowded_cells, relative_sharpness
from reddino.slide_reports.fields import FieldLimits, judged_fields

PATHS = ["a"] * 8 + ["b"] * 8 + ["c"] * 8 + ["d"] * 2
EVERY = np.ones(len(PATHS), np.bool_)


def test_judged_fields__each_is_left_out_for_its_reason() -> None:
    crowded = np.array([path == "c" for path in PATHS])
    fields = judged_fields(PATHS, EVERY, crowded, {"a": 1.0, "b": 0.4}, FieldLimits())
    assert [field.used for field in fields] == [True, False, False, False]
    assert [field.why.split(" (")[0] for field in fields] == ["", "blurred", "too thick", "too few cells"]
    assert math.isnan(fields[2].sharpness) and math.isnan(fields[3].overlap)


def test_judged_fields__without_limits_all_are_used() -> None:
    fields = judged_fields(PATHS, EVERY, EVERY, {"b": 0.1}, None)
    assert all(field.used for field in fields)
    assert [field.cells for field in fields] == [8, 8, 8, 2]


def test_crowded_cells__lie_on_another_of_their_own_picture() -> None:
    x, y = np.array([0.0, 15.0, 100.0, 0.0, np.nan]), np.zeros(5)
    found = crowded_cells(
        ["a", "a", "a", "b", "b"], x, y, np.full(5, 20.0), np.array([0, 0, 0, 0, 1], np.bool_)
    )
    assert found.tolist() == [True, True, False, False, True]


def test_relative_sharpness__is_that_of_the_median_picture_of_a_source() -> None:
    sharpness = {"a": 0.0, "b": 0.0, "c": math.log(0.5), "d": 3.0, "e": math.nan}
    sources = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "x"}
    found = relative_sharpness(sharpness, sources)
    assert found["c"] == pytest.approx(0.5) and found["d"] == pytest.approx(1) and math.isnan(found["e"])
