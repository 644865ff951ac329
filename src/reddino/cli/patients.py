"""Patients: does the picture of the cells add to clinical columns?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, show_log, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.visible import short
from reddino.patients.choices import OptionalModel, PatientProtocol, PictureKind

patients_app = App(
    name="patients",
    help="Score what the cells' picture of a patient adds to clinical columns.",
    help_format="plaintext",
)
app.command(patients_app)
#: Metrics on the screen, and their titles.
_SHOWN = {"auroc": "AUROC", "macro_f1": "macro F1", "balanced_accuracy": "bAcc", "brier": "Brier"}


@patients_app.command
def evaluate(
    table: Path,
    /,
    *,
    clinical: Path,
    target: str,
    out: Path,
    positive: str | None = None,
    patient: str = "patient",
    drop: Annotated[Sequence[str], Several] = (),
    categories: Annotated[Sequence[str], Several] = (),
    picture: PictureKind = "mean",
    classifier: Path | None = None,
    also: Annotated[Sequence[OptionalModel], Several] = (),
    protocol: PatientProtocol = "patients",
    folds: int = 5,
    repeats: int = 10,
    matched_only: Annotated[bool, Parameter(negative=())] = False,
    join_sources: Annotated[bool, Parameter(negative=())] = False,
    keep_border: Annotated[bool, Parameter(negative=())] = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> None:
    """Score clinical columns alone, the picture of a patient's cells alone, and both, on held-out patients.

    Args:
        table: folder of an embedding table whose manifest names patients.
        clinical: .csv, .xlsx or .parquet, one row per patient.
        target: its column of the classes; patients without one are left out.
        out: folder for results.csv, predictions.csv, results.json and the curves.
        positive: of two classes, the one that AUROC is about; the second by name, if not given.
        patient: column of the ids in the clinical table.
        drop: clinical columns to leave out.
        categories: clinical columns whose numbers are codes.
        picture: what linear models read of the cells: mean of their vectors, or moments (spread and quantiles
            too).
        classifier: folder of a fitted classifier, whose class fractions are scored as another picture.
        also: boosted (trees), attention or set-transformer (over cells).
        protocol: patients, or leave-one-source-out, next to which the former is scored too.
        folds: of the outer cross-validation.
        repeats: of it, each with other folds.
        matched_only: leave out patients without cells or without a clinical row, instead of refusing.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells and moments see, at most; 0: as many as fit into 1 GB.
        seed: of folds, fits and resamples.
    """
    show_log()
    scores = reddino.evaluate_patients(
        table,
        clinical=clinical,
        target=target,
        out=out,
        positive=positive,
        patient=patient,
        drop=drop,
        categories=categories,
        picture=picture,
        classifier=classifier,
        also=also,
        protocol=protocol,
        folds=folds,
        repeats=repeats,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    main = scores[0]
    about = f" of {short(main.classes[1])}" if len(main.classes) == 2 else ""
    for one in scores:
        held_out = (
            "each source left out" if one.protocol != "patients" else f"{len(one.repeats)} x {folds} folds"
        )
        title = (
            f"{counted(len(one.patients), 'patient')}, {held_out}; AUROC{about}; 95 % intervals over patients"
        )
        show_tables([_table(one, title)])
    for power in main.powers[:1]:
        needed = "no number" if power.patients is None else f"some {power.patients:,}"
        print_line(
            f"{power.difference}: {power.value:+.3f} AUROC. By the spread measured here, as many patients "
            f"show a difference of {power.smallest:.3f} with 80 % power, and one of this size takes {needed}."
        )
    for note in main.notes:
        complain(note)
    print_line(f"{out / 'results.csv'}, with predictions.csv, results.json and the curves next to it")
    print_line("Not a medical device: for research only.")


@patients_app.command
def fit(
    table: Path,
    /,
    *,
    clinical: Path,
    target: str,
    out: Path,
    positive: str | None = None,
    patient: str = "patient",
    drop: Annotated[Sequence[str], Several] = (),
    categories: Annotated[Sequence[str], Several] = (),
    picture: PictureKind = "mean",
    folds: int = 5,
    repeats: int = 3,
    matched_only: Annotated[bool, Parameter(negative=())] = False,
    join_sources: Annotated[bool, Parameter(negative=())] = False,
    keep_border: Annotated[bool, Parameter(negative=())] = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> None:
    """Fit the fusion of clinical columns and picture to all patients, after scoring it on held-out ones.

    Args:
        table: folder of an embedding table whose manifest names patients.
        clinical: .csv, .xlsx or .parquet, one row per patient.
        target: its column of the classes; patients without one are left out.
        out: a new folder for the model.
        positive: of two classes, the one that AUROC is about; the second by name, if not given.
        patient: column of the ids in the clinical table.
        drop: clinical columns to leave out.
        categories: clinical columns whose numbers are codes.
        picture: mean of the cells' vectors, or moments (spread and quantiles too).
        folds: of the scores that the model keeps.
        repeats: of these.
        matched_only: leave out patients without cells or without a clinical row, instead of refusing.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells and moments see, at most; 0: as many as fit into 1 GB.
        seed: of folds and fits.
    """
    show_log()
    model = reddino.fit_patients(
        table,
        clinical=clinical,
        target=target,
        out=out,
        positive=positive,
        patient=patient,
        drop=drop,
        categories=categories,
        picture=picture,
        folds=folds,
        repeats=repeats,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    kept = {(row["model"], row["metric"]): row for row in model.report["scores"]}
    for name in ("clinical", "picture", "both", "both - clinical"):
        row = kept.get((name, "auroc"))
        if row is not None:
            print_line(f"{name}: AUROC {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}), held out")
    for note in model.report["notes"]:
        complain(note)
    print_line(f"{out}: reads {', '.join(short(name) for name, _ in model.columns)}, and the picture")


@patients_app.command
def predict(
    model: Path,
    table: Path | None = None,
    /,
    *,
    clinical: Path | None = None,
    out: Path,
    patient: str = "patient",
    join_sources: Annotated[bool, Parameter(negative=())] = False,
    keep_border: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Predict patients from both sides, or from the one that a patient has.

    Args:
        model: folder of patients fit.
        table: folder of an embedding table of their cells; left out where nobody has a picture.
        clinical: their clinical table; left out where nobody has one.
        out: .csv file: patient, source, answered_by (both, clinical or picture), class, probabilities.
        patient: column of the ids in the clinical table.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
    """
    show_log()
    found = reddino.predict_patients(
        model,
        table,
        clinical=clinical,
        out=out,
        patient=patient,
        join_sources=join_sources,
        keep_border=keep_border,
    )
    sides = Counter(one.answered_by for one in found)
    by_side = ", ".join(f"{count} by {side}" for side, count in sorted(sides.items()))
    print_line(f"{out}: {counted(len(found), 'patient')}, {by_side}")
    print_line("Not a medical device: for research only.")


