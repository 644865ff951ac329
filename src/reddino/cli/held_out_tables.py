"""What the terminal shows of a classifier on held-out groups: the answer, each class, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

import reddino
from reddino.classification.held_out_words import calibration_note
from reddino.foundations.counting import counted
from reddino.foundations.visible import short_names

#: Characters of a line, which no table exceeds.
WIDTH = 100
#: Letters of a class in a table.
CLASS_LETTERS = 20
#: Letters of a caveat, and caveats that are printed; the classifier's report has all of them whole.
CAVEAT_LETTERS, MOST_CAVEATS = 160, 5
SCORES = {
    "macro_f1": "macro F1",
    "weighted_f1": "wF1",
    "balanced_accuracy": "bAcc",
    "accuracy": "Acc",
}
NO_EVIDENCE_TITLE = "NO EVIDENCE: what was separated on held-out groups need not be the classes"


def answer(classifier: reddino.Classifier) -> str:
    """Return in one line how a classifier scores on held-out groups."""
    report, what = classifier.report, "pictures" if classifier.view.kind == "image" else "cells"
    spread = _range(report["intervals"].get("macro_f1"))
    cells = sum(map(sum, report["confusion"]))
    scores = (
        f"macro F1 {report['scores']['macro_f1']:.3f}{f' (95 % {spread})' if spread else ''} on {cells:,} "
        f"held-out {what}"
    )
    return scores if report["evidence"] else f"{NO_EVIDENCE_TITLE}: {scores}"


def held_out_tables(classifier: reddino.Classifier) -> list[Table]:
    """Return the classes, the confusion where it fits, and the scores with their intervals."""
    report = classifier.report
    names = short_names(classifier.classes, CLASS_LETTERS)
    confusion = confusion_table(report["confusion"], names)
    return [
        _class_table(report["by_class"], names),
        *([confusion] if confusion else []),
        _score_table(report),
    ]


def caveats(report: Mapping[str, Any]) -> list[str]:
    """Return what limits the scores, a short line each: the first sentences of the most telling notes."""
    few = [note for note in report["interval_notes"] if note.startswith("No")]
    doubts = len(report.get("doubts") or ())
    # How many groups a class is in stands in the table of classes.
    rest = [note for note in report["notes"][doubts:] if " lives in " not in note]
    notes = [*report["notes"][:doubts], *few, *rest]
    lines = list(dict.fromkeys(note.split(". ")[0].rstrip(".") for note in notes))
    shown = [
        line
        if len(line) <= CAVEAT_LETTERS
        else f"{line[: CAVEAT_LETTERS - 4].rsplit(' ', 1)[0].rstrip(',')} ..."
        for line in lines[:MOST_CAVEATS]
    ]
    left = len(lines) - len(shown)
    return [*shown, *([f"{counted(left, 'more note')} in the report"] if left else [])]


def _score_table(report: Mapping[str, Any]) -> Table:
    """Return the scores, likelihood and calibration error."""
    table = Table(
        title="all classes together" if report["evidence"] else NO_EVIDENCE_TITLE,
        caption=calibration_note(report).split(". ")[0] + ".",
        caption_justify="left",
        min_width=WIDTH - 4,
    )
    for name in ("", *SCORES.values()):
        table.add_column(name, justify="right")
    for name in ("NLL", "calibration error"):
        table.add_column(f"{name}\nraw / calibrated", justify="right", no_wrap=True)
    scores, intervals = report["scores"], report["intervals"]
    table.add_row(
        "",
        *(f"{scores[key]:.3f}" for key in SCORES),
        f"{report['nll_raw']:.3f} / {report['nll_calibrated']:.3f}",
        f"{report['calibration_error_raw']:.3f} / {report['calibration_error_calibrated']:.3f}",
    )
    if intervals:
        table.add_row("95 %", *(_range(intervals.get(key)) for key in SCORES), "", "")
    return table


def _class_table(classes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    """Return cells, groups, precision, recall and F1 of each class, with its 95 % intervals if any."""
    table = Table(title="classes, over all held-out groups (95 % intervals)")
    table.add_column("class")
    for name in ("cells", "groups", "precision", "recall", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    for one, shown in zip(classes, names, strict=True):
        table.add_row(
            shown,
            str(one["cells"]),
            str(one["groups"]),
            *(_rate(one[rate], one[f"{rate}_interval"]) for rate in ("precision", "recall", "f1")),
        )
    return table


def _rate(value: float, spread: Sequence[float] | None) -> str:
    return f"{value:.3f} {_range(spread) or '-':>9}"


def _range(spread: Sequence[float] | None) -> str:
    return "" if spread is None else f"{spread[0]:.2f}-{spread[1]:.2f}"


def confusion_table(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Table | None:
    """Return counts with a row for each true class, its columns numbered; None where they do not fit."""
    numbers = [str(number) for number in range(1, len(names) + 1)]
    widths = [
        max(len(number), *(len(str(row[place])) for row in confusion)) for place, number in enumerate(numbers)
    ]
    titled = [f"{number} {name}" for number, name in zip(numbers, names, strict=True)]
    if max(map(len, titled)) + sum(widths) + 2 * len(numbers) + 3 > WIDTH:
        return None
    table = Table(title="confusion", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("true \\ predicted")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    for name, row in zip(titled, confusion, strict=True):
        table.add_row(name, *(str(count) if count else "." for count in row))
    return table
