"""wF1, bAcc, Acc and macro F1 of predicted class numbers, from the confusion matrix."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.int64]
METRICS = ("wF1", "bAcc", "Acc", "macro F1")


@dataclass(frozen=True)
class Scores:
    """The four scores of one fold, each in 0..1."""

    weighted_f1: float
    balanced_accuracy: float
    accuracy: float
    macro_f1: float

    def as_row(self) -> tuple[float, float, float, float]:
        """In the order of METRICS."""
        return self.weighted_f1, self.balanced_accuracy, self.accuracy, self.macro_f1

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, summed over all folds."""

    name: str
    cells: int
    precision: float
    recall: float
    f1: float


def confusion_matrix(truth: Classes, predicted: Classes, classes: int) -> npt.NDArray[np.int64]:
    """(classes, classes) counts; rows are the truth, columns the prediction."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def precision_recall_f1(
    confusion: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision, recall and F1 (classes,) of a confusion matrix; 0 where undefined, as in scikit-learn."""
    hits = np.diag(confusion).astype(np.float64)
    actual, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    return _ratio(hits, answered), _ratio(hits, actual), _ratio(2 * hits, actual + answered)


def score(truth: Classes, predicted: Classes, classes: int) -> Scores:
    """The four scores of one fold.

    All averages run over the classes that occur in this fold's truth. A class absent from it has no recall
    and no weight; its false alarms still cost the classes that they were taken from. For macro F1 this is
    scikit-learn's `f1_score(average="macro", labels=np.unique(truth))`, not its default, which scores a class
    that is only predicted 0.
    """
    confusion = confusion_matrix(truth, predicted, classes)
    _, recall, f1 = precision_recall_f1(confusion)
    support = confusion.sum(axis=1)
    present = support > 0
    return Scores(
        weighted_f1=float(np.average(f1, weights=support)),
        balanced_accuracy=float(recall[present].mean()),
        accuracy=float((truth == predicted).mean()),
        macro_f1=float(f1[present].mean()),
    )


def class_table(confusion: npt.NDArray[np.int64], names: list[str]) -> list[ClassScores]:
    """Precision, recall and F1 of every class that occurs in the truth."""
    precision, recall, f1 = precision_recall_f1(confusion)
    cells = confusion.sum(axis=1)
    return [
        ClassScores(name, int(cells[i]), float(precision[i]), float(recall[i]), float(f1[i]))
        for i, name in enumerate(names)
        if cells[i] > 0
    ]


def largest_class(train: Classes, test_rows: int) -> Classes:
    """The answer of knowing nothing: the training fold's largest class (the first, on a tie) for each row."""
    return np.full(test_rows, np.bincount(train).argmax(), dtype=np.int64)


def _ratio(part: npt.NDArray[np.float64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
