"""Means, spreads and paired differences of arms, on numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.compare import Arms, Unit, task_weights
from ablation.score import Scored
from reddino.evaluation.intervals import interval
from reddino.foundations.errors import RedDinoError

SHAPES: Unit = ("one", "shapes")
FIRST, SECOND = ("one", "parasites"), ("two", "parasites")


def scored(value: float, around: np.ndarray | None = None, cells: str = "x") -> Scored:
    return Scored(cells, {"m": value}, {} if around is None else {"m": value + around})


def test_compare__mean_spread_and_paired_difference_over_seeds() -> None:
    draw = np.random.default_rng(0)
    shared, own = draw.normal(size=1000), 0.01 * draw.normal(size=(2, 1000))
    arms = Arms(
        {
            "A": {seed: {SHAPES: scored(0.70 + 0.02 * seed, shared)} for seed in (0, 1)},
            "B": {seed: {SHAPES: scored(0.75 + 0.04 * seed, shared + own[seed])} for seed in (0, 1)},
        }
    )
    found = arms.compare("B", "A", {(SHAPES, "m"): 1.0})
    assert found is not None
    assert found.seeds == 2
    assert (found.mean, found.difference) == pytest.approx((0.77, 0.06))
    assert found.sd == pytest.approx(0.04 / np.sqrt(2))
    assert found.difference_sd == pytest.approx(0.02 / np.sqrt(2))
    assert found.interval == pytest.approx(interval(0.06 + own.mean(axis=0), 0.06))
    # The groups' share in both cancels: unpaired, the interval would be a hundred times as wide.
    assert found.interval is not None and found.interval[1] - found.interval[0] < 0.04


def test_compare__only_seeds_that_both_have() -> None:
    arms = Arms(
        {
            "A": {0: {SHAPES: scored(0.7)}, 1: {SHAPES: scored(0.9)}},
            "B": {0: {SHAPES: scored(0.8)}},
        }
    )
    found = arms.compare("B", "A", {(SHAPES, "m"): 1.0})
    assert found is not None
    assert found.difference == pytest.approx(0.1)
    assert found.interval is None and found.difference_sd is None


def test_compare__a_network_stands_beside_every_seed() -> None:
    arms = Arms(
        {"A": {0: {SHAPES: scored(0.7)}, 1: {SHAPES: scored(0.9)}}, "net": {0: {SHAPES: scored(0.6)}}},
        fixed=["net"],
    )
    found = arms.compare("net", "A", {(SHAPES, "m"): 1.0})
    assert found is not None
    assert found.sd is None
    assert (found.mean, found.difference) == pytest.approx((0.6, -0.2))
    assert found.difference_sd == pytest.approx(np.std([-0.1, -0.3], ddof=1))
    found = arms.compare("A", "net", {(SHAPES, "m"): 1.0})
    assert found is not None
    assert found.seeds == 2
    assert (found.mean, found.difference) == pytest.approx((0.8, 0.2))


def test_task_weights__each_task_the_same_whatever_the_folds() -> None:
    weights = task_weights([SHAPES, FIRST, SECOND], ["m", "n"])
    total = sum(weights.values())
    by_task = dict.fromkeys(("shapes", "parasites"), 0.0)
    for (unit, _), weight in weights.items():
        by_task[unit[1]] += weight / total
    assert by_task == {"shapes": pytest.approx(0.5), "parasites": pytest.approx(0.5)}
    assert weights[FIRST, "m"] == weights[SECOND, "n"] == weights[SHAPES, "m"] / 2


def test_measured__mean_over_tasks_and_their_resamples() -> None:
    ones, twos = np.ones(4), np.full(4, 2.0)
    run = {SHAPES: scored(0.4, ones), FIRST: scored(0.6, twos), SECOND: scored(0.8, 2 * twos)}
    (found,) = Arms({"A": {0: run}}).measured("A", task_weights(list(run), ["m"])).values()
    assert found.value == pytest.approx(0.4 / 2 + 0.6 / 4 + 0.8 / 4)
    assert found.resamples == pytest.approx(np.full(4, found.value + 1 / 2 + 2 / 4 + 4 / 4))


def test_measured__a_seed_that_lacks_a_task_is_left_out() -> None:
    arms = Arms({"A": {0: {SHAPES: scored(0.4)}, 1: {SHAPES: scored(0.4), FIRST: scored(0.6)}}})
    assert list(arms.measured("A", task_weights([SHAPES, FIRST], ["m"]))) == [1]
    assert arms.compare("B", "A", {(SHAPES, "m"): 1.0}) is None


def test_arms__refuse_results_on_other_cells() -> None:
    with pytest.raises(RedDinoError, match="one / shapes: 'B, seed 0' was scored on other cells"):
        Arms({"A": {0: {SHAPES: scored(0.4)}}, "B": {0: {SHAPES: scored(0.4, cells="y")}}})
