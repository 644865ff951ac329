"""Silhouette equals scikit-learn's, LISI a brute-force reference, kBET what chi^2 says of known counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, hypergeom
from sklearn.metrics import silhouette_samples

from reddino.evaluation.batch_effect import mixing
from reddino.evaluation.batch_effect.mixing import kbet, lisi, perplexity_weights, silhouette
from reddino.foundations.errors import RedDinoError


def clouds(apart: float, n: int = 150, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three groups of unequal size, `apart` standard deviations between their means."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return (rng.normal(size=(n, d)) + apart * np.eye(d)[groups]).astype(np.float32), groups


@pytest.mark.parametrize("apart", [0.0, 1.0, 6.0])
def test_silhouette__equals_scikit_learn(apart: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "BLOCK", 37)
    vectors, groups = clouds(apart)
    groups[0] = 3  # a point alone in its group
    expected = silhouette_samples(vectors.astype(np.float64), groups)
    assert silhouette(vectors, groups) == pytest.approx(expected, abs=1e-7)


def test_silhouette__of_one_group_is_an_error() -> None:
    with pytest.raises(RedDinoError, match="two groups"):
        silhouette(np.zeros((4, 2), np.float32), np.zeros(4, np.int64))


def brute_lisi(vectors: np.ndarray, groups: np.ndarray, perplexity: float) -> list[float]:
    """The definition, point by point, with a root finder for beta."""
    found = []
    for i, point in enumerate(vectors.astype(np.float64)):
        distance = np.sqrt(((vectors - point) ** 2).sum(axis=1))
        near = [j for j in np.argsort(distance, kind="stable") if j != i][: int(3 * perplexity) - 1]

        def entropy(log_beta: float, distance: np.ndarray = distance, near: list[int] = near) -> float:
            weights = np.exp(-np.exp(log_beta) * (distance[near] - distance[near[0]]))
            weights /= weights.sum()
            return float(-(weights * np.log(np.maximum(weights, 1e-300))).sum() - np.log(perplexity))

        beta = np.exp(brentq(entropy, -20, 20, xtol=1e-12))
        weights = np.exp(-beta * (distance[near] - distance[near[0]]))
        shares = [weights[groups[near] == group].sum() / weights.sum() for group in range(3)]
        found.append(1 / sum(share**2 for share in shares))
    return found


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_lisi__equals_a_brute_force_reference(apart: float) -> None:
    vectors, groups = clouds(apart, n=90)
    assert lisi(vectors, groups, 12) == pytest.approx(brute_lisi(vectors, groups, 12), rel=1e-3)


def test_lisi__is_one_apart_and_the_number_of_groups_when_mixed() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(1200) % 3
    mixed = rng.normal(size=(1200, 2)).astype(np.float32)
    # The share of a group among about 30 weighed neighbours varies: E[sum p^2] = 1/3 + 2/3 sum w^2.
    squares = (perplexity_weights(mixing.neighbours(mixed, 89)[1], 30) ** 2).sum(axis=1).mean()
    assert (1 / lisi(mixed, groups)).mean() == pytest.approx(1 / 3 + 2 / 3 * squares, rel=0.02)
    apart = mixed + 100 * np.eye(3)[groups][:, :2].astype(np.float32)
    assert lisi(apart, groups) == pytest.approx(1)


def test_perplexity_weights__have_the_perplexity_and_survive_equal_distances() -> None:
    rng = np.random.default_rng(0)
    distances = np.sort(rng.gamma(2, size=(50, 89)) * rng.choice([1e-6, 1, 1e6], (50, 1)), axis=1)
    weights = perplexity_weights(distances, 30)
    assert np.exp(-(weights * np.log(weights)).sum(axis=1)) == pytest.approx(30, rel=1e-3)
    assert perplexity_weights(np.zeros((1, 8)), 30) == pytest.approx(1 / 8)


def test_kbet__accepts_neighbourhoods_that_all_hold_the_shares_of_the_whole() -> None:
    # Groups take turns on a line: every window holds both about alike.
    line = np.arange(200, dtype=np.float32)[:, None]
    found = kbet(line, np.arange(200) % 2, neighbourhood=20)
    assert (found.rate, found.neighbourhood, found.tested) == (0.0, 20, 200)


@pytest.mark.parametrize(("size", "rejected"), [(3, 0.0), (4, 1.0)])
def test_kbet__of_pure_neighbourhoods_is_the_chi_squared_of_their_size(size: int, rejected: float) -> None:
    # Two far groups of equal size: chi^2 = size, with one degree of freedom.
    line = np.arange(40, dtype=np.float32)[:, None] + 1000 * (np.arange(40) >= 20)[:, None].astype(np.float32)
    found = kbet(line, (np.arange(40) >= 20).astype(np.int64), neighbourhood=size)
    assert found.rate == (chi2.sf(size, 1) < 0.05) == rejected


def test_kbet__rejects_by_chance_as_often_as_the_hypergeometric_says() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 3)).astype(np.float32)
    groups = rng.permutation(np.arange(3000) % 2)
    found = kbet(vectors, groups, neighbourhood=30)
    counts = np.arange(31)
    statistic = (counts - 15) ** 2 / 15 * 2
    exact = hypergeom.pmf(counts, 3000, 1500, 30)[chi2.sf(statistic, 1) < 0.05].sum()
    assert found.rate == pytest.approx(exact, abs=0.03)
    assert found.by_chance == pytest.approx(exact, abs=0.03)


def test_neighbours__leaves_each_point_out_even_among_equals() -> None:
    vectors = np.zeros((30, 2), np.float32)
    vectors[25:] = np.arange(5)[:, None] + 3
    others, distances = mixing.neighbours(vectors, 6)
    assert others.shape == distances.shape == (30, 6)
    assert not (others == np.arange(30)[:, None]).any()
    assert (distances[:25] == 0).all()


@pytest.mark.parametrize("rows", [2, 3])
def test_lisi__of_too_few_rows_is_refused(rows: int) -> None:
    with pytest.raises(RedDinoError, match=f"{rows} rows are too few"):
        lisi(np.eye(rows, dtype=np.float32), np.arange(rows), (rows - 1) // 3)
