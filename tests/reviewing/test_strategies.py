"""The strategies, each against scikit-activeml or brute force on small sets."""

from __future__ import annotations

import numpy as np
import pytest
from pools import NAMES, SIZES, answers, clustered_pool
from skactiveml.pool import ProbCover, TypiClust, uncertainty_scores

from reddino.reviewing.pool import CellVectors, Numbers
from reddino.reviewing.strategies.coverage import coverage_first
from reddino.reviewing.strategies.distances import nearest_of, squared, to_nearest
from reddino.reviewing.strategies.diverse import spread_over_fields
from reddino.reviewing.strategies.rare import in_turn, likely_first, rare_classes, strange_first
from reddino.reviewing.strategies.schedule import parts
from reddino.reviewing.strategies.typical import typical_first
from reddino.reviewing.strategies.uncertain import doubtful_by_class, entropy, margin


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_uncertain__scores_equal_those_of_scikit_activeml(classes: int) -> None:
    likely = draw().dirichlet(np.full(classes, 0.5), size=500).astype(np.float32)
    for found, method in ((margin(likely), "margin_sampling"), (entropy(likely), "entropy")):
        expected = np.asarray(uncertainty_scores(likely, method=method), np.float64)
        np.testing.assert_allclose(found.astype(np.float64), expected, atol=1e-5)


def test_uncertain__entropy_of_certainty_is_0_and_of_one_class_the_margin() -> None:
    assert entropy(np.array([[1.0, 0.0]], np.float32)).tolist() == [0.0]
    assert margin(np.ones((3, 1), np.float32)).tolist() == [0.0, 0.0, 0.0]


def test_distances__equal_brute_force_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = (draw(seed).normal(size=(37, 5)).astype(np.float32) for seed in (0, 1))
    exact = ((points[:, None] - others) ** 2).sum(axis=2)
    monkeypatch.setattr("reddino.reviewing.strategies.distances.BLOCK_NUMBERS", 100)
    np.testing.assert_allclose(squared(points, others), exact, rtol=1e-4)
    np.testing.assert_allclose(to_nearest(points, others), exact.min(axis=1), rtol=1e-4)
    assert nearest_of(points, others).tolist() == exact.argmin(axis=1).tolist()
    assert np.isinf(to_nearest(points, others[:0])).all()


def test_typical__takes_one_cell_of_each_open_cluster_as_scikit_activeml_does() -> None:
    clusters = np.repeat(np.arange(4), 60)
    points = (np.eye(4, 6)[clusters] * 9 + draw().normal(size=(240, 6))).astype(np.float32)
    seen = np.array([70])
    labels = np.full(240, np.nan)
    labels[seen] = 1
    pool = CellVectors(points, clusters, clusters).pool()
    rows = np.setdiff1d(np.arange(240), seen)
    ours = typical_first(pool.features, pool.strangeness, seen, rows, count=3, draw=draw())
    theirs = TypiClust(random_state=0).query(pool.features, labels, batch_size=3)
    assert sorted(clusters[ours].tolist()) == sorted(clusters[theirs].tolist()) == [0, 2, 3]


def test_typical__cell_lies_in_the_middle_of_its_cluster() -> None:
    pool, classes = clustered_pool()
    first = typical_first(
        pool.features, pool.strangeness, np.array([], np.int64), np.arange(len(pool)), count=4, draw=draw()
    )
    for row in first[:3].tolist():
        own = np.flatnonzero(classes == classes[row])
        far = np.sqrt(squared(pool.features[[row]], pool.features[own]))[0]
        among = np.sqrt(squared(pool.features[own], pool.features[own])).mean(axis=1)
        assert far.mean() < np.quantile(among, 0.2)


def _covered(far: np.ndarray, chosen: Numbers, radius: float) -> list[int]:
    """Return how many cells the first k chosen cover, for each k."""
    return [int((far[chosen[: k + 1]] <= radius).any(axis=0).sum()) for k in range(len(chosen))]


@pytest.mark.filterwarnings("ignore:The maximum purity")
def test_coverage__covers_as_many_cells_as_scikit_activeml_with_the_same_radius() -> None:
    points = draw(3).normal(size=(300, 4)).astype(np.float32)
    far = np.sqrt(squared(points, points))
    seen = np.array([5, 17])
    labels = np.full(len(points), np.nan)
    labels[seen] = 0
    rows = np.setdiff1d(np.arange(300), seen)
    ours = coverage_first(points, seen, rows, 12, draw=draw(), radius=0.8)
    theirs = ProbCover(deltas=[0.8], alpha=1e-6, random_state=0).query(points, labels, batch_size=12)
    mine, other = (_covered(far, np.concatenate([seen, chosen]), 0.8)[2:] for chosen in (ours, theirs))
    assert mine[0] == other[0]
    # Ties are broken at random, after which the greedy paths differ by a few cells.
    assert np.abs(np.array(mine) - other).max() <= 6 and not set(ours.tolist()) & set(seen.tolist())


