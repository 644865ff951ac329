"""Figures of scores: confusion matrices, scores by source, and transfer between sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from reddino.figures.canvas import blank_figure, legend
from reddino.figures.palette import PALETTE
from reddino.foundations.visible import short_names

Real = npt.NDArray[np.float64]

#: Inches of a side, at most.
LONGEST = 80.0


def confusion_figure(counts: npt.NDArray[np.int64], names: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix (classes, classes): colour is the fraction of the true class.

    Args:
        counts: rows are the truth, columns the prediction.
        names: of the classes.
        title: above the matrix.
    """
    total = counts.sum(axis=1, keepdims=True)
    fractions = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    texts = [[str(cell) if cell else "" for cell in row] for row in counts.tolist()]
    return _matrix(fractions, texts, names, names, axis_names=("predicted", "true"), title=title)


def transfer_figure(
    scores: Real, trained_on: Sequence[str], tested_on: Sequence[str], title: str = ""
) -> Figure:
    """Draw scores (trained, tested) in 0..1 of each source on each other; NaN where nothing was tested."""
    texts = [["" if np.isnan(cell) else f"{cell:.2f}" for cell in row] for row in scores.tolist()]
    return _matrix(scores, texts, trained_on, tested_on, axis_names=("tested on", "trained on"), title=title)


def source_scores_figure(
    scores: Real, models: Sequence[str], sources: Sequence[str], metric: str, title: str = ""
) -> Figure:
    """Draw scores (models, sources) in 0..1 as one row of dots per source, which shows their spread."""
    figure = blank_figure(7.5, 1.2 + _inches(0.45, len(sources)))
    axes = figure.add_subplot()
    place = np.arange(len(sources))
    dots = []
    for number, row in enumerate(scores):
        shift = (number - (len(models) - 1) / 2) * 0.6 / max(len(models), 1)
        dots.append(axes.scatter(row, place + shift, color=PALETTE[number % len(PALETTE)], zorder=3))
    axes.set_yticks(place, [source or "(no name)" for source in short_names(sources)])
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel(metric)
    axes.grid(alpha=0.3)
    style = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False, "fontsize": 8}
    legend(axes, dots, short_names(models), **style)
    axes.set_title(title)
    return figure


def _matrix(
    values: Real,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    axis_names: tuple[str, str],
    title: str,
) -> Figure:
    figure = blank_figure(2.2 + _inches(0.6, len(columns)), 1.6 + _inches(0.5, len(rows)))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), short_names(columns), rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), short_names(rows))
    axes.set_xlabel(axis_names[0])
    axes.set_ylabel(axis_names[1])
    axes.set_title(title, fontsize=9)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            if not text:
                continue  # of hundreds of classes nearly every cell
            ink = "white" if values[i, j] > 0.6 else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)
    return figure


def _inches(each: float, count: int) -> float:
    """Return the length of so many cells or lines; very many are packed, since no picture is longer."""
    return min(each * count, LONGEST)
