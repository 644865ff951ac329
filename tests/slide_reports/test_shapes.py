"""Sizes and shapes: discs of known diameter, their variation, and what is no outline of a cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from reddino.slide_reports.shapes import SIDE, Shapes, SlideMeasure, measure_cells, shapes_of, with_references

Images = npt.NDArray[np.uint8]


def view(width: float, height: float, pale: float = 0.0, blur: float = 0.8) -> Images:
    """A cell of so many pixels in the middle of a view, with a pale centre."""
    image = np.full((SIDE, SIDE, 3), (228, 224, 230), np.uint8)
    middle = (SIDE // 2, SIDE // 2)
    cv2.ellipse(
        image, middle, (round(width / 2), round(height / 2)), 0, 0, 360, (200, 110, 120), -1, cv2.LINE_AA
    )
    if pale:
        cv2.circle(image, middle, round(pale / 2), (220, 190, 200), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8)


def test_measure_cells__discs_ellipses_and_pallor() -> None:
    views = np.stack(
        [view(60, 60), view(60, 30), view(60, 60, pale=24), np.full((SIDE, SIDE, 3), 225, np.uint8)]
    )
    shapes, _ = measure_cells(views, np.full(4, 1.6))
    assert shapes[0, 0] * SIDE == pytest.approx(61, abs=1.5)
    assert shapes[0, 1] > 0.95 and shapes[1, 1] < 0.9
    assert shapes[2, 2] > shapes[0, 2] + 0.2
    assert np.isnan(shapes[3]).all()


def test_measure_cells__blur_is_less_sharp() -> None:
    _, sharpness = measure_cells(np.stack([view(60, 60), view(60, 60, blur=4)]), np.full(2, 1.6))
    assert np.exp(sharpness[1] - sharpness[0]) < 0.6


def test_shapes_of__micrometres_only_where_every_cell_has_them() -> None:
    cells = np.tile([0.5, 0.9, 0.3], (30, 1))
    fields = np.repeat([0, 1], 15)
    known = shapes_of(cells, np.full(30, 100.0), np.full(30, 0.15), fields)
    assert known.unit == "µm" and known.cells[0, 0] == pytest.approx(7.5)
    half = shapes_of(cells, np.full(30, 100.0), np.where(fields, 0.15, np.nan), fields)
    assert half.unit == "px" and half.cells[0, 0] == 50


def test_shapes_of__leaves_out_what_is_no_single_cell() -> None:
    cells = np.tile([0.5, 0.9, 0.3], (30, 1))
    cells[0, 0], cells[1, 0], cells[2] = 1.0, 0.1, np.nan
    found = shapes_of(cells, np.full(30, 100.0), np.full(30, np.nan), np.zeros(30, np.int64))
    assert len(found.cells) == 27 and found.unmeasured == 3


def test_measures__diameter_and_its_variation_with_intervals_over_fields() -> None:
    rng = np.random.default_rng(0)
    cells = np.column_stack([rng.normal(7.5, 0.75, 900), np.full(900, 0.9), np.full(900, 0.3)])
    found = {one.name: one for one in Shapes(cells, "µm", np.arange(900) % 9, 0).measures()}
    cv = found["anisocytosis (CV of the diameter)"]
    assert cv.value == pytest.approx(10, abs=0.6) and cv.low < cv.value < cv.high
    assert found["diameter"].value == pytest.approx(7.5, abs=0.08)
    # One field alone tells nothing of how fields differ.
    alone = Shapes(cells, "µm", np.zeros(900, np.int64), 0).measures()
    assert np.isnan(alone[0].low)
    assert Shapes(cells[:5], "µm", np.zeros(5, np.int64), 0).measures() == []


def test_with_references__reference_slides_of_the_same_unit_alone() -> None:
    slide = [SlideMeasure("diameter", "µm", 9.0, 8.9, 9.1)]
    others = [[SlideMeasure("diameter", "µm", value, value, value)] for value in (7.0, 7.5, 8.0)]
    found = with_references(slide, [*others, [SlideMeasure("diameter", "px", 70.0, 69.0, 71.0)]])[0]
    assert found.reference == (7.0, 7.5, 8.0) and found.besides() == "above all"
    assert with_references(slide, [])[0].besides() == ""
