"""The classifiers against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler

from reddino.evaluation import linear_probe
from reddino.evaluation.choices import OPTIONAL, PUBLISHED
from reddino.evaluation.classifiers import fit_and_predict, unit_length


def data(seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=240)
    centres = draw.normal(size=(classes, 6)) * 0.8
    vectors = (centres[labels] + draw.normal(size=(240, 6))) * np.array([1, 10, 1, 0.1, 3, 1]) + 0.5
    test = draw.normal(size=(80, 6)) * np.array([1, 10, 1, 0.1, 3, 1]) + 0.5
    return vectors.astype(np.float32), labels, test.astype(np.float32), [f"g{i % 30}" for i in range(240)]


@pytest.mark.parametrize("seed", range(3))
def test_ask__cosine_neighbours_and_nearest_mean_equal_scikit_learn(seed: int) -> None:
    train, labels, test, groups = data(seed)
    predictions = fit_and_predict(train, labels, test, OPTIONAL, groups)
    assert tuple(predictions) == OPTIONAL
    for name, k in (("cosine 1-NN", 1), ("cosine 20-NN", 20)):
        expected = KNeighborsClassifier(k, metric="cosine").fit(train.astype(float), labels).predict(test)
        assert np.array_equal(predictions[name].predicted, expected)
    centroid = NearestCentroid().fit(train.astype(float), labels)
    assert np.array_equal(predictions["nearest mean"].predicted, centroid.predict(test.astype(float)))


def test_ask__probabilities_and_vote_shares_equal_scikit_learn() -> None:
    train, labels, test, groups = data(1, classes=2)
    predictions = fit_and_predict(train, labels, test, PUBLISHED, groups)
    reference = KNeighborsClassifier(20).fit(train, labels)
    assert predictions["20-NN"].positive == pytest.approx(reference.predict_proba(test)[:, 1])
    fitted = LogisticRegression(C=6 * 2 / 100, max_iter=1000).fit(train, labels)
    assert predictions["probe"].positive == pytest.approx(fitted.predict_proba(test)[:, 1], abs=1e-6)
    assert np.array_equal(predictions["probe"].predicted, fitted.predict(test))


@pytest.mark.parametrize("seed", range(2))
def test_scaled_probe__chooses_c_on_inner_folds_of_groups(seed: int) -> None:
    train, labels, test, groups = data(seed)
    scaled = StandardScaler().fit(train.astype(np.float64))
    x = scaled.transform(train).astype(np.float32)
    found = {}
    for c in linear_probe.SCALED_CS:
        scores = []
        for a, b in StratifiedGroupKFold(3, shuffle=True, random_state=0).split(x, labels, groups):
            predicted = LogisticRegression(C=c, max_iter=1000).fit(x[a], labels[a]).predict(x[b])
            scores.append(f1_score(labels[b], predicted, average="macro", labels=np.unique(labels[b])))
        found[c] = np.mean(scores)
    best = max(found, key=lambda c: (found[c], -c))
    expected = LogisticRegression(C=best, max_iter=1000).fit(x, labels).predict(scaled.transform(test))
    result = linear_probe.fit_predict_scaled(train, labels, test, groups)
    assert np.array_equal(result.predicted, expected)
    assert result.note == ""


def test_scaled_probe__says_when_groups_do_not_allow_inner_folds() -> None:
    train, labels, test, _ = data(0)
    result = linear_probe.fit_predict_scaled(train, labels, test, ["one"] * len(train))
    assert "without groups" in result.note
    tiny = linear_probe.fit_predict_scaled(train[:3], np.array([0, 1, 2]), test, ["a", "b", "c"])
    assert "kept C = 1" in tiny.note


def test_unit_length__keeps_zeros() -> None:
    assert unit_length(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)],
        [0, 0],
    ]
