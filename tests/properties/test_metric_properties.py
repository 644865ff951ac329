"""Metrics agree with scikit-learn on any labels; folds never part a group."""

from __future__ import annotations

import warnings
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from reddino.evaluation.metrics import auroc, confusion_matrix, score
from reddino.evaluation.splits import grouped_folds
from reddino.foundations.errors import RedDinoError

CLASSES = 5
ROWS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@given(ROWS)
def test_score__is_that_of_scikit_learn_over_the_classes_that_occur(rows: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(rows, np.int64).T
    found, present = score(truth, predicted, CLASSES), np.unique(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of predicted classes that do not occur
        weighted = f1_score(truth, predicted, average="weighted", labels=present)
        macro = f1_score(truth, predicted, average="macro", labels=present, zero_division=0)
        balanced = balanced_accuracy_score(truth, predicted)
    expected = (weighted, balanced, float((truth == predicted).mean()), macro)
    assert found.as_row() == pytest.approx(expected, abs=1e-12)


@given(ROWS, st.permutations(range(CLASSES)), st.randoms(use_true_random=False))
def test_score__depends_neither_on_the_order_of_rows_nor_on_the_numbers_of_classes(
    rows: list[tuple[int, int]], numbers: list[int], random: Random
) -> None:
    truth, predicted = np.array(rows, np.int64).T
    order = np.array(sorted(range(len(rows)), key=lambda _: random.random()))
    renamed = np.array(numbers)
    again = score(renamed[truth[order]], renamed[predicted[order]], CLASSES)
    assert again.as_row() == pytest.approx(score(truth, predicted, CLASSES).as_row(), abs=1e-12)
    assert confusion_matrix(truth, predicted, CLASSES).sum() == len(rows)


@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=1, max_size=40))
def test_auroc__is_that_of_scikit_learn_with_ties(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([one for one, _ in rows])
    scores = np.array([value for _, value in rows], np.float64)
    found = auroc(truth, scores)
    if truth.all() or not truth.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(truth, scores))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 7)), min_size=6, max_size=60),
    st.integers(2, 4),
    st.integers(0, 3),
)
def test_grouped_folds__never_part_a_group_and_test_every_row_once(
    rows: list[tuple[str, int]], folds: int, seed: int
) -> None:
    labels, groups = [label for label, _ in rows], [f"g{group}" for _, group in rows]
    try:
        made = grouped_folds(labels, groups, folds, seed)
    except RedDinoError:
        return  # too few groups, or a class in one group alone
    assert (made.of_row >= 0).all() and len(made) == folds
    for group in set(groups):
        assert len({int(made.of_row[row]) for row, name in enumerate(groups) if name == group}) == 1
    for train, test in made:
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(rows)))
        assert not {groups[row] for row in train} & {groups[row] for row in test}
