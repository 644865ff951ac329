"""Random numbers as a function of seed, stream and key."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reddino.pretraining.randomness import DROP_PATH, MASKS, derived_seed, generator, uniforms


def test_uniforms__a_row_depends_on_its_key_alone() -> None:
    whole = uniforms(3, MASKS, np.arange(100), 4)
    np.testing.assert_array_equal(uniforms(3, MASKS, np.array([57, 2]), 4), whole[[57, 2]])
    np.testing.assert_array_equal(uniforms(3, MASKS, np.arange(100), 2), whole[:, :2])


def test_uniforms__seeds_and_streams_give_other_numbers() -> None:
    keys = np.arange(50)
    one = uniforms(3, MASKS, keys, 4)
    assert not np.isin(uniforms(4, MASKS, keys, 4), one).any()
    assert not np.isin(uniforms(3, DROP_PATH, keys, 4), one).any()
    assert len(np.unique(one)) == one.size


def test_uniforms__are_uniform_and_neighbours_unrelated() -> None:
    numbers = uniforms(0, DROP_PATH, np.arange(20_000), 3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.03


@pytest.mark.parametrize("seed", [-1, 0, 2**64 + 5])
def test_uniforms__take_any_seed(seed: int) -> None:
    numbers = uniforms(seed, MASKS, np.array([0, 2**60]), 3)
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_generator__follows_from_its_key() -> None:
    assert generator(0, MASKS, 5).random() == generator(0, MASKS, 5).random()
    assert len({generator(0, MASKS, key).random() for key in range(200)}) == 200
    assert 0 <= derived_seed(0, MASKS, 5) < 2**53
