"""The fast pixel operations against albumentations: exactly for given numbers, alike for drawn ones."""

from __future__ import annotations

import albumentations.augmentations.blur.functional as blur_reference
import albumentations.augmentations.pixel.functional as pixel_reference
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reddino.pretrain import fast_ops
from reddino.pretrain.albumentations_ops import AlbumentationsOperation
from reddino.pretrain.fast_ops import FAST_OPERATIONS
from reddino.pretrain.pixel_ops import Operation

Image = NDArray[np.uint8]
SIZES = [(64, 64), (98, 98), (61, 90)]


def picture(height: int, width: int, seed: int = 0) -> Image:
    """Coloured noise of strong contrast, smooth enough that a blur leaves something of it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3))
    fine = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)[:height, :width]
    return np.clip(fine + rng.normal(0, 5, fine.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("intensity", [0.3, 1.0])
def test_fog__equals_blending_disc_by_disc(shape: tuple[int, int], intensity: float) -> None:
    crop, rng = picture(*shape), np.random.default_rng(1)
    x, y = rng.integers(-3, shape[1] + 3, 300), rng.integers(-3, shape[0] + 3, 300)
    radius = rng.integers(1, 9, 300)
    places = list(zip(x.tolist(), y.tolist(), strict=True))
    expected = pixel_reference.add_fog(crop, intensity, 0.08, places, radius.tolist())
    np.testing.assert_array_equal(fast_ops.blend_fog(crop, intensity, x, y, radius), expected)


@pytest.mark.parametrize("shape", SIZES)
def test_glass_blur__equals_swapping_given_pixels(shape: tuple[int, int]) -> None:
    crop, count = picture(*shape), (shape[0] - 8) * (shape[1] - 8)
    steps = np.random.default_rng(2).integers(-4, 4, (count, 2, 2))
    expected = blur_reference.glass_blur(crop, 0.7, 4, 2, steps, "fast")
    numbers = ((steps[..., 0] + 4) * 8 + steps[..., 1] + 4).astype(np.uint8).T
    np.testing.assert_array_equal(fast_ops.swap_pixels(crop, numbers), expected)


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
    expected = pixel_reference.add_sun_flare_overlay(crop, sun, 400, (255, 255, 255), circles)
    ours = fast_ops.blend_sun_flare(crop, sun, fast_ops.FlareDiscs(alphas, centres, radii, colours))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("shape", SIZES)
def test_fancy_pca__equals_the_original_for_given_alphas(shape: tuple[int, int]) -> None:
    crop, alphas = picture(*shape), np.array([2.0, -1.5, 3.0])
    expected = pixel_reference.fancy_pca(crop, alphas)
    ours = fast_ops.shift_along_components(crop, alphas)
    assert (expected != crop).mean() > 0.5
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert (ours != expected).mean() < 0.001


def measures(operation: Operation, crop: Image, seeds: range) -> NDArray[np.float64]:
    """(5, n) of the change each seed makes: its mean, spread, reach, roughness and colourfulness."""
    rows = []
    for seed in seeds:
        change = operation(crop, np.random.default_rng(seed)).astype(float) - crop
        rows.append(
            (
                change.mean(),
                change.std(),
                (change != 0).mean(),
                np.abs(np.diff(change, axis=1)).mean(),
                change.std(axis=2).mean(),
            )
        )
    return np.array(rows).T


def least_pvalue(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Smallest p of the two-sample Kolmogorov-Smirnov tests of each measure."""
    return min(float(stats.ks_2samp(mine, theirs).pvalue) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("name", FAST_OPERATIONS)
def test_fast_operation__changes_pictures_as_the_original_does(name: str) -> None:
    crop, count = picture(64, 64), 150
    original = measures(AlbumentationsOperation(name), crop, range(count))
    ours = measures(FAST_OPERATIONS[name], crop, range(count))
    assert least_pvalue(ours, original) > 1e-3

    def half(crop: Image, rng: np.random.Generator) -> Image:
        change = FAST_OPERATIONS[name](crop, rng).astype(float) - crop
        return np.asarray(np.rint(crop + change / 2), np.uint8)

    assert least_pvalue(measures(half, crop, range(count)), original) < 1e-3
