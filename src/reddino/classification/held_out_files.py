"""How a classifier does on held-out groups, as files: the classes, and the confusion as a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reddino.classification.classifier import Classifier
from reddino.classification.held_out import RATES
from reddino.figures.canvas import save_figure
from reddino.figures.score_figures import confusion_figure
from reddino.foundations.exports import write_csv

CLASSES_FILE, CONFUSION_FILE, CONFUSION_FIGURE = "classes.csv", "confusion.csv", "confusion.png"


def write_held_out(folder: Path, classifier: Classifier) -> None:
    """Write the classes and the confusion of a classifier's report next to it.

    `classes.csv` has a row for each class, with 95 % intervals; `confusion.csv` a row for each true class and
    a column for each predicted one; `confusion.png` shows it.
    """
    report, names = classifier.report, classifier.classes
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
