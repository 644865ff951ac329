"""Noise: where it comes from, and that it is added as the original adds it."""

from __future__ import annotations

import albumentations.augmentations.pixel.functional as reference
import numpy as np
from noisy_picture import picture
from scipy import stats

from reddino.pretraining.augmentation.operations import noises


def test_noise__is_added_as_the_original_adds_it() -> None:
    crop = picture(61, 90)
    numbers = np.random.default_rng(1).standard_normal(crop.shape, np.float32)
    expected = reference.add_noise(crop, numbers * np.float32(6.5))
    ours = noises.add_noise(crop, numbers, 6.5)
    assert (ours != expected).mean() < 1e-4  # a sum in another order
    assert np.abs(ours.astype(int) - expected).max() <= 1


def test_noise__is_normal_and_differs_between_channels_and_crops() -> None:
    grey = np.full((98, 98, 3), 128, np.uint8)
    first, second = (noises.gauss_noise(grey, np.random.default_rng(seed)).astype(float) for seed in (1, 2))
    for noisy in (first, second):
        values = noisy - noisy.mean()
        # Whole levels: the spread is known but for the rounding.
        assert abs(stats.kurtosis(values.ravel())) < 0.5 and abs(stats.skew(values.ravel())) < 0.05
        assert abs(np.corrcoef(values[..., 0].ravel(), values[..., 1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_noise__of_a_crop_larger_than_the_pool_is_drawn_anew() -> None:
    large = np.full((840, 840, 3), 128, np.uint8)
    assert large.size > 2**21
    assert 2.5 < noises.gauss_noise(large, np.random.default_rng(0)).std() < 7.5