@patients_app.command
def explore(
    table: Path,
    /,
    *,
    clinical: Path,
    target: str,
    out: Path,
    images: Path | None = None,
    patient: str = "patient",
    matched_only: Annotated[bool, Parameter(negative=())] = False,
    join_sources: Annotated[bool, Parameter(negative=())] = False,
    keep_border: Annotated[bool, Parameter(negative=())] = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> None:
    """Draw the map of patients, and the cells that attention weighs most.

    Cells are weighed by attention models that were trained on other patients (five folds).

    Args:
        table: folder of an embedding table whose manifest names patients.
        clinical: their clinical table, of which the target alone is read.
        target: its column of the classes.
        out: folder for map.png, patients.csv, telling_cells.csv and, with --images, telling_cells.png.
        images: the manifest that was embedded, or the folder that its paths start from.
        patient: column of the ids in the clinical table.
        matched_only: leave out patients without cells or without a clinical row, instead of refusing.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells and moments see, at most; 0: as many as fit into 1 GB.
        seed: of the map, the folds and the fits.
    """
    show_log()
    written = reddino.explore_patients(
        table,
        clinical=clinical,
        target=target,
        out=out,
        images=images,
        patient=patient,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    print_line(f"{out}: {', '.join(file.name for file in written)}")


def _table(scores: reddino.PatientScores, title: str) -> Table:
    shown = Table("model", title=title)
    for name in _SHOWN.values():
        shown.add_column(name, justify="right")
    for model in dict.fromkeys(row.model for row in scores.rows):
        cells = []
        for metric in _SHOWN:
            row = scores.row(model, metric)
            sign = "+" if " - " in model else ""
            if row is None:
                cells.append("-")
            elif row.low is None or row.high is None:
                cells.append(f"{row.value:{sign}.3f}")
            else:
                cells.append(f"{row.value:{sign}.3f} ({row.low:.3f} to {row.high:.3f})")
        shown.add_row(model, *cells)
    return shown
