"""Tables for the terminal of how a classifier does on held-out groups: scores, each class, the confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

import reddino
from reddino.foundations.visible import short_names

#: Characters of a line, which no table exceeds.
WIDTH = 100
#: Letters of a class in a table.
CLASS_LETTERS = 20
SCORES = {
    "weighted_f1": "wF1",
    "balanced_accuracy": "bAcc",
    "accuracy": "Acc",
    "macro_f1": "macro F1",
}
NO_EVIDENCE_TITLE = "NO EVIDENCE: what was told apart on held-out groups need not be the classes"


def held_out_tables(classifier: reddino.Classifier) -> list[Table]:
    """Return the scores with their intervals and notes, the classes, and the confusion where it fits."""
    report = classifier.report
    names = short_names(classifier.classes, CLASS_LETTERS)
    confusion = confusion_table(report["confusion"], names)
    return [
        _score_table(report),
        _class_table(report["by_class"], names),
        *([confusion] if confusion else []),
    ]


def _score_table(report: Mapping[str, Any]) -> Table:
    """Return the scores, likelihood and calibration error, with all notes below them."""
    notes = [*report["notes"], *report["interval_notes"], _calibration_note(report)]
    cells = sum(map(sum, report["confusion"]))
    table = Table(
        title=f"held-out groups, {cells} cells" if report["evidence"] else NO_EVIDENCE_TITLE,
        caption="\n".join(notes),
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


def _calibration_note(report: Mapping[str, Any]) -> str:
    """Say which calibration was kept, and why."""
    chosen = report["calibration"]["chosen"]
    tried = ", ".join(f"{name} {value:.4f}" for name, value in report["calibration"]["tried"].items())
    kept = {
        "none": "none was kept, since none makes the likelihood of other groups better",
        "offset": "the offset that undoes class weights, and no temperature",
    }.get(chosen, f"{chosen} ({report['calibration']['temperature']:.2f})")
    if len(report["calibration"]["tried"]) < 2:
        kept = "none, since there is no second held-out group to judge one on"
    return f"Calibration: {kept}. Negative log-likelihood on groups that each was not fitted on: {tried}."


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
