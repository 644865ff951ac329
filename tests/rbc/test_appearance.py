"""How cut cells look: each measure follows what was changed, and nothing is made up where none can be had."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from reddino.rbc.appearance import MEASURES, measure_views

SIDE, ACROSS = 112, 1.6


def drawn(
    cell: tuple[int, int, int] = (200, 110, 120),
    ground: tuple[int, int, int] = (228, 224, 230),
    *,
    blur: float = 0.8,
    diameter: float = 70.0,
) -> npt.NDArray[np.uint8]:
    """A disc in the middle of a view."""
    view = np.full((SIDE, SIDE, 3), ground, np.uint8)
    cv2.circle(view, (SIDE // 2, SIDE // 2), round(diameter / 2), cell, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(view, (0, 0), blur), np.uint8)


def measured(view: npt.NDArray[np.uint8]) -> dict[str, float]:
    return dict(zip(MEASURES, measure_views(view[None], ACROSS)[0].tolist(), strict=True))


def test_measure_views__colours_are_logarithms_of_the_drawn_ones() -> None:
    found = measured(drawn())
    green, red = np.log(225), np.log(229) - np.log(225)
    assert found["background brightness"] == pytest.approx(green, abs=0.01)
    assert found["background red"] == pytest.approx(red, abs=0.01)
    assert found["cell absorbance"] == pytest.approx(green - np.log(111), abs=0.02)
    assert found["cell red"] == pytest.approx(np.log(229 / 201) - np.log(225 / 111), abs=0.02)
    assert found["size in the view"] == pytest.approx(1.0, abs=0.03)


def test_measure_views__blur_lowers_sharpness_alone() -> None:
    sharp, soft = measured(drawn()), measured(drawn(blur=4.0))
    assert soft["sharpness"] < sharp["sharpness"] - 0.7
    for name in ("background brightness", "background blue", "cell absorbance", "cell red"):
        assert soft[name] == pytest.approx(sharp[name], abs=0.05)


def test_measure_views__contrast_is_no_sharpness() -> None:
    assert measured(drawn((214, 170, 180)))["sharpness"] == pytest.approx(
        measured(drawn())["sharpness"], abs=0.1
    )


def test_measure_views__an_empty_view_has_no_measures() -> None:
    empty = np.full((SIDE, SIDE, 3), 220, np.uint8)
    assert np.isnan(measure_views(np.stack([empty, drawn()]), ACROSS)).all(axis=1).tolist() == [True, False]
    assert measure_views(np.empty((0, SIDE, SIDE, 3), np.uint8), ACROSS).shape == (0, len(MEASURES))
