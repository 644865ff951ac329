"""A simulation as files: the scores, when classes were found, the summary, and the figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isinf
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reddino.figures.canvas import blank_figure, legend, save_figure
from reddino.figures.palette import PALETTE
from reddino.foundations.atomic import atomic_path
from reddino.foundations.exports import write_csv
from reddino.foundations.visible import short, visible
from reddino.reviewing.simulate import Simulation
from reddino.reviewing.simulation_report import SimulationReport, curve, expected_labels

STEP_COLUMNS = ("strategy", "seed", "labels", "macro_f1", "classes")
FOUND_COLUMNS = (
    *("strategy", "seed", "class", "cells", "pool"),
    *("labels_to_first", "labels_to_tenth", "random_to_first", "random_to_tenth"),
)


def write_simulation(path: Path, report: SimulationReport, origin: dict[str, Any], title: str) -> list[Path]:
    """Write the scores to `path` (.csv), and next to it `.found.csv`, `.json` and `.png`.

    Returns:
        The files.
    """
    sim = report.simulation
    found, summary, figure = (path.with_suffix(end) for end in (".found.csv", ".json", ".png"))
    write_csv(
        path,
        STEP_COLUMNS,
        [
            (one.strategy, str(one.seed), str(one.labels), f"{one.macro_f1:.6f}", str(one.classes))
            for one in sim.steps
        ],
    )
    write_csv(
        found,
        FOUND_COLUMNS,
        [
            (
                *(one.strategy, str(one.seed), one.name, str(one.cells), str(one.pool)),
                *("" if spent is None else str(spent) for spent in (one.first, one.tenth)),
                *(_number(expected_labels(place, one)) for place in (1, 10)),
            )
            for one in sim.found
        ],
    )
    results = [asdict(one) for one in report.strategies]
    with atomic_path(summary) as partial:
        partial.write_text(
            json.dumps({"strategies": _finite(results), "provenance": origin}, indent=2) + "\n"
        )
    save_figure(simulation_figure(sim, title), figure)
    return [path, found, summary, figure]


def simulation_figure(sim: Simulation, title: str = "") -> Figure:
    """Draw macro F1 against labels, a line for each strategy with its 95 % interval over seeds."""
    figure = blank_figure(7.0, 4.2)
    axes = figure.add_subplot()
    names = list(dict.fromkeys(one.strategy for one in sim.steps))
    lines = []
    for number, name in enumerate(names):
        labels, averages = curve(sim, name)
        colour = PALETTE[number % len(PALETTE)]
        style = "--" if name == "random" else "-"
        lines += axes.plot(labels, [one.mean for one in averages], style, color=colour)
        low = [one.mean if one.low is None else one.low for one in averages]
        high = [one.mean if one.high is None else one.high for one in averages]
        axes.fill_between(labels, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlim(0)
    axes.set_xlabel("labels")
    axes.set_ylabel("macro F1 on groups that were never shown")
    axes.set_title(short(visible(title, keep=""), 80), fontsize=9)
    axes.grid(alpha=0.3)
    legend(axes, lines, names, frameon=False, fontsize=8, loc="lower right")
    return figure


def _number(value: float) -> str:
    return "" if isinf(value) else f"{value:.1f}"


def _finite(value: Any) -> Any:
    """Return JSON values; infinity, which JSON has not, as None."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and isinf(value) else value
