"""Every operation draws from the distribution of albumentations' at the published strength, not at half.

The tolerance was fixed beforehand: five measures of the change over 150 seeds, each compared with the
original's by a two-sample Kolmogorov-Smirnov test, none below p = 0.001. The original over another 150 seeds
must keep it, and our operation at half strength must not.
"""

from __future__ import annotations

import numpy as np
import pytest
from noisy_picture import Image, picture
from numpy.typing import NDArray
from scipy import stats

from reddino.pretraining.augmentation.operations import CONFIGURED, PIXEL_OPERATIONS, Operation
from reddino.pretraining.augmentation.operations.reference import AlbumentationsOperation
from reddino.pretraining.augmentation.pixel_operations import PixelOperations

SEEDS, TOLERANCE = 150, 1e-3


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


@pytest.mark.parametrize("name", CONFIGURED)
def test_operation__changes_pictures_as_the_original_does(name: str) -> None:
    crop, original = picture(64, 64), AlbumentationsOperation(name)
    expected = measures(original, crop, range(SEEDS))
    assert least_pvalue(measures(original, crop, range(SEEDS, 2 * SEEDS)), expected) > TOLERANCE
    assert least_pvalue(measures(PIXEL_OPERATIONS[name], crop, range(SEEDS)), expected) > TOLERANCE
    half = PixelOperations([name], choose=1, probability=1.0, strength=0.5)
    assert least_pvalue(measures(half, crop, range(SEEDS)), expected) < TOLERANCE
