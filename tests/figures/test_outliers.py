"""Neighbours and outlier scores against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from reddino.figures.outliers import nearest, outlier_scores


def test_nearest__equals_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    corpus = (draw.normal(size=(300, 24)) + 40).astype(np.float32)
    queries = (draw.normal(size=(70, 24)) + 40).astype(np.float32)
    distances, rows = (
        NearestNeighbors(n_neighbors=7, algorithm="brute")
        .fit(corpus.astype(float))
        .kneighbors(queries.astype(float))
    )
    found, far = nearest(corpus, queries, 7)
    assert np.array_equal(found, rows)
    assert far == pytest.approx(distances, rel=1e-5)


def test_nearest__of_more_than_there_are_gives_all() -> None:
    corpus = np.array([[0.0], [3.0], [1.0]], np.float32)
    found, far = nearest(corpus, np.array([[0.4]], np.float32), 5)
    assert found.tolist() == [[0, 2, 1]]
    assert far[0] == pytest.approx([0.4, 0.6, 2.6], abs=1e-6)


def test_nearest__of_equal_distances_takes_the_rows_in_their_order() -> None:
    corpus = np.tile(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), (60, 1))
    found, far = nearest(corpus, corpus[:2], 4)
    assert found.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert not far.any()


def test_outlier_scores__are_mean_distances_over_the_median_of_the_source() -> None:
    draw = np.random.default_rng(1)
    vectors = np.concatenate([draw.normal(size=(40, 6)), 9 * draw.normal(size=(30, 6)) + 50]).astype(
        np.float32
    )
    sources = ["a"] * 40 + ["b"] * 30
    expected = []
    for part in (vectors[:40], vectors[40:]):
        gaps = np.sort(np.linalg.norm(part[:, None].astype(float) - part[None], axis=2), axis=1)[:, 1:11]
        expected.append(gaps.mean(axis=1) / np.median(gaps.mean(axis=1)))
    assert outlier_scores(vectors, sources) == pytest.approx(np.concatenate(expected), rel=1e-5)


def test_outlier_scores__find_the_odd_one_of_its_source_that_is_common_elsewhere() -> None:
    draw = np.random.default_rng(2)
    vectors = draw.normal(size=(60, 4)).astype(np.float32)
    vectors[30:] += 100
    # Row 5 looks like the other source: no outlier among all, but one in its own.
    vectors[5] += 100
    scores = outlier_scores(vectors, ["a"] * 30 + ["b"] * 30)
    assert scores.argmax() == 5
    assert scores[5] > 10


def test_outlier_scores__of_small_and_equal_sources() -> None:
    vectors = np.array([[0.0], [1.0], [5.0], [5.0], [5.0], [7.0]], np.float32)
    scores = outlier_scores(vectors, ["alone", "pair", "same", "same", "same", "pair"])
    assert np.isnan(scores[0])
    assert scores[[1, 5]].tolist() == [1.0, 1.0]
    assert scores[2:5].tolist() == [1.0, 1.0, 1.0]


def test_outlier_scores__against_drawn_references_follow_from_the_seed() -> None:
    vectors = np.random.default_rng(3).normal(size=(200, 5)).astype(np.float32)
    vectors[17] *= 30
    runs = [outlier_scores(vectors, ["a"] * 200, most=50, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert all(run.argmax() == 17 for run in runs)
