"""Predictions with how far to trust them: which cells get no answer, and where smears lie."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from reddino.classification.abstention import AnswerRule, answer_rule
from reddino.classification.classifier import Classifier
from reddino.classification.domain_report import domain_report
from reddino.classification.held_out import held_out_summary
from reddino.classification.predict import Predictions
from reddino.classification.risk_warning import risk_warning
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


def with_trust(
    predictions: Predictions,
    classifier: Classifier,
    rule: AnswerRule | None,
    *,
    abstain_outside: bool = False,
) -> Predictions:
    """Return predictions with the rule of their answers, and the verdicts of their slides and sources.

    Only views that count for their slide are compared with the training cells.

    Args:
        predictions: of a classifier.
        classifier: that made them.
        rule: which cells get no answer; None: all get one.
        abstain_outside: give no cell an answer whose slide (or picture, where none is named; or else source)
            lies outside of what the classifier learned from.

    Raises:
        RedDinoError: smears outside are to get no answer, and nothing is kept to find which these are.
    """
    rows = np.flatnonzero(predictions.counted())
    domain = domain_report(
        predictions.table.take(rows),
        classifier.view,
        classifier.training,
        None if predictions.novelty is None else predictions.novelty[rows],
        predictions.root,
    )
    found = replace(predictions, rule=rule, domain=domain, held_out=held_out_summary(classifier.report))
    if not abstain_outside:
        return found
    if not domain.units:
        raise RedDinoError(
            f"what lies outside cannot be determined: {domain.note}; fit the classifier again, or leave "
            "--abstain-outside out"
        )
    verdicts = domain.verdicts_of(*(found.strings(name) for name in ("source", "slide", "path")))
    return replace(found, unanswered=np.array([one == "outside" for one in verdicts], dtype=np.bool_))


def trust_note(predictions: Predictions) -> dict[str, Any]:
    """Return what the note of a predictions' file has about them: `domain`, and `abstention` where named."""
    note: dict[str, Any] = {}
    if predictions.domain is not None:
        note["domain"] = predictions.domain.as_dict()
    if predictions.abstains:
        abstained = predictions.abstained()
        note["abstention"] = {
            "cells": len(abstained),
            "abstained": int(abstained.sum()),
            "abstained_outside": predictions.unanswered is not None,
        }
    if predictions.rule is not None:
        warning = risk_warning(predictions)
        note["abstention"] |= {
            **asdict(predictions.rule),
            "sentence": predictions.rule.sentence(),
            "holds": not warning,
            "warning": warning,
        }
    return note
