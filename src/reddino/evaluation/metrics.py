"""wF1, bAcc, Acc and macro F1 of predicted class numbers, from confusion matrices; AUROC of two classes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]
METRICS = ("wF1", "bAcc", "Acc", "macro F1")


@dataclass(frozen=True)
class Scores:
    """The scores of one split, each in 0..1; `auroc` is None unless there are two classes and both occur."""

    weighted_f1: float
    balanced_accuracy: float
    accuracy: float
    macro_f1: float
    auroc: float | None = None

    def as_row(self) -> tuple[float, float, float, float]:
        """Return the scores in the order of METRICS, without AUROC."""
        return self.weighted_f1, self.balanced_accuracy, self.accuracy, self.macro_f1

    def as_dict(self) -> dict[str, float]:
        """Return the scores by field name; AUROC only where there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, summed over all folds."""

    name: str
    cells: int
    precision: float
    recall: float
    f1: float


def confusion_matrix(truth: Classes, predicted: Classes, classes: int) -> npt.NDArray[np.int64]:
    """Return (classes, classes) counts; rows are the truth, columns the prediction."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def precision_recall_f1(
    confusion: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision, recall and F1 (classes,) of a confusion matrix; 0 where undefined."""
    hits = np.diag(confusion).astype(np.float64)
    actual, predicted_count = confusion.sum(axis=1), confusion.sum(axis=0)
    return _ratio(hits, predicted_count), _ratio(hits, actual), _ratio(2 * hits, actual + predicted_count)


def score(truth: Classes, predicted: Classes, classes: int, positive: Real | None = None) -> Scores:
    """Return the scores of one split.

    All averages run over the classes that occur in this split's truth. A class absent from it has no recall
    and no weight; its false alarms still cost the classes that they were taken from. For macro F1 this is
    scikit-learn's `f1_score(average="macro", labels=np.unique(truth))`, not its default, which scores a class
    that is only predicted 0.

    Args:
        truth: (m,) class numbers below `classes`.
        predicted: (m,) class numbers below `classes`.
        classes: how many there are.
        positive: (m,) how likely each row is of class 1, where there are two classes.
    """
    weighted, balanced, accuracy, macro = score_rows(confusion_matrix(truth, predicted, classes)).tolist()
    area = None if positive is None else auroc(truth == 1, positive)
    return Scores(weighted, balanced, accuracy, macro, area)


def score_rows(confusion: npt.NDArray[Any]) -> Real:
    """Return the four scores (..., 4), in the order of METRICS, of confusion matrices (..., C, C).

    NaN where a matrix is empty.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted_count = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total, present = support.sum(axis=-1), (support > 0).sum(axis=-1)
    recall, f1 = _ratio(hits, support), _ratio(2 * hits, support + predicted_count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [
                (f1 * support).sum(axis=-1) / total,
                # Recall is 0 where a class has no rows; F1 as well, since no hit is possible there.
                recall.sum(axis=-1) / present,
                hits.sum(axis=-1) / total,
                f1.sum(axis=-1) / present,
            ],
            axis=-1,
        )


def auroc(truth: npt.NDArray[np.bool_], positive: Real) -> float | None:
    """Return the area under the ROC curve: how often a positive row (m,) outscores a negative one, ties half.

    Returns:
        None unless both kinds occur.
    """
    ones = int(truth.sum())
    if ones in (0, len(truth)):
        return None
    if np.isnan(positive).any():
        return float("nan")
    _, value, times = np.unique(positive, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[value]  # ties share the mean of their ranks
    return float((ranks[truth].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones)))


def class_table(confusion: npt.NDArray[np.int64], names: list[str]) -> list[ClassScores]:
    """Return precision, recall and F1 of every class that occurs in the truth."""
    precision, recall, f1 = precision_recall_f1(confusion)
    cells = confusion.sum(axis=1)
    return [
        ClassScores(name, int(cells[i]), float(precision[i]), float(recall[i]), float(f1[i]))
        for i, name in enumerate(names)
        if cells[i] > 0
    ]


def largest_class(train: Classes, test_rows: int) -> Classes:
    """Predict without any vector: the training fold's largest class (the first, on a tie) for each row."""
    return np.full(test_rows, np.bincount(train).argmax(), dtype=np.int64)


def _ratio(part: Real, whole: npt.NDArray[Any]) -> Real:
    ratio: Real = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
