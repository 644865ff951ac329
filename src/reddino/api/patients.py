"""Patients: does the picture of the cells add to clinical columns?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reddino.api.sole_writer import sole_writer
from reddino.classification.classifier import open_classifier
from reddino.embedding.table_on_disk import TableOnDisk, open_table
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes, provenance
from reddino.patients.choices import (
    OPTIONAL_MODELS,
    PATIENT_PROTOCOLS,
    PICTURE_KINDS,
    OptionalModel,
    PatientProtocol,
    PictureKind,
)
from reddino.patients.clinical_columns import require_some
from reddino.patients.clinical_table import ClinicalTable, read_clinical
from reddino.patients.cohort import match
from reddino.patients.evaluation import PatientScores, evaluate_cohort
from reddino.patients.exploration import explore_cohort
from reddino.patients.model_folder import open_patient_model, require_free, save_patient_model
from reddino.patients.patient_model import PatientModel, fit_patient_model
from reddino.patients.prediction import (
    EMBEDDING_KEYS,
    PredictedPatient,
    predict_all,
    write_predicted,
)
from reddino.patients.result_files import write_scores

log = logging.getLogger(__name__)


@sole_writer(folders=("out",))
def evaluate_patients(
    table: str | Path,
    *,
    clinical: str | Path,
    target: str,
    out: str | Path | None = None,
    positive: str | None = None,
    patient: str = "patient",
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    picture: PictureKind = "mean",
    classifier: str | Path | None = None,
    also: Sequence[OptionalModel] = (),
    protocol: PatientProtocol = "patients",
    folds: int = 5,
    repeats: int = 10,
    matched_only: bool = False,
    join_sources: bool = False,
    keep_border: bool = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> list[PatientScores]:
    """Score clinical columns alone, the picture of a patient's cells alone, and both, on held-out patients.

    Everything that is learned (medians, principal components, penalties, the weights of the fusion) is
    learned from training patients. Models: `clinical`, `picture` and `both` (late fusion), `both, one linear
    model`, `both` with one side withheld at prediction, and those of `also`.

    Args:
        table: folder of an embedding table whose manifest names patients.
        clinical: .csv, .xlsx or .parquet, one row per patient.
        target: its column of the classes; patients without one are left out.
        out: folder for results.csv, predictions.csv, results.json and the curves; None writes nothing.
        positive: of two classes, the one that AUROC is about; the second by name, if None.
        patient: column of the ids in the clinical table.
        drop: clinical columns to leave out.
        categories: clinical columns whose numbers are codes.
        picture: mean of the cells' vectors, or moments: also their spread and quantiles.
        classifier: folder of a fitted classifier, whose class fractions are scored as another picture.
        also: boosted (trees), attention or set-transformer (over cells).
        protocol: patients, or leave-one-source-out, next to which the former is scored too.
        folds: of the outer cross-validation.
        repeats: of it, each with other folds.
        matched_only: leave out patients without cells or without a clinical row, instead of refusing.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells and moments see, at most, resampled by seed; 0: as many as
            fit into 1 GB. Means are over all cells.
        seed: of folds, fits and resamples.

    Returns:
        The scores of each protocol, the requested one first.

    Raises:
        RedDinoError: names the column, row, patient or class that is at fault.
    """
    _require("protocol", protocol, PATIENT_PROTOCOLS)
    _require("picture", picture, PICTURE_KINDS)
    for one in also:
        _require("also", one, OPTIONAL_MODELS)
    rows = read_clinical(clinical, target=target, patient=patient, drop=drop, categories=categories)
    cells = open_table(table)
    cohort = match(
        cells,
        rows,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    scores = evaluate_cohort(
        cohort,
        positive=positive,
        picture=picture,
        classifier=None if classifier is None else open_classifier(classifier),
        protocol=protocol,
        folds=folds,
        repeats=repeats,
        also=also,
        seed=seed,
    )
    if out is not None:
        write_scores(Path(out), scores, rows.columns, _origin(cells, rows, seed))
    return scores


@sole_writer(folders=("out",))
def fit_patients(
    table: str | Path,
    *,
    clinical: str | Path,
    target: str,
    out: str | Path,
    positive: str | None = None,
    patient: str = "patient",
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    picture: PictureKind = "mean",
    folds: int = 5,
    repeats: int = 3,
    matched_only: bool = False,
    join_sources: bool = False,
    keep_border: bool = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> PatientModel:
    """Fit the late fusion of clinical columns and picture to all patients, after scoring it on held-out ones.

    Args:
        table: as for `evaluate_patients`, like the other arguments.
        clinical: see `evaluate_patients`.
        target: see `evaluate_patients`.
        out: a new folder for the model.
        positive: see `evaluate_patients`.
        patient: see `evaluate_patients`.
        drop: see `evaluate_patients`.
        categories: see `evaluate_patients`.
        picture: see `evaluate_patients`.
        folds: of the scores that the model keeps.
        repeats: of these.
        matched_only: see `evaluate_patients`.
        join_sources: see `evaluate_patients`.
        keep_border: see `evaluate_patients`.
        cells_per_patient: see `evaluate_patients`.
        seed: of folds and fits.

    Raises:
        RedDinoError: as `evaluate_patients`; the folder holds a model; no clinical column can be used.
    """
    _require("picture", picture, PICTURE_KINDS)
    require_free(Path(out))
    rows = read_clinical(clinical, target=target, patient=patient, drop=drop, categories=categories)
    require_some(rows.columns, str(clinical))
    cells = open_table(table)
    cohort = match(
        cells,
        rows,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    scores = evaluate_cohort(
        cohort, positive=positive, picture=picture, folds=folds, repeats=repeats, seed=seed
    )[0]
    meta = cells.meta
    model = fit_patient_model(
        cohort.clinical.used,
        cohort.pictures(picture),
        scores.truth,
        scores.classes,
        picture_kind=picture,
        embedding={name: meta.get(name) for name in EMBEDDING_KEYS},
        report={
            "patients": len(cohort),
            "scores": [asdict(row) for row in scores.rows],
            "notes": list(scores.notes),
        },
        provenance=_origin(cells, rows, seed),
        seed=seed,
    )
    save_patient_model(Path(out), model)
    return model


@sole_writer(files=("out",))
def predict_patients(
    model: str | Path,
    table: str | Path | None = None,
    *,
    clinical: str | Path | None = None,
    out: str | Path,
    patient: str = "patient",
    join_sources: bool = False,
    keep_border: bool = False,
) -> list[PredictedPatient]:
    """Predict patients by a fitted model, from both sides or from the one that a patient has.

    Args:
        model: folder of `fit_patients`.
        table: folder of an embedding table of their cells; None where nobody has a picture.
        clinical: their clinical table; None where nobody has one.
        out: .csv file: patient, source, answered_by (both, clinical or picture), class, probabilities.
        patient: column of the ids in the clinical table.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.

    Raises:
        RedDinoError: the table is of another network, view or preprocessing, a column of the model is absent,
            holds other values, is in another unit or holds a category that the model did not learn, or a
            patient has neither side.
    """
    fitted = open_patient_model(model)
    rows = None if clinical is None else read_clinical(clinical, patient=patient, kinds=fitted.learned())
    cells = None if table is None else open_table(table)
    for sentence in [] if rows is None else fitted.far_columns(rows.columns):
        log.warning("%s", sentence)
    found = predict_all(fitted, rows, cells, join_sources=join_sources, keep_border=keep_border)
    write_predicted(Path(out), fitted, found)
    return found


@sole_writer(folders=("out",))
def explore_patients(
    table: str | Path,
    *,
    clinical: str | Path,
    target: str,
    out: str | Path,
    images: str | Path | None = None,
    patient: str = "patient",
    matched_only: bool = False,
    join_sources: bool = False,
    keep_border: bool = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> list[Path]:
    """Draw the map of patients, and the cells that attention weighs most.

    Cells are weighed by attention models that were trained on other patients (five folds).

    Args:
        table: folder of an embedding table whose manifest names patients.
        clinical: their clinical table, of which the target alone is read.
        target: its column of the classes.
        out: folder for map.png, patients.csv, telling_cells.csv and, with `images`, telling_cells.png.
        images: the manifest that was embedded, or the folder that its paths start from.
        patient: column of the ids in the clinical table.
        matched_only: leave out patients without cells or without a clinical row, instead of refusing.
        join_sources: an id is the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells and moments see, at most, resampled by seed; 0: as many as
            fit into 1 GB. Means are over all cells.
        seed: of the map, the folds and the fits.

    Returns:
        The files.

    Raises:
        RedDinoError: names the patient, column or image that is at fault.
    """
    rows = read_clinical(clinical, target=target, patient=patient, kinds={})
    cells = open_table(table)
    cohort = match(
        cells,
        rows,
        matched_only=matched_only,
        join_sources=join_sources,
        keep_border=keep_border,
        cells_per_patient=cells_per_patient,
        seed=seed,
    )
    return explore_cohort(cohort, Path(out), images, seed)


def _origin(cells: TableOnDisk, rows: ClinicalTable, seed: int) -> dict[str, Any]:
    return provenance(
        seed=seed,
        data=hash_bytes(str(cells.meta.get("data", "")).encode(), rows.fingerprint.encode()),
        model=str(cells.meta.get("weights_hash", "")),
    )


def _require(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise RedDinoError(f"no such {name}: '{value}'; choose from {', '.join(known)}")
