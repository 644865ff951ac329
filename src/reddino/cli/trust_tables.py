"""How far to trust the classes of predictions, as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

import reddino
from reddino.cli.held_out_tables import CLASS_LETTERS, NO_EVIDENCE_TITLE
from reddino.figures.page.recognition import recognised
from reddino.foundations.visible import short_names


def class_trust_table(predictions: reddino.Predictions) -> Table | None:
    """Return how each class was recognised on held-out cells, and its fraction here; None where unknown.

    A class of which no held-out cell was recognised has no fraction, and cells of smears outside of what the
    classifier learned from count for none.
    """
    import numpy as np

    known = {one["name"]: one for one in predictions.held_out.get("classes") or ()}
    if not known:
        return None
    counts, outside = _counts(predictions)
    evidence = predictions.held_out.get("evidence", True)
    table = Table(
        title="how far to trust each class" if evidence else NO_EVIDENCE_TITLE,
        caption=_caption(predictions, outside, int(counts.sum())),
        caption_justify="left",
    )
    table.add_column("class")
    for name in ("recognised of held-out cells (95 %)", "cells here", "fraction"):
        table.add_column(name, justify="right", no_wrap=name != "recognised of held-out cells (95 %)")
    table.add_column("else mostly taken for")
    names = short_names(predictions.classes, CLASS_LETTERS)
    for place in np.argsort(-counts, kind="stable").tolist():
        one = known.get(predictions.classes[place])
        never = one is not None and one["cells"] and not one["recall"]
        fraction = f"{100 * counts[place] / counts.sum():.1f} %" if counts.sum() and not never else "-"
        table.add_row(
            names[place], recognised(one), str(counts[place]), fraction, (one or {}).get("taken_for") or "-"
        )
    return table


def _counts(predictions: reddino.Predictions) -> tuple[Any, int]:
    """Return counted cells (k,) of each class in smears that are not outside, and those in others."""
    import numpy as np

    answered = predictions.counted() & ~predictions.abstained()
    inside = np.ones(len(predictions), dtype=np.bool_)
    if predictions.domain is not None:
        columns = (predictions.strings(name) for name in ("source", "slide", "path"))
        inside = np.array([one != "outside" for one in predictions.domain.verdicts_of(*columns)], np.bool_)
    numbers = predictions.numbers()[answered & inside]
    return np.bincount(numbers, minlength=len(predictions.classes)), int((answered & ~inside).sum())


def _caption(predictions: reddino.Predictions, outside: int, inside: int) -> str:
    notes = []
    if outside:
        rest = "no fraction is given" if not inside else f"fractions are of the other {inside:,}"
        notes.append(f"{outside:,} cells are of smears outside of what the classifier learned from: {rest}.")
    if predictions.held_out.get("never_found"):
        notes.append(
            "Classes that it never recognised have no fraction; their cells count for the classes that they "
            "are taken for."
        )
    return "\n".join(notes)
