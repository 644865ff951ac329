"""Weather for given numbers: equal to what albumentations draws."""

from __future__ import annotations

import albumentations.augmentations.pixel.functional as reference
import numpy as np
import pytest
from noisy_picture import SIZES, picture

from reddino.pretraining.augmentation.operations import weather


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("intensity", [0.3, 1.0])
def test_fog__equals_blending_disc_by_disc(shape: tuple[int, int], intensity: float) -> None:
    crop, rng = picture(*shape), np.random.default_rng(1)
    x, y = rng.integers(-3, shape[1] + 3, 300), rng.integers(-3, shape[0] + 3, 300)
    radius = rng.integers(1, 9, 300)
    places = list(zip(x.tolist(), y.tolist(), strict=True))
    expected = reference.add_fog(crop, intensity, 0.08, places, radius.tolist())
    np.testing.assert_array_equal(weather.blend_fog(crop, intensity, x, y, radius), expected)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("sun", [(0, 0), (40, 20)])
def test_sun_flare__equals_blending_disc_by_disc(shape: tuple[int, int], sun: tuple[int, int]) -> None:
    crop, rng = picture(*shape), np.random.default_rng(3)
    alphas, radii = rng.uniform(0.05, 0.2, 8), rng.integers(1, 3, 8) ** 3
    centres, colours = rng.integers(0, 60, (8, 2)), rng.integers(204, 256, (8, 3))
    circles = [
        (alpha, tuple(centre), radius, tuple(colour))
        for alpha, centre, radius, colour in zip(
            alphas.tolist(), centres.tolist(), radii.tolist(), colours.tolist(), strict=True
        )
    ]
    expected = reference.add_sun_flare_overlay(crop, sun, 400, (255, 255, 255), circles)
    ours = weather.blend_sun_flare(crop, sun, weather.FlareDiscs(alphas, centres, radii, colours))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("slant", [-7.3, 4.0])
def test_rain__equals_drawing_given_drops(shape: tuple[int, int], slant: float) -> None:
    crop, rng = picture(*shape), np.random.default_rng(4)
    drops = rng.integers((0, 0), (shape[1], shape[0] - 20), (shape[0] // 3, 2))
    expected = reference.add_rain(crop, slant, 20, 1, (200, 200, 200), 7, 0.7, drops.astype(np.int32))
    np.testing.assert_array_equal(weather.draw_rain(crop, slant, drops), expected)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("count", [1, 2])
def test_shadow__equals_darkening_given_polygons(shape: tuple[int, int], count: int) -> None:
    crop, rng = picture(*shape), np.random.default_rng(5)
    corners = rng.integers((0, shape[0] // 2), shape[::-1], (count, 5, 2)).astype(np.int32)
    expected = reference.add_shadow(crop, list(corners), np.full(count, 0.5))
    assert (expected != crop).any()
    np.testing.assert_array_equal(weather.draw_shadows(crop, corners), expected)


@pytest.mark.parametrize("point", [0.1, 0.3])
def test_snow__equals_bleaching_below_a_given_point(point: float) -> None:
    crop = picture(64, 64)
    expected = reference.add_snow_bleach(crop, point, 2.5)
    assert (expected != crop).any()
    np.testing.assert_array_equal(weather.bleach(crop, point * 255 / 2 + 255 / 3), expected)
