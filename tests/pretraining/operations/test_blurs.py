"""Blurs for given numbers: equal to albumentations, but for a level here and there where sums are rounded."""

from __future__ import annotations

import random

import albumentations.augmentations.blur.functional as reference
import albumentations.augmentations.pixel.functional as pixel_reference
import numpy as np
import pytest
from noisy_picture import SIZES, Image, picture

from reddino.pretraining.augmentation.operations import blurs
from reddino.pretraining.augmentation.operations.reference import ALBUMENTATIONS


@pytest.mark.parametrize("shape", SIZES)
def test_glass_blur__equals_swapping_given_pixels(shape: tuple[int, int]) -> None:
    crop, count = picture(*shape), (shape[0] - 8) * (shape[1] - 8)
    steps = np.random.default_rng(2).integers(-4, 4, (count, 2, 2))
    expected = reference.glass_blur(crop, 0.7, 4, 2, steps, "fast")
    numbers = ((steps[..., 0] + 4) * 8 + steps[..., 1] + 4).astype(np.uint8).T
    np.testing.assert_array_equal(blurs.swap_pixels(crop, numbers), expected)


def assert_alike(ours: Image, expected: Image) -> None:
    """Equal but for rounding."""
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert (ours != expected).mean() < 0.002


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("radius", range(3, 11))
@pytest.mark.parametrize("edge", [0.1, 0.5])
def test_defocus__equals_the_original_disc(shape: tuple[int, int], radius: int, edge: float) -> None:
    crop = picture(*shape)
    ours = blurs.convolve(crop, blurs.disc_kernel(radius, edge))
    assert_alike(ours, reference.defocus(crop, radius, edge))


class Fixed(random.Random):
    """Draws the given numbers, whatever the range."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = list(values)

    def uniform(self, a: float, b: float) -> float:
        return self.values.pop(0)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return int(self.values.pop(0))


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("bias", [-0.8, -0.3, 0.0, 0.5, 1.0])
def test_motion__has_the_original_kernel(side: int, bias: float) -> None:
    for angle, x, y in ((0.0, 0.0, 0.0), (33.0, 0.4, -0.9), (250.0, -1.0, 0.7), (181.0, 0.2, 0.2)):
        expected = reference.create_motion_kernel(side, angle, bias, True, Fixed(x, y))
        shift = x * (side // 2) / 2, y * (side // 2) / 2
        ours = blurs.motion_kernel(side, angle, bias, shift)
        np.testing.assert_allclose(ours, expected / expected.sum(), rtol=1e-6)


@pytest.mark.parametrize("side", [7, 9, 11, 13, 15])
@pytest.mark.parametrize("limit", [0.8, 1.5])
def test_ringing__has_the_original_kernel(side: int, limit: float) -> None:
    original = ALBUMENTATIONS["RingingOvershoot"]()
    original.py_random = Fixed(side, limit)
    kernel = original.get_params()["kernel"]
    ours = blurs.ringing_kernel(side, limit)
    np.testing.assert_allclose(ours, kernel, atol=1e-6)
    crop = picture(61, 90)
    assert_alike(blurs.convolve(crop, ours), pixel_reference.convolve(crop, kernel))


@pytest.mark.parametrize("deviation", [0.8, 0.9, 1.4])
def test_gaussian__has_the_original_kernel(deviation: float) -> None:
    expected = reference.create_gaussian_kernel_1d(deviation, 0)
    np.testing.assert_allclose(blurs.gaussian_kernel(deviation), expected.ravel(), rtol=1e-6)


def test_convolve__saturates_below_and_above() -> None:
    crop = picture(40, 40)
    kernel = np.array([[0, -2, 0], [-2, 9, -2], [0, -2, 0]], np.float32)
    expected = pixel_reference.convolve(crop, kernel)
    assert (expected == 0).any() and (expected == 255).any()
    assert_alike(blurs.convolve(crop, kernel), expected)
