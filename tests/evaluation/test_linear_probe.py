"""The probe against a direct minimisation of the same objective, and its published settings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from reddino.evaluation import linear_probe


def data(seed: int = 0, n: int = 150, dim: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, n)
    vectors = draw.normal(size=(classes, dim))[labels] * 0.7 + draw.normal(size=(n, dim))
    return vectors.astype(np.float32), labels


def multinomial_optimum(train: np.ndarray, labels: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, classes) and intercepts minimising C x cross-entropy + |w|^2 / 2."""
    dim, classes = train.shape[1], int(labels.max()) + 1
    target = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = flat[: dim * classes].reshape(dim, classes), flat[dim * classes :]
        logits = train @ w + b
        residual = c * (softmax(logits, axis=1) - target)
        value = -c * (target * log_softmax(logits, axis=1)).sum() + (w**2).sum() / 2
        return value, np.concatenate([(train.T @ residual + w).ravel(), residual.sum(axis=0)])

    best = minimize(
        loss, np.zeros(dim * classes + classes), jac=True, method="BFGS", options={"gtol": 1e-8}
    ).x
    return best[: dim * classes].reshape(dim, classes), best[dim * classes :]


def test_fit_predict__is_the_multinomial_optimum_with_the_published_c() -> None:
    train, labels = data()
    test, _ = data(seed=1, n=400)
    weights, intercepts = multinomial_optimum(train.astype(np.float64), labels, c=5 * 3 / 100)
    logits = test @ weights + intercepts
    margin = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0]
    result = linear_probe.fit_predict(train, labels, test)
    assert result.converged
    # Rows on a border may fall either way within the optimiser's tolerance.
    clear = margin > 0.01
    assert clear.mean() > 0.95
    assert np.array_equal(result.predicted[clear], logits.argmax(axis=1)[clear])


def test_inverse_regularisation__is_dim_times_classes_over_100() -> None:
    assert linear_probe.inverse_regularisation(384, 9) == pytest.approx(34.56)


def test_fit_predict__says_when_it_did_not_converge_without_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probe, "MAX_ITERATIONS", 2)
    train, labels = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not linear_probe.fit_predict(train, labels, train).converged


def test_fit_predict__keeps_class_numbers_with_gaps() -> None:
    train, labels = data()
    result = linear_probe.fit_predict(train, labels * 4 + 1, train)
    assert set(result.predicted) <= {1, 5, 9}


def test_fit_predict__answers_the_only_class() -> None:
    train, _ = data()
    assert set(linear_probe.fit_predict(train, np.full(len(train), 3), train).predicted) == {3}


@pytest.mark.parametrize(("scale", "spread"), [(1.0, None), (0.02, None), (1e6, "1e7"), (1e-8, "1e-7")])
def test_fit_predict__says_where_the_size_of_the_numbers_decides(scale: float, spread: str | None) -> None:
    truth = np.arange(64) % 2
    vectors = np.random.default_rng(0).normal(size=(64, 6))
    vectors[:, 0] += 8 * truth
    scaled = (scale * vectors).astype(np.float32)
    note = linear_probe.fit_predict(scaled, truth, scaled).note
    assert (f"spread by about {spread}: the probe" in note) if spread else not note


def test_fit_predict__that_finds_no_way_down_has_not_converged() -> None:
    truth = np.arange(64) % 2
    vectors = np.random.default_rng(0).normal(size=(64, 6))
    vectors[:, 0] += 8 * truth
    assert linear_probe.fit_predict(vectors.astype(np.float32), truth, vectors.astype(np.float32)).converged
    huge = (1e37 * vectors).astype(np.float32)
    assert not linear_probe.fit_predict(huge, truth, huge).converged
