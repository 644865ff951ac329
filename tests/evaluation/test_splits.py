"""Folds: what they keep apart, what they refuse, and why groups matter."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.evaluation.splits import (
    Folds,
    grouped_folds,
    held_out,
    require_whole_groups,
    straddling,
    stratified_folds,
    unlearned_classes,
    untested_classes,
)
from reddino.foundations.errors import RedDinoError


def cells(groups: int = 30, per_group: int = 7, seed: int = 0) -> tuple[list[str], list[str]]:
    """Labels of three classes in unequal shares, and the groups they live in."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(["normal", "target", "burr"], p=[0.6, 0.3, 0.1], size=groups * per_group)
    return labels.tolist(), np.repeat([f"field {i}" for i in range(groups)], per_group).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_folds__partition_the_rows(seed: int) -> None:
    labels, groups = cells(seed=seed)
    for folds in (stratified_folds(labels, 5, seed), grouped_folds(labels, groups, 5, seed)):
        assert len(folds) == 5
        tested = np.concatenate([test for _, test in folds])
        assert sorted(tested.tolist()) == list(range(len(labels)))
        for train, test in folds:
            assert set(train) | set(test) == set(range(len(labels)))
            assert not set(train) & set(test)


@pytest.mark.parametrize("seed", range(5))
def test_grouped_folds__keep_each_group_on_one_side(seed: int) -> None:
    labels, groups = cells(seed=seed)
    group = np.array(groups)
    for train, test in grouped_folds(labels, groups, 5, seed):
        assert not set(group[train]) & set(group[test])


def test_stratified_folds__keep_class_shares_and_split_groups() -> None:
    labels, groups = cells()
    truth, group = np.array(labels), np.array(groups)
    straddled = 0
    for train, test in stratified_folds(labels, 5, seed=1):
        for name in np.unique(truth):
            assert abs((truth[test] == name).sum() - (truth == name).sum() / 5) < 1
        straddled += len(set(group[train]) & set(group[test]))
    assert straddled > 0


def test_folds__follow_the_seed() -> None:
    labels, groups = cells()
    first, again, other = (grouped_folds(labels, groups, 5, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.of_row, again.of_row)
    assert not np.array_equal(first.of_row, other.of_row)


def test_require_whole_groups__names_the_group_that_straddles() -> None:
    require_whole_groups(np.array([0, 0, 1, 1]), ["a", "a", "b", "b"])
    with pytest.raises(RedDinoError, match="'b'"):
        require_whole_groups(np.array([0, 0, 1, 0]), ["a", "a", "b", "b"])


def test_grouped_folds__refuse_a_class_of_a_single_group() -> None:
    labels = ["normal"] * 10 + ["sickle"] * 2
    groups = [f"g{i}" for i in range(10)] + ["g0", "g0"]
    with pytest.raises(RedDinoError, match=r"'sickle'.*one group"):
        grouped_folds(labels, groups, 5)


def test_grouped_folds__refuse_fewer_groups_than_folds() -> None:
    with pytest.raises(RedDinoError, match="at least 5 groups, but there are 2"):
        grouped_folds(["a", "b"] * 4, ["g", "g", "h", "h"] * 2, 5)


def test_grouped_folds__note_a_class_in_fewer_groups_than_folds() -> None:
    labels = ["normal"] * 10 + ["sickle"] * 4
    groups = [f"g{i}" for i in range(10)] + ["g0", "g1", "g2", "g2"]
    folds = grouped_folds(labels, groups, 5)
    assert any("'sickle' lives in 3 groups" in note for note in folds.notes)


def test_unlearned_classes__names_split_and_class() -> None:
    folds = Folds(np.array([0, 0, 1, 1]))
    notes = unlearned_classes(folds.splits(), ["a", "b", "a", "a"])
    assert notes == ["Class 'b' is tested without a training cell of it in: fold 1."]


def test_straddling__is_the_share_of_tested_cells_whose_group_trains() -> None:
    splits = Folds(np.array([0, 0, 1, 1])).splits()
    assert straddling(splits, ["g", "h", "h", "i"]) is not None
    assert "50 % of the tested cells" in str(straddling(splits, ["g", "h", "h", "i"]))
    assert straddling(splits, ["g", "g", "h", "h"]) is None


def test_stratified_folds__refuse_a_rare_class() -> None:
    with pytest.raises(RedDinoError, match=r"'b' \(2\)"):
        stratified_folds(["a"] * 20 + ["b"] * 2, 5)


def test_folds__refuse_a_single_class() -> None:
    with pytest.raises(RedDinoError, match="at least two classes"):
        stratified_folds(["a"] * 20, 5)


def test_held_out__tests_the_named_values_only() -> None:
    folds = held_out(["p1", "p2", "p3", "p2"], ["p2"])
    assert len(folds) == 1
    ((train, test),) = list(folds)
    assert train.tolist() == [0, 2]
    assert test.tolist() == [1, 3]


@pytest.mark.parametrize("values", [["p9"], ["p1", "p2"]])
def test_held_out__refuses_unknown_or_all_values(values: list[str]) -> None:
    with pytest.raises(RedDinoError):
        held_out(["p1", "p2"], values)


def test_folds__of_no_row_is_empty() -> None:
    assert list(Folds(np.zeros(0, dtype=np.int64))) == []


def test_untested_classes__says_where_a_score_is_not_about_a_class() -> None:
    tests = [("fold 1", np.array([0, 1, 1])), ("fold 2", np.array([1, 1])), ("fold 3", np.array([0, 0]))]
    assert untested_classes(tests, ["sick", "well"]) == [
        "Class 'sick' has no cell in 1 of 3 test sets (fold 2): bAcc and macro F1 there are means over the "
        "other classes, and there is no AUROC.",
        "Class 'well' has no cell in 1 of 3 test sets (fold 3): bAcc and macro F1 there are means over the "
        "other classes, and there is no AUROC.",
        "2 of 3 test sets hold a single class (fold 2: 'well', fold 3: 'sick'): their scores show how often "
        "it is recognised, and nothing of what is taken for it.",
    ]
    assert untested_classes(tests[:1], ["sick", "well"]) == []
    several = [(f"s{number}", np.array([0, 1])) for number in range(7)]
    assert untested_classes(several, ["a", "b", "c"]) == [
        "Class 'c' has no cell in 7 of 7 test sets (s0, s1, s2, s3, s4 and 2 more): bAcc and macro F1 there "
        "are means over the other classes."
    ]


def test_grouped_folds__refuses_classes_that_are_all_smaller_than_the_folds() -> None:
    labels = [f"class {row % 10}" for row in range(20)]
    groups = [f"field {row // 2}" for row in range(20)]
    with pytest.raises(RedDinoError, match=r"class of at least 5 cells, but the largest has 2: use fewer"):
        grouped_folds(labels, groups, 5)
    assert len(grouped_folds(labels, groups, 2)) == 2
