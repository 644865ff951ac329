"""From predictions to the report of slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.visible import short
from reddino.slide_reports.choices import NO_DIAGNOSIS, PAGE_FILE

#: Slides that are listed, and letters of a name.
MOST, LETTERS = 40, 32


@app.command
def slides(
    predictions: Path,
    /,
    *,
    out: Path,
    classifier: Path | None = None,
    images: Path | None = None,
    by: str = "slide",
    grades: Path | None = None,
    risk: float | None = None,
    sets: float | None = None,
    reference: Annotated[Sequence[str], Several] = (),
    um_per_px: float | None = None,
    keep_fields: Annotated[bool, Parameter(negative="")] = False,
    fhir: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
) -> None:
    """Report slides: the fraction of each class with its interval, grades, sizes and shapes of the cells.

    Args:
        predictions: file that `predict` wrote.
        out: folder for report.html (a sheet for each slide), slides.csv and more.
        classifier: the folder that made the predictions, whose own errors are taken away from the fractions;
            plain counts if not given.
        images: the manifest that was predicted, or the folder that its paths start from: to leave blurred
            fields out, measure sizes and shapes, and show examples.
        by: column of what is reported, such as patient; pictures where it is empty.
        grades: YAML file of thresholds; if not given, those of ICSH that come along.
        risk: error rate among the answered cells, such as 0.1; the others get no answer.
        sets: give each cell a set of classes that lacks the true one at most so often, such as 0.1.
        reference: slides that sizes and shapes of the others are compared with.
        um_per_px: micrometres of a pixel, where the predictions have no column of that name.
        keep_fields: count blurred, thick and nearly empty fields too.
        fhir: write FHIR Observations (slides.fhir.json) too.
        seed: of every random choice.
    """
    report = reddino.slides(
        predictions,
        out,
        classifier=classifier,
        images=images,
        by=by,
        grades=grades,
        risk=risk,
        set_error=sets,
        reference=reference,
        um_per_px=um_per_px,
        keep_fields=keep_fields,
        fhir=fhir,
        seed=seed,
    )
    show_tables([slides_table(report)])
    for why in dict.fromkeys(slide.why_plain for slide in report.slides if slide.why_plain):
        complain(f"no fraction is adjusted for the errors of the classifier: {why}.")
    if note := report.unverified_note():
        complain(note)
    print_line(f"{out / PAGE_FILE}: {counted(len(report.slides), 'slide')}. {NO_DIAGNOSIS}")


def slides_table(report: reddino.SlideReport) -> Table:
    """Return a row for each slide: what was counted, and what reaches a grade."""
    table = Table(show_lines=True)
    table.add_column("slide", overflow="fold")
    table.add_column("red cells", justify="right")
    table.add_column("fields", justify="right")
    table.add_column("grades (fraction, 95 % interval)", overflow="fold")
    table.add_column("compared with training")
    rows = report.rows()
    for (name, cells, fields, grades), slide in zip(rows[:MOST], report.slides[:MOST], strict=True):
        table.add_row(short(name, LETTERS), cells, fields, grades, slide.verdict or "not compared")
    if len(rows) > MOST:
        table.add_row(f"({len(rows) - MOST} more)", "", "", "slides.csv has them all", "")
    return table
