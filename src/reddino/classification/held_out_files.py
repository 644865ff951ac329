"""How a classifier does on held-out groups, as files: a report, the classes, the confusion as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reddino.classification.classifier import Classifier
from reddino.classification.held_out import RATES
from reddino.classification.held_out_words import REPORT, calibration_note
from reddino.figures.canvas import save_figure
from reddino.figures.score_figures import confusion_figure
from reddino.foundations.atomic import write_text
from reddino.foundations.exports import write_csv
from reddino.foundations.visible import visible

CLASSES_FILE, CONFUSION_FILE, CONFUSION_FIGURE = "classes.csv", "confusion.csv", "confusion.png"


def write_held_out(folder: Path, classifier: Classifier) -> None:
    """Write the report of a classifier, its classes and their confusion next to it.

    `report.md` is for people: scores, classes, and all that limits them. `classes.csv` has a row for each
    class, with 95 % intervals; `confusion.csv` a row for each true class and a column for each predicted one;
    `confusion.png` shows it.
    """
    report, names = classifier.report, classifier.classes
    write_text(folder / REPORT, report_text(classifier))
    ends = ("low", "high")
    header = ["class", "cells", "groups", "predicted"]
    header += [column for rate in RATES for column in (rate, *(f"{rate}_{end}" for end in ends))]
    rows = []
    for one in report["by_class"]:
        numbers = [str(one[key]) for key in ("cells", "groups", "predicted")]
        for rate in RATES:
            spread = one[f"{rate}_interval"] or (None, None)
            numbers += ["" if value is None else f"{value:.4f}" for value in (one[rate], *spread)]
        rows.append([one["name"], *numbers])
    write_csv(folder / CLASSES_FILE, header, rows)
    counts = report["confusion"]
    lines = [[name, *map(str, row)] for name, row in zip(names, counts, strict=True)]
    write_csv(folder / CONFUSION_FILE, ["true class", *names], lines)
    title = "held-out groups" if report["evidence"] else "held-out groups: NO EVIDENCE, see classifier.json"
    save_figure(confusion_figure(np.array(counts), names, title), folder / CONFUSION_FIGURE)


def report_text(classifier: Classifier) -> str:
    """Return the report of a classifier for people, as Markdown: scores, classes, and what limits them."""
    report = classifier.report
    head = "# How this classifier did on cells that it did not learn from"
    if not report["evidence"]:
        head += "\n\n**NO EVIDENCE: what was separated need not be the classes.**"
    scores = [
        [name.replace("_", " "), _rate(value, report["intervals"].get(name))]
        for name, value in report["scores"].items()
    ]
    scores += [
        ["negative log-likelihood, raw and calibrated", _both(report, "nll")],
        ["calibration error, raw and calibrated", _both(report, "calibration_error")],
    ]
    rates = [
        [
            one["name"],
            *(str(one[key]) for key in ("cells", "groups", "predicted")),
            *(_rate(one[rate], one[f"{rate}_interval"]) for rate in RATES),
        ]
        for one in report["by_class"]
    ]
    notes = [*report["notes"], *report["interval_notes"], calibration_note(report)]
    return "\n\n".join(
        [
            head,
            f"{report['cells']:,} cells, {len(classifier.classes)} classes; in brackets 95 % intervals by "
            "bootstrap over groups. Scores are of all held-out cells together.",
            _markdown(["score", "value (95 %)"], scores),
            "## Classes",
            _markdown(["class", "cells", "groups", "predicted", *RATES], rates),
            f"Which classes are taken for which: `{CONFUSION_FILE}` and `{CONFUSION_FIGURE}`.",
            "## What limits these figures",
            "\n".join(f"- {visible(note, keep='')}" for note in notes) + "\n",
        ]
    )


def _rate(value: float, spread: Sequence[float] | None) -> str:
    return f"{value:.3f}" + (f" ({spread[0]:.3f} to {spread[1]:.3f})" if spread else "")


def _both(report: Mapping[str, Any], name: str) -> str:
    return f"{report[f'{name}_raw']:.3f}, {report[f'{name}_calibrated']:.3f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(visible(cell, keep='').replace('|', '&#124;') for cell in line)} |" for line in lines
    )
