"""k-NN against scikit-learn and brute force, on random vectors, duplicates and hostile scales."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from reddino.evaluation import knn, nearest
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import cpu_computes_bf16


def brute_force(train: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """All squared distances (m, n) in float64."""
    difference = train[None].astype(np.float64) - queries[:, None].astype(np.float64)
    return np.asarray((difference**2).sum(axis=2))


def data(seed: int, n: int = 400, m: int = 90, dim: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(6, dim))
    labels = draw.integers(0, 6, n)
    train = centres[labels] + draw.normal(size=(n, dim))
    test = centres[draw.integers(0, 6, m)] + draw.normal(size=(m, dim))
    return train.astype(np.float32), labels, test.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_predict__equals_scikit_learn(seed: int, k: int, offset: float) -> None:
    train, labels, test = data(seed)
    train, test = train + np.float32(offset), test + np.float32(offset)
    # The exact reference: scikit-learn's own default takes a shortcut that rounds at a large offset.
    reference = KNeighborsClassifier(k, algorithm="kd_tree").fit(train.astype(np.float64), labels)
    expected = reference.predict(test.astype(np.float64))
    assert np.array_equal(knn.predict(train, labels, test, (k,))[k], expected)


def test_predict__serves_every_k_from_one_search() -> None:
    train, labels, test = data(9)
    both = knn.predict(train, labels, test, (1, 20))
    for k in (1, 20):
        reference = KNeighborsClassifier(k).fit(train, labels).predict(test)
        assert np.array_equal(both[k], reference)


@pytest.mark.parametrize("seed", range(4))
def test_nearest__with_duplicates_finds_the_true_distances(seed: int) -> None:
    draw = np.random.default_rng(seed)
    # Few distinct points, each many times: more equal neighbours than any shortlist holds.
    points = draw.integers(-2, 3, size=(12, 3)).astype(np.float32)
    train, queries = points[draw.integers(0, 12, 600)], points[draw.integers(0, 12, 40)]
    found = nearest.nearest(train, queries, 20)
    distances = brute_force(train, queries)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :20]
    assert np.array_equal(found, expected)


def test_predict__with_ties_agrees_with_scikit_learn_where_the_votes_are_decided() -> None:
    draw = np.random.default_rng(3)
    train = draw.integers(0, 4, size=(300, 2)).astype(np.float32)
    labels = (train.sum(axis=1).astype(np.int64) + draw.integers(0, 2, 300)) % 4
    queries = train[:80] + np.float32(0.25)
    ours = knn.predict(train, labels, queries, (20,))[20]
    theirs = KNeighborsClassifier(20).fit(train, labels).predict(queries)
    distances = np.sort(brute_force(train, queries), axis=1)
    decided = distances[:, 19] < distances[:, 20] - 1e-9
    assert np.array_equal(ours[decided], theirs[decided])
    # Where the 20th and the 21st are equally far, either choice is right: the answer must follow from one.
    for row in np.flatnonzero(~decided):
        near = brute_force(train, queries[row : row + 1])[0]
        sure = labels[near < distances[row, 19] - 1e-9]
        tied = labels[np.isclose(near, distances[row, 19])]
        possible = {c for c in range(4) if (sure == c).sum() + min((tied == c).sum(), 20 - len(sure)) > 0}
        assert ours[row] in possible


def test_nearest__survives_rounding_where_float32_products_cannot_rank() -> None:
    draw = np.random.default_rng(0)
    # Neighbours differ in the last bits of float32 after centring: the shortlist cannot be trusted here.
    train = (1.0 + draw.normal(size=(500, 8)) * 1e-6).astype(np.float32)
    train[0] = 1e4
    queries = train[1:40]
    found = nearest.nearest(train, queries, 3)
    distances = brute_force(train, queries)
    expected = np.take_along_axis(distances, np.argsort(distances, axis=1, kind="stable")[:, :3], axis=1)
    assert np.array_equal(np.take_along_axis(distances, found, axis=1), expected)


def test_nearest__blocks_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, _, test = data(5)
    whole = nearest.nearest(train, test, 20)
    monkeypatch.setattr(nearest, "BLOCK_BYTES", 4 * 7 * len(train))
    monkeypatch.setattr(nearest, "TILE", 2 * nearest.LANE)
    assert np.array_equal(nearest.nearest(train, test, 20), whole)


@pytest.fixture(params=["float32", "bfloat16"])
def _either_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in float32 and in bfloat16, whatever this processor is fast at."""
    monkeypatch.setattr(nearest, "cpu_computes_bf16", lambda: request.param == "bfloat16")
    monkeypatch.setattr(nearest, "WORTH_BF16", 0)