def test_coverage__goes_on_with_a_smaller_radius_once_all_is_covered() -> None:
    points = draw().normal(size=(60, 3)).astype(np.float32)
    chosen = coverage_first(points, np.array([], np.int64), np.arange(60), 60, draw=draw(), radius=50.0)
    assert sorted(chosen.tolist()) == list(range(60))


def test_coverage__of_equal_cells_ends() -> None:
    points = np.ones((30, 3), np.float32)
    chosen = coverage_first(points, np.array([0]), np.arange(1, 30), 10, draw=draw())
    assert len(set(chosen.tolist())) == 10


def test_strange__far_cells_come_first_and_not_ten_of_the_same_kind() -> None:
    pool, classes = clustered_pool()
    seen = np.array([], np.int64)
    first = strange_first(pool.features, pool.strangeness, seen, np.arange(len(pool)), count=10)
    assert classes[first[0]] == 3
    rare = np.flatnonzero(classes == 3)
    rest = np.setdiff1d(np.arange(len(pool)), rare[:6])
    later = strange_first(pool.features, pool.strangeness, rare[:6], rest, count=5)
    assert pool.strangeness[first[0]] > 1.5 and (classes[later] == 3).sum() < 5


def test_strange__equal_cells_are_returned_once_each() -> None:
    points = np.ones((30, 3), np.float32)
    found = strange_first(points, np.ones(30), np.array([0]), np.arange(1, 30), count=12)
    assert len(set(found.tolist())) == 12


def test_rare__classes_are_those_with_few_labels() -> None:
    classes = np.array([0] * 60 + [1] * 40 + [2] * 4)
    assert rare_classes(answers(classes, np.arange(104))).tolist() == [2]
    assert rare_classes(answers(classes, np.arange(0))).tolist() == []


@pytest.mark.parametrize("with_classifier", [False, True])
def test_likely__neighbours_of_two_rare_cells_are_rare(with_classifier: bool) -> None:
    pool, classes = clustered_pool()
    rare = np.flatnonzero(classes == 3)
    labelled = answers(classes, np.concatenate([np.arange(30), rare[-2:]]))
    rows = labelled.open_rows(pool)
    likely = (np.eye(len(NAMES))[classes[rows]]).astype(np.float32) if with_classifier else None
    found = likely_first(pool.features, labelled, np.array([3]), rows, 8, probabilities=likely)
    assert len(found) == 8 and (classes[found] == 3).mean() >= 0.75


def test_doubtful__are_the_least_sure_of_each_predicted_class() -> None:
    likely = np.array([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.2, 0.8], [0.3, 0.7]], np.float32)
    found = doubtful_by_class(likely, 2)
    assert {one: rows.tolist() for one, rows in found.items()} == {0: [2, 1], 1: [4, 3]}


def test_in_turn__keeps_proportions_and_rows_once() -> None:
    mixed = in_turn([np.arange(0, 50), np.arange(40, 90)], [0.8, 0.2], 40)
    assert len(set(mixed.tolist())) == 40
    assert 6 <= (mixed >= 50).sum() + (mixed[mixed >= 40] < 50).sum() <= 10
    assert in_turn([np.array([1, 2]), np.array([], np.int64)], [0.5, 0.5], 5).tolist() == [1, 2]
    assert in_turn([], [], 5).tolist() == []


def test_diverse__no_page_comes_from_one_field_while_others_have_cells() -> None:
    fields = np.array([0] * 100 + [1] * 10 + [2] * 10 + [3] * 10)
    order = spread_over_fields(np.arange(130), fields, batch=20, count=60)
    pages = [np.bincount(fields[order[start : start + 20]], minlength=4) for start in (0, 20, 40)]
    assert pages[0].tolist() == [5, 5, 5, 5] and pages[1].tolist() == [5, 5, 5, 5]
    assert pages[2].tolist() == [20, 0, 0, 0] and len(set(order.tolist())) == 60


def test_schedule__goes_from_coverage_over_rare_to_uncertain() -> None:
    start = parts(0, probe=False, sought=False)
    middle = parts(30, probe=True, sought=True)
    end = parts(1000, probe=True, sought=True)
    assert start.coverage > middle.coverage > end.coverage == 0
    assert start.likely == 0 < middle.likely < end.likely
    assert start.doubtful == 0 < middle.doubtful < end.doubtful
    one_class = parts(100, probe=False, sought=False)
    assert one_class.random == pytest.approx(0.9) and one_class.doubtful == 0 == end.random == start.random
    named = parts(1000, probe=True, sought=True, named=True)
    assert named.likely > end.likely
    for one in (start, middle, end, named, parts(1000, probe=True, sought=False)):
        assert sum(vars(one).values()) == pytest.approx(1)


def test_pools__have_the_sizes_that_tests_expect() -> None:
    assert np.bincount(clustered_pool()[1]).tolist() == list(SIZES)
