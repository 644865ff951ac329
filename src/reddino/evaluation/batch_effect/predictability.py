"""How well a probe names source, slide, patient or class from an embedding, on groups it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.metrics import score
from reddino.evaluation.splits import grouped_folds

MAX_ITERATIONS = 500


@dataclass(frozen=True)
class Predictability:
    """How well a probe predicts something from an embedding.

    Attributes:
        balanced_accuracy: mean recall over the values, averaged over the folds.
        chance: of guessing, 1 over the number of values.
        values: how many there are to choose from.
        rows: that took part.
        folds: test sets.
        incomplete: of them, those in which a value is not tested, or was not learned; they count with the
            others.
    """

    balanced_accuracy: float
    chance: float
    values: int
    rows: int
    folds: int = 0
    incomplete: int = 0

    @property
    def detail(self) -> str:
        """How many took part, and whether every fold tested everything."""
        lacking = (
            f", {self.incomplete} of {self.folds} folds lack a value on one side" if self.incomplete else ""
        )
        return f"{self.values} values, {self.rows} cells{lacking}"


def reduced(vectors: Vectors, dimensions: int) -> Vectors:
    """Return the first principal components (n, min(d, dimensions, n - 1)), divided by their common scale.

    Which leaves what is large large, but makes a probe's regularisation mean the same for every model. The
    components are those of all rows: no label takes part, so nothing is given away between folds.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    kept = min(dimensions, vectors.shape[1], len(vectors) - 1)
    if kept < vectors.shape[1]:
        solver = "covariance_eigh" if len(vectors) >= vectors.shape[1] else "full"
        centred = PCA(kept, svd_solver=solver).fit_transform(centred)
    spread = float(np.sqrt((centred**2).sum(axis=1).mean() / max(kept, 1)))
    return np.asarray(centred / (spread if spread > 0 else 1.0), dtype=np.float32)


def predictability(
    vectors: Vectors, values: Sequence[str], groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> Predictability:
    """Fit logistic regression with balanced class weights over folds of whole groups, and test it.

    Args:
        vectors: (n, d), on one scale (`reduced`).
        values: (n,) what is to be predicted.
        groups: (n,) what stays on one side of a split.
        folds: number of folds.
        seed: of the folds.

    Raises:
        RedDinoError: fewer than two values, or a value or the whole lives in too few groups.
    """
    names, truth = np.unique(np.asarray(values), return_inverse=True)
    split = list(grouped_folds(list(values), list(groups), folds, seed))
    scores = [
        score(truth[test], _fitted(vectors[train], truth[train], vectors[test]), len(names)).balanced_accuracy
        for train, test in split
    ]
    incomplete = sum(
        min(len(np.unique(truth[train])), len(np.unique(truth[test]))) < len(names) for train, test in split
    )
    return Predictability(
        float(np.mean(scores)), 1.0 / len(names), len(names), len(vectors), len(split), incomplete
    )


def _fitted(train: Vectors, truth: npt.NDArray[np.int64], test: Vectors) -> npt.NDArray[np.int64]:
    if len(np.unique(truth)) == 1:
        return np.full(len(test), truth[0], dtype=np.int64)
    model = LogisticRegression(class_weight="balanced", max_iter=MAX_ITERATIONS)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few cells of many classes are meant: these are no numbers to regress.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit(train, truth)
    return np.asarray(model.predict(test), dtype=np.int64)