def assert_nearest(train: np.ndarray, queries: np.ndarray, k: int) -> None:
    found, distances = nearest.nearest(train, queries, k), brute_force(train, queries)
    assert np.array_equal(found, np.argsort(distances, axis=1, kind="stable")[:, :k])


@pytest.mark.usefixtures("_either_kind")
@pytest.mark.parametrize("k", [1, 20])
@pytest.mark.parametrize("tile", [2048, 8192])
def test_nearest__by_lanes_finds_the_true_neighbours(
    monkeypatch: pytest.MonkeyPatch, k: int, tile: int
) -> None:
    monkeypatch.setattr(nearest, "TILE", tile)
    monkeypatch.setattr(nearest, "LANE", 4)
    monkeypatch.setattr(nearest, "GATHERED", 5000)
    draw = np.random.default_rng(3)
    train = draw.normal(size=(4100, 24)).astype(np.float32)
    train[700:710] = train[3]
    queries = np.concatenate([train[:20], draw.normal(size=(40, 24)).astype(np.float32)])
    assert_nearest(train, queries, k)


@pytest.mark.usefixtures("_either_kind")
@pytest.mark.parametrize("k", [1, 20])
def test_nearest__where_rounding_moves_rows_farther_than_they_lie_apart(k: int) -> None:
    draw = np.random.default_rng(0)
    near = (3 + 0.02 * draw.normal(size=(2000, 24))).astype(np.float32)
    # With its mirror image the mean is zero, so that the rows stay far from it.
    assert_nearest(np.concatenate([near, -near]), np.full((5, 24), 3, np.float32), k)


@pytest.mark.usefixtures("_either_kind")
def test_shortlist__bounds_hold_for_every_row() -> None:
    draw = np.random.default_rng(1)
    train = (draw.normal(size=(600, 48)) + 2 * draw.choice([-1, 1], size=(600, 1))).astype(np.float32)
    queries = train[:40] + (0.01 * draw.normal(size=(40, 48))).astype(np.float32)
    corpus = nearest._Corpus(train, len(queries), bf16=cpu_computes_bf16())
    near, exact = corpus.approximate(queries), brute_force(train, queries)
    for size in (28, 60, 200):
        candidates, beyond = near.shortlist(np.arange(40), size, 5)
        for row in range(40):
            left_out = np.setdiff1d(np.arange(600), candidates[row])
            kth = np.sort(exact[row])[4]
            # Past the list nothing is nearer than the bound, unless it is too far to be among the nearest.
            assert exact[row, left_out].min() >= min(beyond[row], kth)
    # Each rounded half distance is off by no more than its bound.
    slabs = [slab.flatten()[: 40 * corpus.tile].view(40, -1) for slab in corpus.products]
    rounded = np.concatenate([slab.float().numpy() for slab in slabs], axis=1)[:, :600]
    off = np.abs(rounded - exact / 2)
    allowed = near.error[:, None] + corpus.rounding * np.abs(rounded)
    assert (off <= allowed).all()
    assert (off > 1e-3 * allowed).any()  # and the bound is one of that size


@pytest.mark.usefixtures("_either_kind")
@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e20])
def test_nearest__a_row_that_is_no_number_or_huge_spoils_no_other(odd: float) -> None:
    train, _, test = data(4)
    train[5, 3] = odd
    found, distances = nearest.nearest(train, test, 20), brute_force(train, test)
    assert np.array_equal(found, np.argsort(distances, axis=1, kind="stable")[:, :20])
    assert not (found == 5).any()


def test_nearest__all_rows_when_k_is_their_number() -> None:
    train, _, test = data(2, n=20)
    found = nearest.nearest(train, test, 20)
    assert np.array_equal(np.sort(found, axis=1), np.tile(np.arange(20), (len(test), 1)))


def test_vote__takes_the_smallest_class_on_a_tie() -> None:
    assert knn.vote(np.array([[3, 1, 1, 3], [2, 2, 0, 5]])).tolist() == [1, 2]


def test_predict__refuses_more_neighbours_than_rows() -> None:
    train, labels, test = data(0, n=12)
    with pytest.raises(RedDinoError, match="at least 20 training cells, but there are 12"):
        knn.predict(train, labels, test)
