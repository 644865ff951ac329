"""Cutting: what is cut from a place is what stands there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reddino.views.cutting import cut_square

NOISE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def waves(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """A smooth pattern as a function of continuous coordinates: the truth that a cut is measured against."""
    across, down = 2 * np.pi * x / period, 2 * np.pi * y / period
    return np.stack(
        [128 + 80 * np.sin(across), 128 + 80 * np.cos(down), 128 + 60 * np.sin(across + down)], axis=-1
    )


def wave_image(width: int, height: int, period: float) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.asarray(np.rint(waves(x, y, period)), np.uint8)


def test_cut_square__copies_whole_pixels_of_the_right_size() -> None:
    np.testing.assert_array_equal(cut_square(NOISE, 30, 20, 16, 16), NOISE[12:28, 22:38])
    np.testing.assert_array_equal(cut_square(NOISE, 30.5, 20.5, 17, 17), NOISE[12:29, 22:39])


@pytest.mark.parametrize(
    ("side", "output"), [(24, 60), (24.7, 60), (40, 40), (40.6, 24), (64, 24), (90.3, 20)]
)
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.9])
def test_cut_square__is_exact_to_fractions_of_a_pixel(side: float, output: int, shift: float) -> None:
    period = 48.0
    image = wave_image(200, 160, period)
    cx, cy = 100 + shift, 80 - shift / 2
    along = (np.arange(output) + 0.5) * side / output - side / 2
    x, y = np.meshgrid(cx + along, cy + along)
    expected = waves(x, y, period)
    cut = cut_square(image, cx, cy, side, output).astype(float)
    # A shift by a tenth of a pixel would show as 80 * 2 pi / 48 * 0.1 = 1 grey level on average.
    interior = slice(1, -1)
    bias = (cut - expected)[interior, interior]
    smoothing = 6.0 if side > output else 0.0  # the widened kernel flattens waves a little
    assert np.abs(bias).max() < 1.5 + smoothing
    gradient = np.gradient(expected, axis=1)[interior, interior]
    displacement = (bias * gradient).sum() / (gradient**2).sum() * side / output
    assert abs(displacement) < 0.05


@pytest.mark.parametrize("period", [2, 3, 5, 7])
def test_cut_square__aliases_no_more_than_area_interpolation(period: int) -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::period] = 255
    cut = cut_square(stripes, 128.3, 128.3, 200, 25).astype(float)
    area = cv2.resize(stripes[28:228, 28:228], (25, 25), interpolation=cv2.INTER_AREA).astype(float)
    assert abs(cut.mean() - 255 / period) < 3
    assert cut.std() <= area.std() + 3  # plain sampling leaves 80 to 127


@pytest.mark.parametrize(
    ("cx", "cy", "side"),
    [(0, 0, 20), (70, 50, 20), (35, 0, 30), (2, 49, 36), (35, 25, 120), (10, 25, 230), (69, 1, 51)],
)
def test_cut_square__mirrors_past_the_border(cx: float, cy: float, side: int) -> None:
    def mirrored(index: int, length: int) -> int:
        while not 0 <= index < length:
            index = -index if index < 0 else 2 * (length - 1) - index
        return index

    half = side / 2
    left, top = cx - half, cy - half
    if not (left.is_integer() and top.is_integer()):
        cx, cy, left, top = cx + 0.5, cy + 0.5, left + 0.5, top + 0.5
    rows = [mirrored(int(top) + i, 50) for i in range(side)]
    columns = [mirrored(int(left) + i, 70) for i in range(side)]
    np.testing.assert_array_equal(cut_square(NOISE, cx, cy, side, side), NOISE[rows][:, columns])


def test_cut_square__takes_an_image_of_one_pixel() -> None:
    image = np.full((1, 1, 3), 77, dtype=np.uint8)
    assert (cut_square(image, 0.5, 0.5, 1, 8) == 77).all()
