"""Explained variance equals PCR and PERMANOVA; distances between renderings are those that were built in."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from reddino.evaluation.batch_effect.pairs import pair_distances, rendered_pairs
from reddino.evaluation.batch_effect.variance import eta_squared, eta_squared_by_chance, eta_squared_within
from reddino.foundations.errors import RedDinoError


def points(n: int = 120, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = rng.choice(4, n)
    return (rng.normal(size=(n, d)) * [5, 3, 2, 1, 1] + rng.normal(size=(4, d))[groups]).astype(
        np.float32
    ), groups


def test_eta_squared__equals_principal_component_regression() -> None:
    vectors, groups = points()
    pca = PCA().fit(vectors.astype(np.float64))
    scores, dummies = pca.transform(vectors.astype(np.float64)), np.eye(4)[groups]
    explained = [LinearRegression().fit(dummies, s).score(dummies, s) for s in scores.T]
    assert eta_squared(vectors, groups) == pytest.approx(
        np.average(explained, weights=pca.explained_variance_)
    )


def test_eta_squared__equals_permanova_from_pairwise_distances() -> None:
    vectors, groups = points()
    squared = ((vectors[:, None].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    total = squared.sum() / 2 / len(vectors)
    within = sum(squared[np.ix_(groups == g, groups == g)].sum() / 2 / (groups == g).sum() for g in range(4))
    assert eta_squared(vectors, groups) == pytest.approx(1 - within / total)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_eta_squared__is_the_share_of_variance_that_was_mixed_in(share: float) -> None:
    rng = np.random.default_rng(1)
    groups = np.arange(4000) % 8
    effect = rng.normal(size=(8, 20))
    effect = (effect - effect.mean(axis=0)) / effect.std(axis=0)
    mixed = np.sqrt(share) * effect[groups] + np.sqrt(1 - share) * rng.normal(size=(4000, 20))
    assert eta_squared(mixed.astype(np.float32), groups) == pytest.approx(share, abs=0.02)


def test_eta_squared_within__ignores_sources_that_merely_hold_other_classes() -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(2000) % 2
    # The source follows the class in nine of ten cells, and changes nothing.
    sources = np.where(rng.random(2000) < 0.9, classes, 1 - classes)
    vectors = (rng.normal(size=(2000, 4)) + 3 * classes[:, None]).astype(np.float32)
    assert eta_squared(vectors, sources) > 0.3
    assert eta_squared_within(vectors, sources, classes) < 0.01


def test_eta_squared_by_chance__is_its_mean_over_random_groups() -> None:
    rng = np.random.default_rng(0)
    vectors, groups = rng.normal(size=(60, 30)).astype(np.float32), np.arange(60) % 6
    mean = np.mean([eta_squared(vectors, rng.permutation(groups)) for _ in range(200)])
    assert eta_squared_by_chance(groups) == pytest.approx(mean, rel=0.05)


def test_pair_distances__are_those_that_were_built_in() -> None:
    # Cell = class on one axis, source on another, nothing else.
    cells = [str(i) for i in range(40) for _ in range(2)]
    sources = np.tile([0, 1], 40)
    classes = np.repeat(np.arange(40) % 2, 2)
    vectors = np.stack([6.0 * classes, 2.0 * sources], axis=1).astype(np.float32)
    found = pair_distances(vectors, cells, sources, classes)
    assert (found.renderings, found.same_class, found.classes, found.pairs) == (2.0, 0.0, 6.0, 40)
    assert found.ratio == pytest.approx(1 / 3)


def test_rendered_pairs__are_the_same_cell_under_two_sources() -> None:
    cells = ["a", "b", "a", "", "", "a", "b"]
    sources = np.array([0, 0, 1, 0, 1, 2, 0])
    assert rendered_pairs(cells, sources).tolist() == [[0, 2], [0, 5], [2, 5]]


def test_pair_distances__says_when_no_cell_is_under_two_sources() -> None:
    with pytest.raises(RedDinoError, match="every-source"):
        pair_distances(np.zeros((2, 2), np.float32), ["a", "b"], np.array([0, 1]), np.array([0, 1]))
