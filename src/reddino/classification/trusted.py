"""Predictions with what says how far to trust them: which cells get no answer, and where smears lie."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from reddino.classification.abstention import AnswerRule, answer_rule
from reddino.classification.classifier import Classifier
from reddino.classification.domain_report import domain_report
from reddino.classification.predict import Predictions
from reddino.foundations.errors import RedDinoError


def require_answerable(classifier: Classifier, risk: float | None) -> AnswerRule | None:
    """Return the rule for an error rate that the user names; None where none is named.

    Raises:
        RedDinoError: the classifier keeps no held-out cells, or too few.
    """
    if risk is None:
        return None
    held = None if classifier.training is None else classifier.training.held_out
    if held is None:
        raise RedDinoError(
            "the classifier keeps no held-out cells, so no risk can be named: fit it again with this version"
        )
    return answer_rule(held, risk)


def with_trust(predictions: Predictions, classifier: Classifier, rule: AnswerRule | None) -> Predictions:
    """Return predictions with the rule of their answers, and the verdicts of their slides and sources.

    Only views that count for their slide are compared with the training cells.
    """
    rows = np.flatnonzero(predictions.counted())
    domain = domain_report(
        predictions.table.take(rows),
        classifier.view,
        classifier.training,
        None if predictions.novelty is None else predictions.novelty[rows],
        predictions.root,
    )
    return replace(predictions, rule=rule, domain=domain)


def trust_note(predictions: Predictions) -> dict[str, Any]:
    """Return what the note of a predictions' file has about them: `domain`, and `abstention` where named."""
    note: dict[str, Any] = {}
    if predictions.domain is not None:
        note["domain"] = predictions.domain.as_dict()
    if predictions.rule is not None:
        abstained = predictions.abstained()
        note["abstention"] = {
            **asdict(predictions.rule),
            "cells": len(abstained),
            "abstained": int(abstained.sum()),
            "sentence": predictions.rule.sentence(),
        }
    return note
