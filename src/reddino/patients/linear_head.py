"""Penalised logistic regression: its penalty is chosen, and it is cross-fitted, by inner folds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from reddino.patients.features import Features, FittedFeatures

Real = NDArray[np.float64]
Rows = NDArray[np.int64]
#: scikit-learn's C, the inverse of the penalty.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
INNER_FOLDS = 5
#: Weights of a model, at most, that Newton's method fits.
NEWTON_WEIGHTS = 160


@dataclass(frozen=True)
class LinearModel:
    """A fitted logistic regression over a block of features.

    Attributes:
        features: fitted to its training patients.
        weights: (K, f), of two classes (1, f).
        bias: (K,) or (1,).
        strength: the chosen C.
    """

    features: FittedFeatures
    weights: Real
    bias: Real
    strength: float

    def logits(self, rows: Rows) -> Real:
        """Return (len(rows), K), of two classes (len(rows), 1): the logit of class 1."""
        return np.asarray(self.features.of(rows) @ self.weights.T + self.bias, dtype=np.float64)


@dataclass(frozen=True)
class CrossFitted:
    """A model of training patients, and what models of the inner folds find of those they did not see.

    Attributes:
        model: fitted to all of them.
        logits: (len(train), K or 1), in the order of `train`.
    """

    model: LinearModel
    logits: Real


def inner_folds(truth: Rows, train: Rows, seed: int) -> list[tuple[Rows, Rows]]:
    """Return (train, test) row numbers of the inner folds, stratified by class."""
    smallest = int(np.bincount(truth[train])[np.unique(truth[train])].min())
    folds = min(INNER_FOLDS, smallest)
    if folds < 2:
        raise ValueError("a class has fewer than two training patients")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [(train[a], train[b]) for a, b in splitter.split(train, truth[train])]


def cross_fit(
    features: Features,
    truth: Rows,
    train: Rows,
    folds: Sequence[tuple[Rows, Rows]],
    strengths: Sequence[float] = STRENGTHS,
) -> CrossFitted:
    """Choose the penalty by the log loss on inner folds, and fit to all training patients.

    The penalty is chosen on the same inner folds whose logits are returned: with five strengths, they flatter
    by next to nothing.

    Args:
        features: of all patients.
        truth: (n,) class numbers of all patients.
        train: rows to train on.
        folds: of them, from `inner_folds`.
        strengths: to choose from.
    """
    classes = np.unique(truth[train])
    place = np.full(len(truth), -1, dtype=np.int64)
    place[train] = np.arange(len(train))
    width = 1 if len(classes) == 2 else len(classes)
    found = np.zeros((len(strengths), len(train), width))
    for fitting, held_out in folds:
        fitted = features.fit(fitting)
        inside, outside = fitted.of(fitting), fitted.of(held_out)
        for number, strength in enumerate(strengths):
            weights, bias = _fit(inside, truth[fitting], strength)
            found[number, place[held_out]] = outside @ weights.T + bias
    true = np.searchsorted(classes, truth[train])
    losses = [_log_loss(probabilities(one), true) for one in found]
    best = int(np.argmin(losses))
    fitted = features.fit(train)
    weights, bias = _fit(fitted.of(train), truth[train], strengths[best])
    return CrossFitted(LinearModel(fitted, weights, bias, strengths[best]), found[best])


def probabilities(logits: Real) -> Real:
    """Return (n, K) probabilities of logits (n, K), or of the logit (n, 1) of class 1."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def _log_loss(likely: Real, truth: Rows) -> float:
    """Return the mean negative log likelihood of (n, K) probabilities, bounded as scikit-learn does."""
    of_truth = likely[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)).mean())


def _fit(values: Real, truth: Rows, strength: float) -> tuple[Real, Real]:
    # Newton's steps take a Hessian of all weights, and few steps; past some hundred weights L-BFGS is faster.
    few = values.shape[1] * len(np.unique(truth)) <= NEWTON_WEIGHTS
    solver = "newton-cholesky" if few else "lbfgs"
    # Of a fit of a few milliseconds, half is spent on checks of arguments that are right.
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=strength, max_iter=500, solver=solver).fit(values, truth)
    return fitted.coef_, fitted.intercept_
