"""The bootstrap against a loop over resampled rows, and what its intervals cover."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reddino.evaluation.intervals import PredictedRows, group_weights, interval, resampled_scores
from reddino.evaluation.metrics import auroc, score


def answers(seed: int, rows: int = 150, groups: int = 12, classes: int = 2) -> PredictedRows:
    draw = np.random.default_rng(seed)
    truth = draw.integers(classes, size=rows)
    likely = np.round(draw.random(rows) + 0.3 * (truth == 1), 1)
    predicted = np.where(draw.random(rows) < 0.7, truth, draw.integers(classes, size=rows))
    return PredictedRows(draw.integers(groups, size=rows), truth, predicted, likely if classes == 2 else None)


@pytest.mark.parametrize("classes", [2, 4])
def test_resampled_scores__equal_scores_of_the_rows_drawn(classes: int) -> None:
    sets = [answers(1, classes=classes), answers(2, classes=classes)]
    found = resampled_scores({"probe": sets}, 12, classes, resamples=30, seed=5)["probe"]
    (weights,) = list(group_weights(12, 30, 5))
    for row, weight in zip(found, weights.astype(int), strict=True):
        expected = []
        for one in sets:
            drawn = np.concatenate([np.repeat(np.flatnonzero(one.group == g), weight[g]) for g in range(12)])
            scores = score(one.truth[drawn], one.predicted[drawn], classes)
            area = np.nan if one.positive is None else roc_auc_score(one.truth[drawn], one.positive[drawn])
            expected.append([*scores.as_row(), area])
        assert row == pytest.approx(np.mean(expected, axis=0), nan_ok=True)


def test_resampled_scores__a_test_set_that_was_not_drawn_has_no_share() -> None:
    right = PredictedRows(np.zeros(4, int), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]))
    wrong = PredictedRows(np.ones(4, int), np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0]))
    found = resampled_scores({"probe": [right, wrong]}, 2, 2, resamples=50)["probe"][:, 2]
    assert set(found.tolist()) == {0.0, 0.5, 1.0}


def test_group_weights__draw_as_many_groups_as_there_are_in_any_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = np.concatenate(list(group_weights(9, 40, 3)))
    assert whole.shape == (40, 9)
    assert (whole.sum(axis=1) == 9).all()
    monkeypatch.setattr("reddino.evaluation.intervals.CHUNK_NUMBERS", 9 * 7)
    assert np.array_equal(np.concatenate(list(group_weights(9, 40, 3))), whole)


def test_interval__covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        skill = np.clip(draw.normal(0.7, 0.15, 30), 0, 1)
        group = np.repeat(np.arange(30), 20)
        truth = draw.integers(2, size=600)
        predicted = np.where(draw.random(600) < skill[group], truth, 1 - truth)
        rows = PredictedRows(group, truth, predicted)
        found = resampled_scores({"probe": [rows]}, 30, 2, resamples=200, seed=seed)["probe"][:, 2]
        low, high = interval(found, float((predicted == truth).mean())) or (0, 0)
        covered += low <= 0.6985 <= high
    assert 0.87 <= covered / 200 <= 0.99


def test_interval__of_nothing_is_none() -> None:
    assert interval(np.full(5, np.nan), 0.5) is None


def rare_classes(seed: int) -> PredictedRows:
    """Thirty groups of cells of one class; eleven rare ones have a cell in each of about three groups."""
    draw = np.random.default_rng(seed)
    group = np.repeat(np.arange(30), 20)
    truth = np.zeros(600, int)
    for rare in range(1, 12):
        truth[np.isin(group, draw.choice(30, 3, replace=False)) & (draw.random(600) < 0.05)] = rare
    right = draw.random(600) < 0.8
    return PredictedRows(group, truth, np.where(right, truth, draw.integers(12, size=600)))


def test_interval__of_macro_f1_over_rare_classes_lies_round_what_such_groups_give_on_average() -> None:
    samples = [rare_classes(seed) for seed in range(100)]
    scores = [score(one.truth, one.predicted, 12).macro_f1 for one in samples]
    moved = percentiles = 0
    for seed, (one, own) in enumerate(zip(samples, scores, strict=True)):
        found = resampled_scores({"probe": [one]}, 30, 12, resamples=200, seed=seed)["probe"][:, 3]
        low, high = interval(found, own) or (0, 0)
        moved += bool(low <= np.mean(scores) <= high)
        low, high = np.quantile(found, [0.025, 0.975])
        percentiles += bool(low <= np.mean(scores) <= high)
    assert moved / 100 >= 0.94
    assert moved > percentiles


@pytest.mark.parametrize("seed", range(20))
def test_auroc__equals_scikit_learn_with_ties(seed: int) -> None:
    rows = answers(seed, rows=int(np.random.default_rng(seed).integers(2, 60)))
    assert rows.positive is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = roc_auc_score(rows.truth, rows.positive) if len(set(rows.truth.tolist())) == 2 else None
    assert auroc(rows.truth == 1, rows.positive) == (None if expected is None else pytest.approx(expected))
