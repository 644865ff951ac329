"""The measures of the batch effect over how strong it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from reddino.evaluation.batch_effect.measures import BatchReport
from reddino.figures.canvas import blank_figure, legend
from reddino.figures.palette import MARKERS, PALETTE
from reddino.foundations.visible import short_names

#: Panels, in the order of reading; the last two are about the class and should not fall.
SHOWN = (
    "source told",
    "kBET within class",
    "iLISI",
    "source silhouette",
    "source within class",
    "source / class distance",
    "class told",
    "class silhouette",
)


def strength_figure(reports: Mapping[float, Sequence[BatchReport]], title: str = "") -> Figure:
    """Draw one panel per measure, one line per model, over the strength of the sources; dashed: no effect.

    Args:
        reports: by strength, a report a model; the same models at each.
        title: above all panels.
    """
    figure = blank_figure(9.5, 4.4)
    strengths = sorted(reports)
    models = [report.model for report in reports[strengths[0]]]
    for axes, name in zip(figure.subplots(2, len(SHOWN) // 2).ravel(), SHOWN, strict=True):
        lines = []
        for place in range(len(models)):
            values = [reports[strength][place].value(name) for strength in strengths]
            style = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}
            lines += axes.plot(strengths, values, markersize=5, **style)
        without = [_without(reports[strength], name) for strength in strengths]
        lines += axes.plot(strengths, without, color="#888888", linestyle="--", linewidth=1)
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.3)
        axes.set_xlabel("strength of the sources", fontsize=8)
        axes.tick_params(labelsize=8)
    legend(figure.axes[0], lines, [*short_names(models), "no trace"], frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _without(reports: Sequence[BatchReport], name: str) -> float:
    found = [one.without for report in reports for one in report.measures if one.name == name]
    return next((value for value in found if value is not None), float("nan"))
