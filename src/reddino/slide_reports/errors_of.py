"""What a classifier's folder holds of its errors: held-out cells by group, else the confusion alone."""

from __future__ import annotations

import numpy as np

from reddino.classification.abstention import AnswerRule, HeldOutCells
from reddino.classification.classifier import Classifier
from reddino.slide_reports.quantification import Errors, Real


def errors_of(classifier: Classifier, rule: AnswerRule | None = None) -> Errors | None:
    """Return how a classifier answers held-out cells, by their group; None where its folder does not keep it.

    Args:
        classifier: of a folder; those of earlier versions keep no classes of held-out cells.
        rule: which cells get no answer, where one is in use.
    """
    held = None if classifier.training is None else classifier.training.held_out
    if held is None or held.truth is None or held.probabilities is None:
        return None
    return Errors.of(confusions(held, len(classifier.classes), rule), of_slides=held.of_slides)


def confusions(held: HeldOutCells, classes: int, rule: AnswerRule | None) -> Real:
    """Return held-out cells by group, class and answer (g, k, k); with a rule (g, k, k + 1), the last none.

    Raises:
        ValueError: the cells were kept without their classes.
    """
    if held.truth is None or held.probabilities is None:
        raise ValueError("the cells were kept without their classes")
    answer = held.probabilities.argmax(axis=1)
    if rule is not None:
        answer = np.where(rule.abstained(held.probability, held.novelty), classes, answer)
    group = np.unique(held.group, return_inverse=True)[1]
    counts = np.zeros((int(group.max(initial=-1)) + 1, classes, classes + (rule is not None)))
    np.add.at(counts, (group, held.truth, answer), 1.0)
    return counts
