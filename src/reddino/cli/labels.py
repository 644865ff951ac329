"""The labels of a review, out of its database and into it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from rich.table import Table

import reddino
from reddino.cli.options import Several, new_labels
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short, visible
from reddino.reviewing.label_choices import Exported, LabelFormat


@app.command
def labels(
    database: str,
    /,
    *,
    out: Path | None = None,
    what: Exported = "consensus",
    reader: str | None = None,
    others: Annotated[Sequence[str], Several] = (),
    format: LabelFormat | None = None,
    kappas: Path | None = None,
    add: Annotated[Sequence[Path], Several] = (),
    predictions: Annotated[Sequence[Path], Several] = (),
    table: Path | None = None,
    images: Path | None = None,
) -> None:
    """Write the labels of a review to a file, or take labels in; show what the review holds.

    Args:
        database: of the review: its file or URL, or the embedding table that it lies next to.
        out: .csv or .parquet for a manifest that fit, evaluate and predict take; .json for COCO.
        what: a row per cell (consensus), per cell and reader (readers), or per cell and event (events).
        reader: of this reader alone; with --add, whose labels they become.
        others: labels for cells of no class, such as artefact=artefact none=other; they have none, if not
            given.
        format: coco or label-studio, for .json.
        kappas: .csv file for the agreement of readers.
        add: manifests with labels, to take in as verdicts of --reader (or of their column reader).
        predictions: files of reddino predict, to take in as a first sorting.
        table: the embedding table, for --add and --predictions.
        images: a manifest of its images, where the review is not begun yet.
    """
    if out is None and kappas is None and reader is not None and not (add or predictions):
        raise RedDinoError("--reader chooses what is written: give --out")
    done = reddino.labels(
        database,
        out,
        what=what,
        reader=reader,
        others=new_labels(others, "--others", "such as artefact=artefact"),
        format=format,
        kappas=kappas,
        add=add,
        predictions=predictions,
        table=table,
        images=images,
    )
    for file, report in done.imported.items():
        left = {"of no cell of the table": report.unknown, "known already": report.kept}
        left |= {"without a label": report.empty, "with several labels for a cell": report.contradicting}
        notes = [f"{count:,} {why}" for why, count in left.items() if count]
        print_line(f"{file}: {counted(report.taken, 'row')} taken in{''.join(f', {note}' for note in notes)}")
    show_tables(
        [_answers(done.counts), *([_agreement(_on_screen(done.agreement))] if done.agreement else [])]
    )
    if out is not None and done.written is not None:
        if what != "events" and done.written.without_label:
            several = ", ".join(f"{count:,} {answer}" for answer, count in done.written.without_label.items())
            complain(f"rows without a label, which nothing learns from (--others): {several}")
        print_line(f"{out}: {counted(len(done.written.manifest), 'row')}")


def _answers(counts: Mapping[str, int]) -> Table:
    """Return how many cells have each answer by consensus."""
    table = Table(title="labels by consensus")
    table.add_column("answer")
    table.add_column("cells", justify="right")
    for answer, count in counts.items():
        table.add_row(short(visible(answer, keep=""), 60), f"{count:,}")
    return table


def _on_screen(kappas: Sequence[reddino.Kappa]) -> list[reddino.Kappa]:
    """Return what fits a screen: of three readers or more, single answers over all of them alone."""
    many = any(one.measure == "fleiss" for one in kappas)
    return [one for one in kappas if not (many and one.answer and one.measure == "cohen")]


def _agreement(kappas: Sequence[reddino.Kappa]) -> Table:
    """Return the agreement of readers, with its intervals."""
    table = Table(title="agreement of readers (Cohen's kappa of two, Fleiss' of more)")
    for name in ("readers", "answer"):
        table.add_column(name)
    for name in ("kappa", "95 % interval", "agreement", "cells", "groups"):
        table.add_column(name, justify="right")
    for one in kappas:
        limits = "-" if one.interval is None else f"{one.interval[0]:.2f} to {one.interval[1]:.2f}"
        table.add_row(
            visible(", ".join(one.readers), keep=""),
            visible(one.answer, keep="") or "(all)",
            "-" if math.isnan(one.kappa) else f"{one.kappa:.2f}",
            limits,
            "-" if math.isnan(one.agreement) else f"{one.agreement:.2f}",
            f"{one.cells:,}",
            f"{one.groups:,}",
        )
    return table
