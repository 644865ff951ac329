"""What slides and fields are worth: quality."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

import reddino
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, progress_bar, show_log, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.visible import short
from reddino.smears.choices import Subfolders

#: Slides that are listed, and letters of a name.
MOST, LETTERS = 40, 40


@app.command
def quality(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    threads: int = 0,
    subfolders: Subfolders = "auto",
) -> None:
    """Measure what regions of slides, or fields, are worth, and find the monolayer.

    The same command continues a survey that was stopped.

    Args:
        data: whole slides, manifests, images, folders, or quoted patterns of them.
        out: folder for quality.csv (a row for each region or field), quality.json and a map of each slide.
        threads: regions in work at once; a few, by the cores there are, if not given.
        subfolders: what those of a folder of images stand for; auto goes by their names, and prints it.
    """
    show_log()
    failures = reddino.Failures()
    with progress_bar("regions") as progress:
        found = reddino.quality(
            data, out, threads=threads, subfolders=subfolders, failures=failures, progress=progress
        )
    show_tables([quality_table(found)])
    failures.leave_at(out / "failures.csv")
    if failures.count:
        complain(f"{failures.summary()}; all are listed in {out / 'failures.csv'}")
    print_line(
        f"{out / 'quality.csv'}: {counted(len(found.rows), 'row')} of regions or pictures, and "
        f"{counted(len(found.maps), 'map')}"
    )


def quality_table(found: reddino.Quality) -> Table:
    """Return a row for each slide, or each source of fields."""
    table = Table(show_lines=True)
    table.add_column("slide or source", overflow="fold")
    table.add_column("what lies there", overflow="fold")
    table.add_column("monolayer", overflow="fold")
    for row in found.summaries()[:MOST]:
        table.add_row(short(row[0], LETTERS), *row[1:])
    return table
