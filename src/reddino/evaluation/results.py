"""The results of an evaluation: scores of each split, their mean and spread, and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.evaluation.intervals import interval
from reddino.evaluation.metrics import METRICS, ClassScores, Real, Scores, class_table
from reddino.evaluation.sampling import DrawnSample

CHANCE = "largest class"
#: Columns of resampled scores.
RESAMPLED = (*METRICS, "AUROC")
Confusion = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldResult:
    """One test set, scored.

    Attributes:
        train, test: rows on either side.
        scores: by classifier, CHANCE among them.
        confusion: by classifier, (classes, classes) counts, truth by prediction.
        converged: whether the probe's fit converged.
        trained_on, tested_on: names of the two sides.
    """

    train: int
    test: int
    scores: Mapping[str, Scores]
    confusion: Mapping[str, Confusion]
    converged: bool
    trained_on: str = ""
    tested_on: str = ""


@dataclass(frozen=True)
class Result:
    """How well the classes can be predicted from one table's vectors.

    Attributes:
        model: name of the network or baseline.
        task: a title from the caller.
        protocol: a name of `reddino.evaluation.choices.Protocol`.
        group_by: the column that made the groups.
        seed: seed of the folds; None where nothing was drawn.
        classes: names, in the order of the class numbers.
        cells: labelled rows that took part.
        left_out: rows without a label, with one that was dropped, on neither side of a fixed split, or of
            cells that the border of their image cuts.
        groups: groups among the cells.
        folds: the test sets.
        classifiers: that were fitted, in the order of tables.
        source_confusion: by classifier and source of the tested cells, counts over all test sets.
        resamples: by classifier, (b, 5) bootstrap scores in the order of RESAMPLED; empty without intervals.
        seen: what is known of the tested sources in the model's pretraining: source -> seen, unseen or
            unknown; empty where nothing was recorded.
        notes: that belong next to the scores.
        embedding: metadata of the table.
        question: the options of the evaluation, as JSON values.
        at_border: rows of `left_out` that the border cuts, of those with a label; 0 where they take part.
        sample: what was drawn of the labelled rows, which `cells` then counts; None: all of them took part.
    """

    model: str
    task: str
    protocol: str
    group_by: str
    seed: int | None
    classes: tuple[str, ...]
    cells: int
    left_out: int
    groups: int
    folds: tuple[FoldResult, ...]
    classifiers: tuple[str, ...] = ("probe", "1-NN", "20-NN")
    source_confusion: Mapping[str, Mapping[str, Confusion]] = field(default_factory=dict)
    resamples: Mapping[str, Real] = field(default_factory=dict, repr=False)
    seen: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    embedding: Mapping[str, Any] = field(default_factory=dict)
    question: Mapping[str, Any] = field(default_factory=dict)
    at_border: int = 0
    sample: DrawnSample | None = None

    def mean(self, classifier: str) -> Scores:
        """Return each score averaged over the test sets."""
        areas = self._areas(classifier)
        weighted, balanced, accuracy, macro = self._rows(classifier).mean(axis=0).tolist()
        return Scores(weighted, balanced, accuracy, macro, float(np.mean(areas)) if areas else None)

    def sd(self, classifier: str) -> Scores | None:
        """Return each score's sample standard deviation over the test sets; None for a single one."""
        if len(self.folds) < 2:
            return None
        areas = self._areas(classifier)
        weighted, balanced, accuracy, macro = self._rows(classifier).std(axis=0, ddof=1).tolist()
        area = float(np.std(areas, ddof=1)) if len(areas) > 1 else None
        return Scores(weighted, balanced, accuracy, macro, area)

    def interval(self, classifier: str, metric: str) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean, by bootstrap over groups; None without resamples.

        Args:
            classifier: one of `classifiers`.
            metric: a name of RESAMPLED.
        """
        if classifier not in self.resamples:
            return None
        mean = self.mean(classifier)
        estimate = {**dict(zip(METRICS, mean.as_row(), strict=True)), "AUROC": mean.auroc}[metric]
        if estimate is None:
            return None
        found = interval(self.resamples[classifier][:, RESAMPLED.index(metric)], estimate)
        return None if found is None else (max(found[0], 0.0), min(found[1], 1.0))

    def confusion(self, classifier: str) -> Confusion:
        """Return (classes, classes) counts over all test sets; rows are the truth."""
        total: Confusion = np.sum([fold.confusion[classifier] for fold in self.folds], axis=0)
        return total

    def by_class(self, classifier: str) -> list[ClassScores]:
        """Return precision, recall and F1 of each class over all test sets together."""
        return class_table(self.confusion(classifier), list(self.classes))

    def has(self, classifier: str) -> bool:
        """Return whether every test set has a prediction of this classifier."""
        return all(classifier in fold.scores for fold in self.folds)

    def _rows(self, classifier: str) -> Real:
        return np.array([fold.scores[classifier].as_row() for fold in self.folds])

    def _areas(self, classifier: str) -> list[float]:
        areas = (fold.scores[classifier].auroc for fold in self.folds)
        return [area for area in areas if area is not None]


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same cells.

    Attributes:
        model, reference: names.
        classifier, metric: what is compared.
        difference: mean score of the model less that of the reference.
        interval: its 95 % interval from the same resampled groups; None without intervals.
    """

    model: str
    reference: str
    classifier: str
    metric: str
    difference: float
    interval: tuple[float, float] | None


def paired_differences(
    results: Sequence[Result], metrics: Sequence[str] = ("wF1", "bAcc", "macro F1")
) -> list[Difference]:
    """Compare each model of one task with the first, with intervals from paired resamples.

    Args:
        results: of the same cells, splits and groups.
        metrics: names of METRICS.
    """
    if len(results) < 2:
        return []
    reference = results[0]
    found = []
    for result in results[1:]:
        for classifier in result.classifiers:
            for metric in metrics:
                column = METRICS.index(metric)
                gain = result.mean(classifier).as_row()[column] - reference.mean(classifier).as_row()[column]
                spread = None
                if classifier in result.resamples and classifier in reference.resamples:
                    spread = interval(
                        result.resamples[classifier][:, column] - reference.resamples[classifier][:, column],
                        gain,
                    )
                found.append(Difference(result.model, reference.model, classifier, metric, gain, spread))
    return found
