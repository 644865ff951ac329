"""Colour operations for given numbers: equal to albumentations."""

from __future__ import annotations

import albumentations.augmentations.pixel.functional as reference
import numpy as np
import pytest
from noisy_picture import SIZES, picture

from reddino.pretraining.augmentation.operations import colours
from reddino.pretraining.augmentation.operations.reference import ALBUMENTATIONS


@pytest.mark.parametrize("shape", SIZES)
def test_fancy_pca__equals_the_original_for_given_alphas(shape: tuple[int, int]) -> None:
    crop, alphas = picture(*shape), np.array([2.0, -1.5, 3.0])
    expected = reference.fancy_pca(crop, alphas)
    ours = colours.shift_along_components(crop, alphas)
    assert (expected != crop).mean() > 0.5
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert (ours != expected).mean() < 0.001


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]])
@pytest.mark.parametrize("factors", [[0.8, 1.2, 0.9, 0.13], [1.17, 0.83, 1.2, -0.2]])
def test_jitter__equals_the_original_for_given_factors_and_order(
    order: list[int], factors: list[float]
) -> None:
    crop = picture(61, 90)
    brightness, contrast, saturation, hue = factors
    expected = ALBUMENTATIONS["ColorJitter"]().apply(crop, brightness, contrast, saturation, hue, order)
    np.testing.assert_array_equal(colours.jitter(crop, factors, order), expected)


@pytest.mark.parametrize("shifts", [(12.7, 29.3, 18.6), (-19.2, -29.7, -3.4), (0.4, -12.5, 7.5)])
def test_hsv__equals_the_original_for_given_shifts(shifts: tuple[float, float, float]) -> None:
    crop = picture(61, 90)
    crop[:20] = crop[:20, :, :1]  # grey pixels stay grey
    np.testing.assert_array_equal(colours.shift_hsv(crop, *shifts), reference.shift_hsv(crop, *shifts))
