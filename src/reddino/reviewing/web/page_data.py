"""What the page shows, in the form that it takes: cells, classes, the classifier, agreement."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from reddino.figures.palette import PALETTE
from reddino.reviewing.agreement import Kappa
from reddino.reviewing.learning import RunningScore
from reddino.reviewing.records import CellClass, Suggestion, Verdict
from reddino.reviewing.web.background import BackgroundProbe
from reddino.reviewing.web.lineup import Known

#: Patterns that separate classes of one colour, as many as the style sheet draws.
PATTERNS = 4


def cell_shown(
    row: int, known: Known, suggestion: Suggestion | None, *, second: bool = False
) -> dict[str, Any]:
    """Return the verdicts on a cell: by the reader, by others whom they may see, by the classifier.

    Args:
        row: of the cell.
        known: what is known when it is shown.
        suggestion: of the classifier.
        second: in a second reading: before the reader has answered, they see neither others' answers nor the
            suggestion, which was learned from these.
    """
    verdicts, notes = known.state.verdicts.get(row, {}), known.state.notes.get(row, {})
    mine = verdicts.get(known.reader)
    if second and mine is None:
        verdicts, suggestion = {}, None
        notes = {name: text for name, text in notes.items() if name == known.reader}
    return {
        "suggestion": None
        if suggestion is None
        else {"label": suggestion.label, "probability": suggestion.probability},
        "mine": None if mine is None else _verdict(mine),
        "others": [_verdict(one) for name, one in verdicts.items() if name != known.reader],
        "skipped": row in known.state.skipped.get(known.reader, ()),
        "note": notes.get(known.reader, ""),
        "notes": [{"reader": name, "text": text} for name, text in notes.items() if name != known.reader],
    }


def _verdict(one: Verdict) -> dict[str, Any]:
    return {
        "reader": one.reader,
        "kind": one.kind,
        "class_number": one.class_number,
        "answer": one.answer,
        "deciding": one.deciding,
    }


def class_shown(
    one: CellClass, place: int, counts: Mapping[str, int], few: Collection[str]
) -> dict[str, Any]:
    """Return a class, with the cells that it has and whether these are candidates only.

    Args:
        one: the class.
        place: among the classes, for its colour and pattern.
        counts: cells by answer.
        few: names of the classes that are candidates only.
    """
    return {
        "number": one.number,
        "name": one.name,
        "hotkey": one.hotkey,
        "former": list(one.former),
        "colour": PALETTE[place % len(PALETTE)],
        "pattern": place // len(PALETTE) % PATTERNS,
        "count": counts.get(one.name, 0),
        "candidates_only": one.name in few,
    }


def model_shown(learner: BackgroundProbe, view: str) -> dict[str, Any]:
    """Return how far the classifier of a view is, and how well it does."""
    learned = learner.of(view)
    shown: dict[str, Any] = {"busy": learner.busy(view), "fault": learner.fault(view)}
    if learned is None:
        return {**shown, "number": 0}
    return {
        **shown,
        "number": learned.number,
        "labels": learned.labels,
        "seconds": round(learned.seconds, 2),
        "enough": learned.enough,
        "score": None if learned.score is None else _score(learned.score),
    }


def _score(score: RunningScore) -> dict[str, Any]:
    return {
        "macro_f1": score.macro_f1,
        "low": score.low,
        "high": score.high,
        "labels": score.labels,
        "note": score.note,
        "classes": [
            {"name": one.name, "cells": one.cells, "f1": one.f1, "candidates": one.candidates_only}
            for one in score.by_class
        ],
    }


def kappa_shown(one: Kappa) -> dict[str, Any]:
    """Return how far readers agree."""
    return {
        "measure": one.measure,
        "readers": list(one.readers),
        "answer": one.answer,
        "kappa": or_none(one.kappa),
        "interval": None if one.interval is None else list(one.interval),
        "agreement": or_none(one.agreement),
        "cells": one.cells,
        "groups": one.groups,
    }


def or_none(value: float) -> float | None:
    """Return a number as JSON takes it: none where it is not one."""
    return value if math.isfinite(value) else None
