"""Quantification: the classifier's errors are taken away, and intervals hold the truth on new slides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from reddino.slide_reports.quantification import (
    Errors,
    effective_cells,
    estimate,
    intraclass,
    smoothed,
    unfolded,
)

Real = npt.NDArray[np.float64]
RATES = np.array([[0.9, 0.08, 0.02], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]])


def groups_of(rates: Real, groups: int, cells: int, rng: np.random.Generator, alike: float = 0.0) -> Real:
    """Confusions (g, k, m) of groups with equally many cells of each class."""
    own = np.repeat(rates[None], groups, axis=0)
    if alike:
        drawn = rng.standard_gamma(own * (1 - alike) / alike)
        own = drawn / drawn.sum(axis=2, keepdims=True)
    return rng.multinomial(cells, own).astype(np.float64)


def test_unfolded__after_many_steps_is_the_adjusted_count_in_closed_form() -> None:
    # Two classes: p = (q - false positive rate) / (true positive rate - false positive rate).
    matrix = np.array([[0.9, 0.1], [0.3, 0.7]])
    found = unfolded(np.array([0.45, 0.55]), np.array([0.5, 0.5]), matrix, steps=2000)
    assert found[1] == pytest.approx((0.55 - 0.1) / (0.7 - 0.1), abs=1e-6)
    # What no mixture explains ends at the border.
    assert unfolded(np.array([0.95, 0.05]), np.array([0.5, 0.5]), matrix, steps=2000)[1] < 1e-3


def test_unfolded__keeps_fractions_whose_expected_answers_were_seen() -> None:
    truth = np.array([0.6, 0.3, 0.1])
    np.testing.assert_allclose(unfolded(truth @ RATES, truth, RATES), truth)


@pytest.mark.parametrize("alike", [0.0, 0.1, 0.4])
def test_intraclass__finds_how_far_groups_differ(alike: float) -> None:
    rng = np.random.default_rng(0)
    found = intraclass(groups_of(RATES, 400, 30, rng, alike))
    assert found == pytest.approx(alike, abs=0.04)


def test_smoothed__rows_are_rates_and_an_unseen_error_is_possible() -> None:
    rates = smoothed(np.array([[10.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    assert 0 < rates[0, 1] < 0.1


def test_effective_cells__fields_that_differ_are_worth_fewer_cells() -> None:
    alike = np.array([[50.0, 50.0]] * 8)
    apart = np.array([[95.0, 5.0], [5.0, 95.0]] * 4)
    assert effective_cells(alike) == 800
    assert effective_cells(apart) < 30


def new_slides(alike: float, seed: int) -> tuple[list[npt.NDArray[np.bool_]], list[Real], list[Real]]:
    """Which intervals hold, and the errors of adjusted and plain fractions, of 60 slides of 400 cells."""
    rng = np.random.default_rng(seed)
    errors = Errors.of(groups_of(RATES, 30, 20, rng, alike), of_slides=True)
    held, adjusted, plain = [], [], []
    for number in range(60):
        truth = rng.dirichlet([1.0, 0.5, 0.3])
        rates = groups_of(RATES, 1, 100_000, rng, alike)[0] / 100_000
        by_field = rng.multinomial(100, truth @ rates, 4).astype(np.float64)
        found = estimate(by_field, errors, draws=200, seed=number)
        held.append((found.low <= truth) & (truth <= found.high))
        adjusted.append(np.abs(found.fraction - truth))
        plain.append(np.abs(by_field.sum(axis=0) / 400 - truth))
    return held, adjusted, plain


@pytest.mark.parametrize("alike", [0.0, 0.05])
def test_estimate__intervals_hold_the_truth_and_errors_shrink(alike: float) -> None:
    held, adjusted, plain = new_slides(alike, seed=1)
    # 180 of which 95 % hold; that less than 90 % would is improbable, though three of a slide go together.
    assert np.mean(held) >= 0.9
    assert np.mean(adjusted) < 0.8 * np.mean(plain)


def test_estimate__plain_intervals_would_not_hold() -> None:
    held, _, plain = new_slides(0.05, seed=1)
    assert np.mean(np.array(plain) < 1.96 * np.sqrt(0.25 / 400)) < np.mean(held)


def test_estimate__the_same_seed_gives_the_same_interval() -> None:
    errors = Errors.of(groups_of(RATES, 12, 20, np.random.default_rng(0)), of_slides=False)
    by_field = np.array([[60.0, 30.0, 10.0], [50.0, 40.0, 10.0]])
    one, two = (estimate(by_field, errors, draws=50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.low, two.low)


def test_estimate__cells_without_an_answer_count_as_an_answer_of_their_own() -> None:
    rates = np.array([[0.7, 0.1, 0.2], [0.1, 0.3, 0.6]])  # the last column: no answer
    errors = Errors.of(groups_of(rates, 20, 100, np.random.default_rng(0)), of_slides=True)
    truth = np.array([0.5, 0.5])
    found = estimate(np.round(1000 * truth @ rates)[None], errors, draws=100)
    # Among the answered the second class would be a third.
    assert found.fraction[1] == pytest.approx(0.5, abs=0.05)
    assert found.low[1] < 0.5 < found.high[1]


def test_estimate__a_class_that_was_never_recognised_has_no_fraction() -> None:
    counts = groups_of(RATES, 20, 50, np.random.default_rng(0))
    counts[:, 2] = [25.0, 25.0, 0.0]
    errors = Errors.of(counts, of_slides=True)
    assert errors.recognised().tolist() == [True, True, False]
    assert errors.why_not() == ""
    found = estimate(np.array([[50.0, 40.0, 10.0]]), errors, draws=50)
    assert np.isnan(found.fraction[2]) and np.isnan(found.high[2])
    assert found.fraction[:2].sum() == pytest.approx(1)


def test_errors__say_why_nothing_can_be_adjusted() -> None:
    rng = np.random.default_rng(0)
    assert "9 groups" in Errors.of(groups_of(RATES, 9, 20, rng), of_slides=True).why_not()
    same = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    alike = np.repeat((100 * same)[None], 12, axis=0)
    assert "so much alike" in Errors.of(alike, of_slides=True).why_not()
    never = np.zeros((12, 3, 3))
    never[:, :, 0] = 10.0
    assert "fewer than two" in Errors.of(never, of_slides=True).why_not()
    assert Errors.of(groups_of(RATES, 12, 20, rng), of_slides=True).why_not() == ""
