"""Scores of patients against scikit-learn, DeLong's variance, and cohorts whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score

from reddino.patients.influence import (
    Score,
    brier,
    fold_auroc,
    macro_auroc,
    paired_interval,
    patients_needed,
    smallest_shown,
)


def _delong(truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the variance of the difference of two AUROC, pair by pair (DeLong et al. 1988)."""
    pairs = []
    for likely in (one, other):
        a, b = likely[truth][:, None], likely[~truth][None, :]
        pairs.append((a > b) + 0.5 * (a == b))
    gap = pairs[0].astype(float) - pairs[1].astype(float)
    ones, others = gap.mean(axis=1), gap.mean(axis=0)
    return float(ones.var(ddof=1) / len(ones) + others.var(ddof=1) / len(others))


def _scores(seed: int, patients: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(patients) < 0.4
    signal = truth + rng.normal(size=patients)
    return truth, np.round(signal + 0.5 * rng.normal(size=patients), 1), np.round(signal, 1)


def test_fold_auroc__of_one_fold_is_scikit_learns_and_its_variance_is_delongs() -> None:
    truth, one, other = _scores(0)
    fold = np.zeros(len(truth), dtype=np.int64)
    a, b = fold_auroc(truth, one, fold), fold_auroc(truth, other, fold)
    assert a is not None
    assert b is not None
    assert a.value == pytest.approx(roc_auc_score(truth, one))
    assert (a - b).standard_error ** 2 == pytest.approx(_delong(truth, one, other), rel=0.03)


def test_fold_auroc__is_the_mean_over_folds_and_passes_over_folds_of_one_kind() -> None:
    truth, likely, _ = _scores(1)
    fold = np.arange(len(truth)) % 4
    fold[truth & (fold == 3)] = 0
    found = fold_auroc(truth, likely, fold)
    assert found is not None
    assert found.value == pytest.approx(
        np.mean([roc_auc_score(truth[fold == one], likely[fold == one]) for one in range(3)])
    )
    assert not found.influence[fold == 3].any()
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


def test_fold_auroc__of_one_class_is_none() -> None:
    assert fold_auroc(np.ones(5, dtype=bool), np.arange(5.0), np.zeros(5, dtype=np.int64)) is None


def test_influence__predicts_what_leaving_a_patient_out_changes() -> None:
    truth, likely, _ = _scores(2, 60)
    fold = np.zeros(len(truth), dtype=np.int64)
    found = fold_auroc(truth, likely, fold)
    assert found is not None
    for row in (0, 7, 30):
        kept = np.arange(len(truth)) != row
        without = roc_auc_score(truth[kept], likely[kept])
        assert found.value - without == pytest.approx(found.influence[row] / len(truth), abs=2e-3)


def test_macro_auroc__of_three_classes_is_scikit_learns_one_against_the_rest() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(3, size=150)
    likely = rng.dirichlet(np.ones(3), size=150)
    likely[np.arange(150), truth] += 0.3
    likely /= likely.sum(axis=1, keepdims=True)
    found = macro_auroc(truth, likely, np.zeros(150, dtype=np.int64))
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(truth, likely, multi_class="ovr"))


def test_brier__of_two_classes_is_scikit_learns() -> None:
    truth, likely, _ = _scores(4)
    probability = 1 / (1 + np.exp(-likely))
    found = brier(truth.astype(np.int64), np.stack([1 - probability, probability], axis=1))
    assert found.value == pytest.approx(brier_score_loss(truth, probability))


def test_interval__of_auroc_covers_the_truth_as_often_as_it_says() -> None:
    # Two normal scores a distance d apart have AUROC Phi(d / sqrt 2).
    distance, covered, rounds = 1.0, 0, 400
    expected = float(norm.cdf(distance / np.sqrt(2)))
    rng = np.random.default_rng(5)
    for _ in range(rounds):
        truth = np.arange(120) < 50
        likely = distance * truth + rng.normal(size=120)
        found = fold_auroc(truth, likely, rng.permutation(120) % 3)
        assert found is not None
        low, high = found.unit_interval()
        covered += low <= expected <= high
    assert 0.92 <= covered / rounds <= 0.98


def test_patients_needed__are_those_that_show_the_difference() -> None:
    rng = np.random.default_rng(6)
    influence = rng.normal(size=300)
    difference = Score(0.05, influence - influence.mean())
    needed = patients_needed(difference)
    assert needed is not None
    shown = 0
    sd = float(difference.influence.std(ddof=1))
    for _ in range(500):
        mean = 0.05 + sd * rng.normal() / np.sqrt(needed)
        shown += abs(mean) > 1.96 * sd / np.sqrt(needed)
    assert 0.74 <= shown / 500 <= 0.86
    assert smallest_shown(difference) == pytest.approx(2.8016 * difference.standard_error, rel=1e-3)
    assert patients_needed(Score(0.0, difference.influence)) is None


def test_unit_interval__of_a_perfect_auroc_leaves_the_truth_out_in_five_percent_of_cohorts() -> None:
    # Of 12 patients with the class, each is recognised with a chance of 0.77; the others lie below all: the
    # true AUROC is 0.77, and a cohort may yet show 1.
    rng = np.random.default_rng(7)
    truth, fold = np.arange(60) < 12, np.zeros(60, dtype=np.int64)
    left_out, cohorts = 0, 3000
    for _ in range(cohorts):
        likely = np.where(truth & (rng.random(60) < 0.77), 1.0, rng.random(60) - 2.0 * truth)
        found = fold_auroc(truth, likely, fold)
        assert found is not None
        left_out += found.at_bound and found.unit_interval()[0] > 0.77
    assert 0.03 < left_out / cohorts < 0.055


def test_paired_interval__of_two_perfect_aurocs_has_a_width() -> None:
    one = fold_auroc(np.arange(40) < 8, -np.arange(40.0), np.zeros(40, dtype=np.int64))
    assert one is not None
    low, high = paired_interval(one, one)
    least, _ = one.unit_interval()
    assert (low, high) == pytest.approx((least - 1, 1 - least))
    assert least == pytest.approx(0.05 ** (1 / 8))


def test_paired_interval__of_scores_within_bounds_is_that_of_their_difference() -> None:
    truth, likely, fold = _scores(3)
    one, other = fold_auroc(truth, likely, fold), fold_auroc(truth, -likely, fold)
    assert one is not None
    assert other is not None
    assert paired_interval(one, other) == pytest.approx((one - other).interval())


def test_unit_interval__of_a_perfect_score_has_a_width() -> None:
    low, high = Score(1.0, np.zeros(50)).unit_interval()
    assert 0.9 < low < 1.0
    assert high == 1.0
