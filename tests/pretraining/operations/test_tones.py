"""Tables and channel operations for given numbers: equal to albumentations."""

from __future__ import annotations

import albucore
import albumentations.augmentations.pixel.functional as reference
import numpy as np
import pytest
from noisy_picture import picture

from reddino.pretraining.augmentation.operations import tones

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


@pytest.mark.parametrize("power", [0.8, 1.0, 1.2])
def test_gamma__equals_the_original(power: float) -> None:
    expected = reference.gamma_transform(LEVELS, power)
    np.testing.assert_array_equal(tones.look_up(LEVELS, tones.gamma_table(power)), expected)


@pytest.mark.parametrize("heights", [(0.25, 0.75), (0.0, 0.6), (0.5, 1.0)])
def test_tone_curve__equals_the_original(heights: tuple[float, float]) -> None:
    expected = reference.move_tone_curve(LEVELS, *heights)
    np.testing.assert_array_equal(tones.look_up(LEVELS, tones.curve_table(*heights)), expected)


@pytest.mark.parametrize(("factor", "shift"), [(1.17, -43.2), (0.83, 50.9), (1.0, 0.0), (0.95, 0.0)])
def test_scale_and_shift__equals_the_original(factor: float, shift: float) -> None:
    expected = albucore.multiply_add(LEVELS, factor, shift)
    np.testing.assert_array_equal(tones.look_up(LEVELS, tones.scale_and_shift(factor, shift)), expected)


def test_shift_channels__moves_each_by_a_whole_number_up_to_20() -> None:
    grey = np.full((4, 4, 3), 128, np.uint8)
    shifted = np.array([tones.shift_channels(grey, np.random.default_rng(seed)) for seed in range(300)])
    assert (shifted == shifted[:, :1, :1]).all()
    shifts = shifted[:, 0, 0].astype(int) - 128
    assert set(np.unique(shifts)) == set(range(-19, 20))
    assert (shifts[:, 0] != shifts[:, 1]).any() and (shifts[:, 1] != shifts[:, 2]).any()


def test_shift_channels__saturates() -> None:
    edges = np.repeat(np.array([[[0], [255]]], np.uint8), 3, axis=2)
    for seed in range(20):
        shift = tones.shift_channels(
            edges + np.array([[[1], [-1]]]).astype(np.uint8), np.random.default_rng(seed)
        )
        assert ((shift[0, 0] <= 20) & (shift[0, 1] >= 235)).all()


def test_shuffle__draws_each_order_of_the_channels() -> None:
    crop = picture(8, 8)
    orders = set()
    for seed in range(100):
        shuffled = tones.shuffle_channels(crop, np.random.default_rng(seed))
        orders.add(
            tuple(int(np.flatnonzero((crop == shuffled[..., c : c + 1]).all((0, 1)))[0]) for c in range(3))
        )
    assert len(orders) == 6


def test_drop__blackens_each_channel_in_turn() -> None:
    crop = np.full((4, 4, 3), 9, np.uint8)
    dropped = [tones.drop_channel(crop, np.random.default_rng(seed))[0, 0].tolist() for seed in range(50)]
    assert {tuple(pixel) for pixel in dropped} == {(0, 9, 9), (9, 0, 9), (9, 9, 0)}
