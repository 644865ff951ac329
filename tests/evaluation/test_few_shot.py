"""Few-shot draws: as many cells a class as asked, from other groups than those that are tested."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.evaluation.few_shot import few_shot, spread_over_groups


def cells(seed: int = 0) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(seed)
    groups = [f"field {i}" for i in draw.integers(40, size=900)]
    return draw.choice(["normal", "burr", "target"], p=[0.7, 0.2, 0.1], size=900).tolist(), groups


@pytest.mark.parametrize("shots", [1, 5, 10])
def test_few_shot__draws_that_many_a_class_and_shares_no_group(shots: int) -> None:
    labels, groups = cells()
    truth, group = np.array(labels), np.array(groups)
    splits, notes = few_shot(labels, groups, shots=shots, repeats=7)
    assert (len(splits), notes) == (7, ())
    for split in splits:
        ((_, test),) = split.tests
        assert [(truth[split.train] == name).sum() for name in ("normal", "burr", "target")] == [shots] * 3
        assert not set(group[split.train]) & set(group[test])
    assert len({tuple(split.train) for split in splits}) == 7


def test_few_shot__a_small_class_gives_all_and_is_named() -> None:
    labels, groups = cells()
    splits, notes = few_shot(labels, groups, shots=120, repeats=2)
    assert "Fewer than 120" in notes[0]
    assert "target" in notes[0]
    truth = np.array(labels)
    for split in splits:
        ((_, test),) = split.tests
        assert (truth[split.train] == "target").sum() + (truth[test] == "target").sum() == labels.count(
            "target"
        )


def test_few_shot__follows_the_seed() -> None:
    labels, groups = cells()
    first, again, other = (few_shot(labels, groups, shots=5, repeats=2, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(first[1].train, again[1].train)
    assert not np.array_equal(first[1].train, other[1].train)


@pytest.mark.parametrize("seed", range(5))
def test_spread_over_groups__takes_every_group_before_any_twice(seed: int) -> None:
    draw = np.random.default_rng(seed)
    group = np.array(list("abcde"))[draw.integers(5, size=30)]
    order = spread_over_groups(np.arange(30), group, draw)
    assert sorted(order.tolist()) == list(range(30))
    taken: dict[str, int] = {}
    turns = []
    for name in group[order]:
        taken[name] = taken.get(name, 0) + 1
        turns.append(taken[name])
    assert turns == sorted(turns)
