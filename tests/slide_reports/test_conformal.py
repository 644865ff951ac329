"""Sets of classes: of the cells of each class, at most the stated fraction has a set without it."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.classification.abstention import HeldOutCells
from reddino.foundations.errors import RedDinoError
from reddino.slide_reports.conformal import sets, thresholds


def held_out(cells: int, seed: int, priors: list[float]) -> HeldOutCells:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, cells, p=priors)
    logits = rng.normal(size=(cells, 3)) + 1.5 * np.eye(3)[truth]
    odds = np.exp(logits)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    best = probabilities.argmax(axis=1)
    return HeldOutCells(
        probabilities.max(axis=1), np.zeros(cells), best == truth, np.arange(cells), truth, probabilities
    )


@pytest.mark.parametrize("error", [0.05, 0.2])
def test_sets__hold_the_class_at_the_stated_rate_however_frequent_it_is(error: float) -> None:
    least = thresholds(held_out(20_000, 0, [0.4, 0.4, 0.2]), error)
    new = held_out(20_000, 1, [0.9, 0.05, 0.05])
    assert new.truth is not None and new.probabilities is not None
    inside = sets(new.probabilities, least)[np.arange(len(new.truth)), new.truth]
    for number in range(3):
        assert inside[new.truth == number].mean() == pytest.approx(1 - error, abs=0.04)


def test_thresholds__a_class_with_too_few_cells_is_in_every_set() -> None:
    cells = held_out(5, 0, [0.4, 0.4, 0.2])
    assert sets(np.full((1, 3), 1e-6), thresholds(cells, 0.05)).all()


def test_thresholds__refuse_what_cannot_be_calibrated() -> None:
    cells = held_out(50, 0, [0.4, 0.4, 0.2])
    with pytest.raises(RedDinoError, match="no error rate"):
        thresholds(cells, 1.0)
    old = HeldOutCells(cells.probability, cells.novelty, cells.correct, cells.group)
    with pytest.raises(RedDinoError, match="fit it again"):
        thresholds(old, 0.1)
