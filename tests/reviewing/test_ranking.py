"""The queue: rows without an answer, in the order of a strategy, the same for the same labels."""

from __future__ import annotations

import numpy as np
import pytest
from pools import NAMES, answers, clustered_pool

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.choices import DESCRIPTIONS, STRATEGIES, Strategy
from reddino.reviewing.learning import fit_probe
from reddino.reviewing.pool import CellVectors, Labelled
from reddino.reviewing.ranking import rank


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("labels", [0, 3, 60])
def test_rank__returns_open_rows_once_and_the_same_again(strategy: Strategy, labels: int) -> None:
    pool, classes = clustered_pool()
    given = np.random.default_rng(1).permutation(len(pool))
    labelled = answers(classes, given[:labels])
    labelled = Labelled(labelled.rows, labelled.classes, NAMES, given[900:])
    found = rank(strategy, pool, labelled, count=45, seed=3)
    assert len(found) == len(set(found.tolist())) == 45
    assert not set(found.tolist()) & set(given[:labels].tolist() + given[900:].tolist())
    assert rank(strategy, pool, labelled, count=45, seed=3).tolist() == found.tolist()
    assert set(DESCRIPTIONS) == set(STRATEGIES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rank__no_page_comes_from_one_field(strategy: Strategy) -> None:
    pool, classes = clustered_pool(fields=6)
    found = rank(strategy, pool, answers(classes, np.arange(40)), count=60, batch=20)
    if strategy != "random":
        for start in (0, 20, 40):
            assert np.bincount(pool.fields[found[start : start + 20]]).max() <= 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rank__returns_all_that_is_left_and_nothing_of_nothing(strategy: Strategy) -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(len(pool) - 4))
    assert sorted(rank(strategy, pool, labelled, count=20)) == list(range(len(pool) - 4, len(pool)))
    assert rank(strategy, pool, answers(classes, np.arange(len(pool))), count=20).tolist() == []


def test_rank__shows_only_what_is_asked_for() -> None:
    pool, classes = clustered_pool()
    slide = np.flatnonzero(pool.fields == 2)
    found = rank("default", pool, answers(classes, np.arange(30)), count=20, among=slide)
    assert set(pool.fields[found].tolist()) == {2}


def test_rank__finds_the_rare_class_before_random_does() -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(0))
    for _ in range(3):
        rows = rank("default", pool, labelled, count=20)
        labelled = answers(classes, np.concatenate([labelled.rows, rows]))
    # Random order would have found 12 x 60 / 912, not one.
    assert labelled.counts[3] >= 6


def test_rank__looks_for_the_classes_that_are_named() -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(60))
    plain, named = (
        rank("rare", pool, labelled, count=40, batch=40, sought=sought) for sought in ((), ("oval",))
    )
    assert (classes[named] == 1).sum() > 20 > (classes[plain] == 1).sum()


def test_rank__refuses_what_it_does_not_know() -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(9))
    with pytest.raises(RedDinoError, match="no strategy 'best': choose from default, random"):
        rank("best", pool, labelled)  # type: ignore[arg-type]
    with pytest.raises(RedDinoError, match="no class 'sickle' to look for"):
        rank("rare", pool, labelled, sought=["sickle"])


def test_rank__of_equal_cells_works() -> None:
    pool = CellVectors(np.ones((50, 8), np.float32), np.arange(50) % 5, np.arange(50) % 5).pool()
    labelled = answers(np.arange(50) % 2, np.arange(6))
    for strategy in STRATEGIES:
        assert len(rank(strategy, pool, labelled, count=10)) == 10


def test_rank__balanced_shows_the_less_of_a_predicted_class_the_more_labels_it_has() -> None:
    pool, classes = clustered_pool()
    many, few = np.flatnonzero(classes == 0)[:90], np.flatnonzero(classes == 2)[:6]
    labelled = answers(classes, np.concatenate([many, few]))
    probe = fit_probe(pool, labelled)
    assert probe is not None
    predicted = probe.of_features(pool.features).argmax(axis=1)
    shown = np.bincount(predicted[rank("balanced", pool, labelled, count=20, probe=probe)], minlength=3)
    assert shown[2] >= 15 and shown[0] >= 1  # 6 labels to 90


def test_rank__looks_more_for_a_class_that_a_reader_names() -> None:
    pool, classes = clustered_pool()
    labelled = answers(classes, np.arange(150))
    shown = [
        np.bincount(classes[rank("default", pool, labelled, count=20, sought=named)], minlength=len(NAMES))[1]
        for named in ((), ("oval",))
    ]
    assert shown[1] >= 12 > shown[0]
