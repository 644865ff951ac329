"""Models of patients: from clinical columns, from the picture, and from both.

Each fits one outer fold and predicts its test patients. Whatever it chooses (penalty, weights of the fusion)
it chooses by inner folds of the training patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from reddino.patients.features import Features, FittedFeatures
from reddino.patients.linear_head import CrossFitted, cross_fit, inner_folds, probabilities

Real = NDArray[np.float64]
Rows = NDArray[np.int64]

CLINICAL, PICTURE, BOTH = "clinical", "picture", "both"
CONCATENATED = "both, one linear model"
CLINICAL_BOOSTED, BOTH_BOOSTED = "clinical, boosted", "both, boosted"
WITHOUT_PICTURE, WITHOUT_CLINICAL = "both, picture withheld", "both, clinical withheld"
#: Strengths of the fusion: few logits need little penalty.
_FUSION = (0.01, 0.1, 1.0, 10.0)
#: Rounds and leaves of boosted trees: small, for cohorts of hundreds.
_TREES = {"max_iter": 80, "learning_rate": 0.08, "max_leaf_nodes": 7, "min_samples_leaf": 10}


@dataclass(frozen=True)
class SideBySide:
    """Two blocks of features next to each other."""

    first: Features
    second: Features

    def fit(self, train: Rows) -> FittedSideBySide:
        """Fit both blocks."""
        return FittedSideBySide(self.first.fit(train), self.second.fit(train))


@dataclass(frozen=True)
class FittedSideBySide:
    """Two fitted blocks."""

    first: FittedFeatures
    second: FittedFeatures

    def of(self, rows: Rows) -> Real:
        """Return the columns of both."""
        return np.concatenate([self.first.of(rows), self.second.of(rows)], axis=1)


@dataclass(frozen=True)
class Columns:
    """Numbers of all patients, taken as they are: logits of other models."""

    values: Real

    def fit(self, train: Rows) -> Columns:
        """Return itself: there is nothing to learn."""
        return self

    def of(self, rows: Rows) -> Real:
        """Return (len(rows), f)."""
        return np.asarray(self.values[rows], dtype=np.float64)


@dataclass(frozen=True)
class LateFusion:
    """A logistic regression over the logits of a clinical and a picture model.

    It is fitted to logits that inner folds found of patients they did not see; the two models themselves are
    fitted to all training patients. Where a patient lacks one side, the other side's model answers alone.

    Attributes:
        clinical, picture: the two models.
        weights: (K or 1, 2 w) of the logits, bias: (K or 1,).
    """

    clinical: CrossFitted
    picture: CrossFitted
    weights: Real
    bias: Real

    @classmethod
    def fit(
        cls, clinical: CrossFitted, picture: CrossFitted, truth: Rows, train: Rows, seed: int
    ) -> LateFusion:
        """Fit the fusion."""
        logits = np.zeros((len(truth), clinical.logits.shape[1] * 2))
        logits[train] = np.concatenate([clinical.logits, picture.logits], axis=1)
        fused = cross_fit(Columns(logits), truth, train, inner_folds(truth, train, seed), _FUSION).model
        return cls(clinical, picture, fused.weights, fused.bias)

    def probabilities(self, rows: Rows) -> Real:
        """Return (len(rows), K) for patients with both."""
        logits = [self.clinical.model.logits(rows), self.picture.model.logits(rows)]
        return probabilities(np.concatenate(logits, axis=1) @ self.weights.T + self.bias)

    def without_picture(self, rows: Rows) -> Real:
        """Return (len(rows), K) for patients without a picture."""
        return probabilities(self.clinical.model.logits(rows))

    def without_clinical(self, rows: Rows) -> Real:
        """Return (len(rows), K) for patients without clinical values."""
        return probabilities(self.picture.model.logits(rows))


def predict_fold(
    clinical: Features | None,
    pictures: Mapping[str, Features],
    truth: Rows,
    train: Rows,
    test: Rows,
    *,
    boosted: bool = False,
    seed: int = 0,
) -> dict[str, Real]:
    """Fit the models to the training patients, and return probabilities (len(test), K) by model.

    Args:
        clinical: clinical features of all patients; None leaves models with them out.
        pictures: pictures of all patients, by what follows the model's name; the first is the main one.
        truth: (n,) class numbers 0..K-1 of all patients; each class has two training patients or more.
        train: row numbers to fit on.
        test: row numbers to predict.
        boosted: with gradient-boosted trees as well.
        seed: of the inner folds and the trees.
    """
    folds = inner_folds(truth, train, seed)
    of_clinical = None if clinical is None else cross_fit(clinical, truth, train, folds)
    found = {} if of_clinical is None else {CLINICAL: probabilities(of_clinical.model.logits(test))}
    fusions = {}
    for ending, picture in pictures.items():
        of_picture = cross_fit(picture, truth, train, folds)
        found[PICTURE + ending] = probabilities(of_picture.model.logits(test))
        if of_clinical is not None:
            fusions[ending] = LateFusion.fit(of_clinical, of_picture, truth, train, seed + 1)
            found[BOTH + ending] = fusions[ending].probabilities(test)
    if clinical is None:
        return found
    joined = SideBySide(clinical, next(iter(pictures.values())))
    found[CONCATENATED] = probabilities(cross_fit(joined, truth, train, folds).model.logits(test))
    main = next(iter(fusions.values()))
    found[WITHOUT_PICTURE] = main.without_picture(test)
    found[WITHOUT_CLINICAL] = main.without_clinical(test)
    if boosted:
        found[CLINICAL_BOOSTED] = _boosted(clinical, truth, train, test, seed)
        found[BOTH_BOOSTED] = _boosted(joined, truth, train, test, seed)
    return found


def _boosted(features: Features, truth: Rows, train: Rows, test: Rows, seed: int) -> Real:
    fitted = features.fit(train)
    trees = HistGradientBoostingClassifier(**_TREES, random_state=seed)
    return np.asarray(
        trees.fit(fitted.of(train), truth[train]).predict_proba(fitted.of(test)), dtype=np.float64
    )
