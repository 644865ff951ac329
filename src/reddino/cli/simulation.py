"""Simulated reviews: review simulate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

import reddino
from reddino.cli.options import Several, joined_sources, new_labels
from reddino.cli.review import review_app
from reddino.cli.terminal import print_line, show_log, show_tables
from reddino.reviewing.choices import Strategy


@review_app.command
def simulate(
    table: Path,
    /,
    *,
    strategies: Annotated[Sequence[Strategy], Several] = ("random", "default"),
    budget: int = 500,
    batch: int = 20,
    seeds: int = 10,
    sought: Annotated[Sequence[str], Several] = (),
    label: str = "label",
    group_by: str | None = None,
    join_sources: Annotated[Sequence[str] | None, Several] = None,
    drop: Annotated[Sequence[str], Several] = (),
    rename: Annotated[Sequence[str], Several, Parameter(name="--map")] = (),
    out: Path | None = None,
) -> None:
    """Simulate reviews of a labelled table, to see how many labels each strategy needs.

    Args:
        table: folder of an embedding table with a row for each cell.
        strategies: what is shown next: default, random, typical, coverage, rare, margin, entropy,
            balanced.
        budget: labels to spend.
        batch: labels between two fits.
        seeds: runs of each strategy, each of which tests another third of the groups.
        sought: classes that default and rare look for; those that lag behind, if none is named.
        label: column of the classes; rows without one take no part.
        group_by: column of what is tested as a whole and never shown; image, group, slide or patient, if not
            given.
        join_sources: patient, slide or group: names that mean the same under every source; all three, if
            none is named.
        drop: labels to leave out.
        rename: labels to rename, as old=new.
        out: CSV file for the scores; when classes were found, the summary and the figure go next to it as
            .found.csv, .json and .png.
    """
    show_log()
    report = reddino.simulate(
        table,
        strategies=strategies,
        budget=budget,
        batch=batch,
        seeds=seeds,
        sought=sought,
        label=label,
        group_by=group_by,
        join_sources=joined_sources(join_sources),
        drop=drop,
        rename=new_labels(rename),
        out=out,
    )
    shown = Table("strategy", title=f"after {report.labels_shown} labels, {seeds} seeds")
    for name in (
        "macro F1",
        "gain over random",
        "labels for random's score",
        "labels to a rare class's tenth",
    ):
        shown.add_column(name, justify="right")
    for cells in report.rows():
        shown.add_row(*cells)
    show_tables([shown, _curves(report)])
    rare = f"Rare: {', '.join(sought)}." if sought else "Rare: classes of at most 3 % of the cells."
    print_line(f"Fractions are of the labels that random picking needs. {rare}")
    print_line(
        "Intervals are over seeds, which share their cells: they do not show how other smears would do."
    )
    if out is not None:
        print_line(f"{out} and {out.with_suffix('.found.csv').name}, .json, .png next to it")


def _curves(report: reddino.SimulationReport) -> Table:
    """Return macro F1 after some numbers of labels, with its interval over seeds."""
    shown = Table("strategy", title="macro F1 after so many labels")
    places = report.milestones()
    for labels in places:
        shown.add_column(f"{labels:,}", justify="right")
    for name in dict.fromkeys(one.strategy for one in report.strategies):
        shown.add_row(name, *(report.after(name, labels).shown() for labels in places))
    return shown
