"""Equal vectors are found, but for rounding, and counted; different ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.embedding.equal_vectors import equal_vectors


def test_equal_vectors__of_all_different_are_none() -> None:
    found = equal_vectors(np.random.default_rng(0).normal(size=(500, 24)).astype(np.float32))
    assert found.count == 0
    assert found.sentence() == ""
    assert sorted(found.first.tolist()) == list(range(500))


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_equal_vectors__are_found_up_to_rounding(noise: float) -> None:
    draw = np.random.default_rng(1)
    kinds = draw.normal(size=(5, 64)) + 3
    which = np.array([0] * 1000 + [1, 1, 2, 3, 4])
    vectors = (kinds[which] * (1 + noise * draw.normal(size=(1005, 64)))).astype(np.float32)
    found = equal_vectors(vectors)
    for kind in range(5):
        assert len(set(found.group[which == kind].tolist())) == 1
    assert len(found.first) == 5
    assert found.count == 1002
    assert found.sentence().startswith("1002 of 1005 vectors are equal to another (5 are different)")


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_equal_vectors__of_one_vector_say_that_all_are_equal(value: float) -> None:
    found = equal_vectors(np.full((6, 3), value, np.float32))
    assert found.first.tolist() == [0]
    assert found.sentence().startswith("6 of 6 vectors are equal")


def test_equal_vectors__are_not_joined_along_a_chain_of_close_ones() -> None:
    line = np.zeros((4000, 3), np.float32)
    line[:, 0] = 1 + np.arange(4000) * 1e-6
    line[7] = line[3]
    found = equal_vectors(line)
    assert found.group[7] == found.group[3]
    assert found.count == 2


def test_equal_vectors__far_larger_ones_do_not_make_others_equal() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    vectors[:5] *= 1e9
    assert equal_vectors(vectors).count == 0


def test_equal_vectors__of_one_row_or_none() -> None:
    assert equal_vectors(np.ones((1, 4), np.float32)).sentence() == ""
    assert equal_vectors(np.ones((0, 4), np.float32)).count == 0
