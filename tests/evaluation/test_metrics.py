"""Every score against scikit-learn, over random answers with absent, unpredicted and rare classes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from reddino.evaluation.metrics import class_table, confusion_matrix, largest_class, score


def answers(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    draw = np.random.default_rng(seed)
    classes = int(draw.integers(2, 9))
    rows = int(draw.integers(1, 200))
    shares = draw.dirichlet(np.full(classes, 0.5))
    truth = draw.choice(classes, p=shares, size=rows)
    return truth, np.where(draw.random(rows) < 0.5, truth, draw.integers(0, classes, rows)), classes


@pytest.mark.parametrize("seed", range(40))
def test_score__equals_scikit_learn(seed: int) -> None:
    truth, predicted, classes = answers(seed)
    scores = score(truth, predicted, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores.accuracy == pytest.approx(reference.accuracy_score(truth, predicted))
        assert scores.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
        weighted = reference.f1_score(truth, predicted, average="weighted", zero_division=0)
        assert scores.weighted_f1 == pytest.approx(weighted)
        present = np.unique(truth)
        macro = reference.f1_score(truth, predicted, average="macro", labels=present, zero_division=0)
        assert scores.macro_f1 == pytest.approx(macro)


@pytest.mark.parametrize("seed", range(10))
def test_class_table__equals_scikit_learn(seed: int) -> None:
    truth, predicted, classes = answers(seed)
    confusion = confusion_matrix(truth, predicted, classes)
    assert np.array_equal(confusion, reference.confusion_matrix(truth, predicted, labels=range(classes)))
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        truth, predicted, labels=range(classes), zero_division=0
    )
    table = class_table(confusion, [str(i) for i in range(classes)])
    assert [row.name for row in table] == [str(i) for i in np.unique(truth)]
    for row in table:
        i = int(row.name)
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[i], recall[i], f1[i]))
        assert row.cells == support[i]


def test_macro_f1__a_class_absent_from_the_truth_has_no_share() -> None:
    # Class 2 is predicted once and never true: class 0 pays with its recall, class 2 is no third of the mean.
    scores = score(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 3)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1) / 2)


def test_largest_class__answers_the_training_majority() -> None:
    assert largest_class(np.array([2, 1, 1, 2, 1]), 3).tolist() == [1, 1, 1]
    assert largest_class(np.array([2, 1, 1, 2]), 1).tolist() == [1]
