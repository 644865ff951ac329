"""The labels of a review: out of its database as files, and into it from files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reddino.api.sole_writer import sole_writer
from reddino.embedding.part_files import is_table
from reddino.embedding.table_on_disk import open_table
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv
from reddino.reviewing.agreement import Kappa, agreement
from reddino.reviewing.database import ReviewDatabase, default_database
from reddino.reviewing.exported import ExportedLabels, exported
from reddino.reviewing.imported import ImportReport, file_of, import_labels, import_predictions
from reddino.reviewing.label_choices import Exported, LabelFormat
from reddino.reviewing.label_files import write_coco, write_label_studio
from reddino.smears.manifest import read_manifest, write_manifest


@dataclass(frozen=True)
class ReviewedLabels:
    """What a review holds.

    Attributes:
        counts: answer -> cells, by consensus; those of no class have names in brackets, such as `[artefact]`.
        agreement: of each pair of readers, and of three or more.
        written: the labels that were written; None where none were.
        imported: file -> what became of its rows.
    """

    counts: Mapping[str, int]
    agreement: Sequence[Kappa]
    written: ExportedLabels | None
    imported: Mapping[str, ImportReport]


@sole_writer(files=("out", "kappas"))
def labels(
    database: str | Path,
    out: str | Path | None = None,
    *,
    what: Exported = "consensus",
    reader: str | None = None,
    others: Mapping[str, str] | None = None,
    format: LabelFormat | None = None,
    kappas: str | Path | None = None,
    add: Sequence[str | Path] = (),
    predictions: Sequence[str | Path] = (),
    table: str | Path | None = None,
    images: str | Path | None = None,
) -> ReviewedLabels:
    """Write the labels of a review to a file that `fit`, `evaluate` and `predict` take; or take some in.

    Args:
        database: of a review: file, URL, or the embedding table that it lies next to.
        out: .csv or .parquet for a manifest with `label`, `reader`, `time` and `consensus`; .json for COCO or
            Label Studio.
        what: rows of a manifest: a cell, a cell and reader, or a cell and event.
        reader: of this reader alone; with `add`, whose labels they become.
        others: label for cells that are `none` of the classes, `artefact` or `unsure`, which else have none.
        format: None goes by the suffix; .json is COCO.
        kappas: .csv file for the agreement of readers.
        add: manifests with labels to take in as verdicts.
        predictions: files of `predict` to take in as a first sorting.
        table: the embedding table, to take something in; not where `database` is one.
        images: a manifest of its images, where the review is not begun yet.

    Raises:
        RedDinoError: there is no such review, nothing in it to write, or a file that does not belong to it.
    """
    if is_table(database):
        table, database = table or str(database), default_database(str(database))
    if kappas is not None and Path(kappas).suffix != ".csv":
        raise RedDinoError(f"{kappas}: the agreement of readers is written as .csv")
    form = None if out is None else _format(Path(out), format, what)
    imported: dict[str, ImportReport] = {}
    with _opened(database, table if add or predictions else None, images, add or predictions) as review:
        for file in map(Path, add):
            imported[str(file)] = import_labels(
                review, review.whole_table(), read_manifest(file), reader=reader
            )
        for file in map(Path, predictions):
            imported[str(file)] = import_predictions(
                review,
                review.whole_table(),
                read_manifest(file),
                classifier=file_of(file),
                reader=reader or "import",
            )
        written = None
        if out is not None and form is not None:
            written = exported(review, what, reader=None if add else reader, others=others)
            _write(written, Path(out), form)
        state = review.state()
        rows, cells = review.cells()
        found = agreement(state, dict(zip(rows.tolist(), cells.fold_groups(), strict=True)))
    if kappas is not None:
        write_csv(Path(kappas), KAPPA_COLUMNS, map(kappa_row, found))
    return ReviewedLabels(state.counts(), found, written, imported)


KAPPA_COLUMNS = ("measure", "readers", "answer", "kappa", "low", "high", "agreement", "cells", "groups")


def kappa_row(one: Kappa) -> list[str]:
    """Return a measure as a row of text; "" where there is no number."""
    low, high = one.interval or (math.nan, math.nan)
    numbers = ["" if math.isnan(value) else f"{value:.3f}" for value in (one.kappa, low, high, one.agreement)]
    return [one.measure, "; ".join(one.readers), one.answer, *numbers, str(one.cells), str(one.groups)]


def _format(out: Path, format: LabelFormat | None, what: Exported) -> LabelFormat:
    found: LabelFormat = format or ("coco" if out.suffix.lower() == ".json" else "manifest")
    if (found == "manifest") == (out.suffix.lower() == ".json"):
        raise RedDinoError(f"{out}: a manifest ends in .csv or .parquet, COCO and Label Studio in .json")
    if found != "manifest" and what == "events":
        raise RedDinoError(f"{out}: events are written as .csv or .parquet")
    return found


def _write(labels: ExportedLabels, out: Path, form: LabelFormat) -> None:
    if form == "manifest":
        write_manifest(labels.manifest, out)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    labelled = labels.labelled()
    if not len(labelled):
        raise RedDinoError(f"{out}: no cell has a label to write")
    (write_coco if form == "coco" else write_label_studio)(labelled, out)


def _opened(
    database: str | Path, table: str | Path | None, images: str | Path | None, adding: Sequence[str | Path]
) -> ReviewDatabase:
    """Open a review, with the cells of its table where something is to be taken in."""
    if not adding:
        return ReviewDatabase.open_existing(database)
    if table is None:
        raise RedDinoError(f"{database}: the embedding table is needed to take something in; give --table")
    cells = open_table(table).manifest()
    if images is not None:
        root = read_manifest(images).root
    else:
        with ReviewDatabase.open_existing(database) as begun:
            root = begun.pictures()
    return ReviewDatabase.open(database, replace(cells, root=root))
