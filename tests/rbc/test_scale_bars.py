"""Scale bars are found with their letters, and cells below them are not seen whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reddino.rbc.finding import find_cells
from reddino.rbc.scale_bars import covered, scale_bar
from reddino.smears.decode import decode_image


def field(cells: int = 6) -> np.ndarray:
    """A field of discs of 40 px."""
    image = np.full((480, 640, 3), (225, 220, 228), np.uint8)
    for place in range(cells):
        for line in range(4):
            cv2.circle(image, (60 + 100 * place, 60 + 118 * line), 20, (190, 110, 125), -1, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def with_bar(image: np.ndarray, colour: tuple[int, int, int], left: int = 500, top: int = 430) -> np.ndarray:
    """The same with a bar of 120 x 3 px, and letters below it."""
    marked = np.ascontiguousarray(image.copy())
    cv2.rectangle(marked, (left, top), (left + 120, top + 2), colour, -1)
    cv2.putText(marked, "50 um", (left + 30, top + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", marked, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], -1))


@pytest.mark.parametrize("colour", [(10, 10, 12), (0, 230, 0), (0, 120, 255)])
def test_scale_bar__is_found_with_its_letters(colour: tuple[int, int, int]) -> None:
    assert scale_bar(field()) is None
    found = scale_bar(with_bar(field(), colour))
    assert found is not None
    x, y, w, h = found
    assert x == pytest.approx(500, abs=4) and x + w == pytest.approx(621, abs=4)
    assert 424 <= y <= 431 and 442 <= y + h <= 456


def test_find_cells__a_cell_below_a_bar_is_not_seen_whole() -> None:
    plain, marked = find_cells(field()), find_cells(with_bar(field(), (10, 10, 12), 568, 424))
    assert not plain.touches_border.any()
    below = (np.abs(marked.cx - 560) < 30) & (np.abs(marked.cy - 414) < 30)
    assert marked.touches_border[below].all() and below.any()
    assert not marked.touches_border[~below].any()


def test_covered__is_by_the_fraction_of_the_box() -> None:
    found = covered((100, 100, 50, 10), [90, 149, 300], [95, 95, 95], [40, 40, 40], [40, 40, 40])
    assert found.tolist() == [True, False, False]


@pytest.mark.smears
@pytest.mark.parametrize(
    ("collection", "least", "most"), [("iml_malaria", 1.0, 1.0), ("bccd", 0, 0), ("uganda_sickle", 0, 0)]
)
def test_scale_bar__of_real_fields(smears: Path, collection: str, least: float, most: float) -> None:
    files = sorted(path for path in (smears / collection / "images").rglob("*") if path.is_file())[::20][:8]
    found = np.mean([scale_bar(decode_image(file)) is not None for file in files])
    assert least <= found <= most
