"""Calibration: likelihood and error by their definitions, and temperatures that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import log_loss

from reddino.classification.calibration import (
    calibration_error,
    calibration_report,
    choose_calibration,
    fit_temperature,
    negative_log_likelihood,
)
from reddino.classification.softmax import softmax


def drawn(rows: int = 20_000, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with exactly their probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(rows, k))
    cumulative = scipy_softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((rows, 1)) > cumulative[:, :-1]).sum(axis=1)


def test_softmax_and_likelihood__equal_scipy_and_scikit_learn() -> None:
    logits, truth = drawn(50)
    assert softmax(logits + 1e4) == pytest.approx(scipy_softmax(logits, axis=1))
    expected = -log_softmax(logits, axis=1)[np.arange(50), truth].mean()
    assert negative_log_likelihood(logits, truth) == pytest.approx(expected)
    assert negative_log_likelihood(logits, truth) == pytest.approx(
        log_loss(truth, softmax(logits), labels=range(4))
    )


@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
def test_fit_temperature__finds_the_factor_by_which_logits_were_too_sure(factor: float) -> None:
    logits, truth = drawn()
    assert fit_temperature(logits * factor, truth) == pytest.approx(factor, rel=0.05)


def test_fit_temperature__takes_an_offset_into_account() -> None:
    logits, truth = drawn()
    offset = np.array([1.0, -1.0, 0.5, 0.0])
    assert fit_temperature(3 * (logits - offset), truth, offset) == pytest.approx(3, rel=0.05)


def test_calibration_error__is_nought_for_true_probabilities_and_the_gap_for_boasts() -> None:
    logits, truth = drawn()
    assert calibration_error(softmax(logits), truth) < 0.02
    boast = np.full((1000, 2), [0.9, 0.1])
    assert calibration_error(boast, (np.arange(1000) % 2)) == pytest.approx(0.4)


def test_choose_calibration__keeps_a_temperature_that_helps_other_groups() -> None:
    logits, truth = drawn(4000)
    folds = [np.flatnonzero(np.arange(4000) % 5 == fold) for fold in range(5)]
    found = choose_calibration(logits * 3, truth, folds)
    assert found.chosen == "temperature"
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.tried["temperature"] < found.tried["none"]
    report = calibration_report(found, logits * 3, truth)
    assert report["nll_calibrated"] == pytest.approx(found.tried["temperature"])
    assert report["calibration_error_calibrated"] < report["calibration_error_raw"]


def test_choose_calibration__keeps_none_that_makes_other_groups_worse() -> None:
    # Two groups that err in opposite ways: each asks for what spoils the other.
    logits, truth = drawn(2000)
    sure = np.arange(2000) < 1000
    mixed = np.where(sure[:, None], logits * 4, logits / 4)
    found = choose_calibration(mixed, truth, [np.flatnonzero(sure), np.flatnonzero(~sure)])
    assert (found.chosen, found.temperature) == ("none", 1.0)
    assert found.tried["temperature"] > found.tried["none"]
    assert np.array_equal(found.judged, mixed)


def test_choose_calibration__keeps_no_temperature_that_nothing_could_judge() -> None:
    logits, truth = drawn(500)
    found = choose_calibration(logits * 5, truth, [np.arange(500)])
    assert (found.chosen, found.temperature, list(found.tried)) == ("none", 1.0, ["none"])


def test_choose_calibration__keeps_an_offset_only_where_it_helps() -> None:
    logits, truth = drawn(4000)
    offset = np.array([1.5, -1.0, 0.5, 0.0])
    folds = [np.flatnonzero(np.arange(4000) % 5 == fold) for fold in range(5)]
    missed = choose_calibration(2 * (logits - offset), truth, folds, offset)
    assert missed.chosen == "temperature and offset"
    assert missed.temperature == pytest.approx(2, rel=0.1)
    needless = choose_calibration(logits, truth, folds, 3 * offset)
    assert needless.chosen == "none"
    assert not needless.offset.any()
