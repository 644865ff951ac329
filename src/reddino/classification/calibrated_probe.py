"""The frozen probe: standardised logistic regression, its strength and its calibration from grouped folds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from reddino.classification.calibration import (
    calibration_report,
    choose_calibration,
    negative_log_likelihood,
)
from reddino.classification.classifier import Head
from reddino.classification.held_out import HeldOut
from reddino.classification.softmax import softmax
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.splits import Folds, grouped_folds
from reddino.foundations.stages import stage, watched

Real = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

#: Inverse strengths of regularisation that are tried, on standardised vectors.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Rows, drawn at random, on which they are tried.
TRIAL_ROWS = 4000
MAX_ITERATIONS = 1000
#: Logit, below the least of its row, of a class that a fold had no training cell of.
UNLEARNED = 20.0


@dataclass(frozen=True)
class FittedHead:
    """A head with its calibration, and how it did where it had not learned.

    Attributes:
        head: fitted on all rows.
        temperature: from the folds' held-out logits.
        report: scores and likelihoods on held-out groups, as JSON values.
        probabilities: (n, k) of each row by a head that did not learn from its group, calibrated.
        truth: (n,) class numbers.
    """

    head: Head
    temperature: float
    report: dict[str, Any]
    probabilities: Real
    truth: Classes


def fit_probe(
    vectors: Vectors, labels: Sequence[str], groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> FittedHead:
    """Choose the regularisation, fit, and calibrate.

    Each strength is tried on grouped folds by its held-out likelihood. The chosen one gives held-out logits
    of all rows, which a temperature is fitted on where that helps the likelihood of other groups; the head
    itself is fitted on all rows.

    Args:
        vectors: (n, d).
        labels: (n,) class names; classes are numbered in their alphabetical order.
        groups: (n,) what stays on one side of a split.
        folds: number of folds.
        seed: of folds and draw.

    Raises:
        RedDinoError: fewer than two classes, or classes and groups that cannot be split.
    """
    names, truth = np.unique(np.asarray(labels), return_inverse=True)
    split = grouped_folds(list(labels), list(groups), folds, seed)
    trial = np.sort(np.random.default_rng(seed).permutation(len(truth))[:TRIAL_ROWS])
    trial_split = Folds(split.of_row[trial])
    tried = {
        strength: _likelihood(vectors[trial], truth[trial], trial_split, strength, len(names))
        for strength in watched(STRENGTHS, "choosing the regularisation")
    }
    strength = min(tried, key=lambda one: tried[one])
    logits, learned = held_out_logits(vectors, truth, split, strength, len(names))
    # Of a class that a fold had not learned, no temperature could make a good probability.
    fold = split.of_row[learned]
    kept = truth[learned]
    own_folds = [np.flatnonzero(fold == number) for number in range(len(split))]
    calibration = choose_calibration(logits[learned], kept, own_folds)
    report = {
        "tried": {f"{one:g}": value for one, value in tried.items()},
        "strength": strength,
        "folds": folds,
        "groups": len(set(groups)),
        "notes": [*split.notes],
        **calibration_report(calibration, logits[learned], kept),
        **HeldOut(names.tolist(), truth, logits.argmax(axis=1), groups, seed=seed).report(),
    }
    with stage("fitting the head"):
        head = fit_head(vectors, truth, strength, len(names))
    return FittedHead(head, calibration.temperature, report, softmax(logits / calibration.temperature), truth)


def fit_head(vectors: Vectors, truth: Classes, strength: float, classes: int) -> Head:
    """Fit multinomial logistic regression (L-BFGS) on standardised vectors.

    Classes without a row get a bias far below the others.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = vectors.std(axis=0, dtype=np.float64)
    # A number that never changes holds nothing; divided by its rounding noise it would seem to.
    scale = np.where(scale > 1e-6 * float(scale.max()), scale, 1.0)
    present = np.unique(truth)
    weights, bias = np.zeros((classes, vectors.shape[1])), np.full(classes, -1e3)
    if len(present) == 1:
        bias[present] = 0.0
        return Head(mean, scale, weights, bias)
    standardised = vectors.astype(np.float64)
    standardised -= mean
    standardised /= scale
    model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few cells of many classes are meant: these are no numbers to regress.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit(standardised, truth)
    if len(present) == 2:
        # Two classes have one row of weights: half of it each, once negated, gives the same odds.
        weights[present] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weights[present], bias[present] = model.coef_, model.intercept_
    return Head(mean, scale, weights, bias)


def held_out_logits(
    vectors: Vectors, truth: Classes, folds: Folds, strength: float, classes: int
) -> tuple[Real, npt.NDArray[np.bool_]]:
    """Return logits (n, k) of each row by heads that did not train on it; whether its class was learned."""
    logits = np.zeros((len(truth), classes))
    learned = np.zeros(len(truth), dtype=np.bool_)
    for train, test in watched(list(folds), "fitting on the other folds"):
        head = fit_head(vectors[train], truth[train], strength, classes)
        present = np.isin(np.arange(classes), truth[train])
        raw = head.logits(vectors[test])
        least = raw[:, present].min(axis=1, keepdims=True)
        logits[test] = np.where(present, raw, least - UNLEARNED)
        learned[test] = present[truth[test]]
    return logits, learned


def _likelihood(vectors: Vectors, truth: Classes, folds: Folds, strength: float, classes: int) -> float:
    logits, learned = held_out_logits(vectors, truth, folds, strength, classes)
    return negative_log_likelihood(logits[learned], truth[learned])
