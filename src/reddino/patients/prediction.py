"""Predictions of patients by a fitted model: from both sides, or from the one that a patient has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.border import cells_at_border
from reddino.embedding.comparable import same_settings
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv
from reddino.foundations.visible import short
from reddino.patients.cell_table import CellTable
from reddino.patients.choices import PictureKind
from reddino.patients.clinical_table import ClinicalTable
from reddino.patients.cohort import cell_owners, clinical_rows
from reddino.patients.features import patient_pictures
from reddino.patients.patient_model import PatientModel
from reddino.smears.spelling import spelling_key

#: What a table must agree in with the one that a model was fitted on.
EMBEDDING_KEYS = ("weights_hash", "pooling", "view", "preprocessing")


@dataclass(frozen=True)
class PredictedPatient:
    """The prediction of a patient.

    Attributes:
        patient: id, `source` of the cells or the clinical row, "" where neither names one.
        source: see `patient`.
        answered_by: both, clinical or picture.
        probabilities: by class, in the model's order.
    """

    patient: str
    source: str
    answered_by: str
    probabilities: tuple[float, ...]


def predict_all(
    model: PatientModel,
    clinical: ClinicalTable | None,
    cells: Embeddings | TableOnDisk | None,
    *,
    join_sources: bool = False,
    keep_border: bool = False,
) -> list[PredictedPatient]:
    """Predict every patient of a clinical table and of an embedding table.

    Raises:
        RedDinoError: as `reddino.predict_patients`.
    """
    if clinical is None and cells is None:
        raise RedDinoError("nobody to predict: give an embedding table, --clinical, or both")
    by_source = (clinical is None or clinical.sources is not None) and not join_sources
    rows: dict[tuple[str, str], int] = {}
    if clinical is not None:
        rows = clinical_rows(clinical, by_source=by_source)
    pictures: dict[tuple[str, str], NDArray[np.float64]] = {}
    owners: dict[tuple[str, str], str] = {}
    if cells is not None:
        require_same_table(model, cells.meta)
        table = CellTable.of(cells)
        cut = cells_at_border(table.kinds.table)
        kept = np.ones(len(cut), dtype=np.bool_) if keep_border or cut.all() else ~cut
        keys, owners = cell_owners(table.kinds.select(kept), by_source=by_source, join_sources=join_sources)
        known = list(dict.fromkeys(key for key in keys if key[0]))
        number = {key: place for place, key in enumerate(known)}
        owner = np.full(len(table.kinds), -1, dtype=np.int64)
        owner[kept] = [number.get(key, -1) for key in keys]
        if known:
            found = _pictures(table, owner, len(known), model.picture_kind)
            pictures = dict(zip(known, found, strict=True))
    _refuse_two_spellings(rows, pictures)
    everyone = list(dict.fromkeys([*rows, *pictures]))
    if not everyone:
        raise RedDinoError("nobody to predict: no cell of the embedding table has a patient")
    return _predicted(model, everyone, (clinical, rows), pictures, owners)


def _pictures(
    table: CellTable, owner: NDArray[np.int64], patients: int, kind: PictureKind
) -> NDArray[np.float64]:
    """Return the pictures (n, f) of patients, as those that the model was fitted to."""
    if kind == "mean":
        return table.means(owner, patients)
    cells, patient = table.draw(owner, patients, most=0, seed=0)
    return patient_pictures(cells.vectors, patient, patients, kind)


def _refuse_two_spellings(
    rows: Mapping[tuple[str, str], int], pictures: Mapping[tuple[str, str], NDArray[np.float64]]
) -> None:
    """Refuse a patient whom the two tables write apart: each side would answer as for another patient."""
    written = {(spelling_key(name), spelling_key(source)): (name, source) for name, source in pictures}
    for name, source in rows:
        other = written.get((spelling_key(name), spelling_key(source)))
        if other is None or (name, source) in pictures or other in rows:
            continue
        one, two = (
            f"'{short(who)}'{f' of {short(of)}' if of else ''}" for who, of in ((name, source), other)
        )
        raise RedDinoError(
            f"the clinical table has patient {one}, and the embedding table {two}: write it the same in both"
        )


def _predicted(
    model: PatientModel,
    everyone: list[tuple[str, str]],
    clinical: tuple[ClinicalTable | None, Mapping[tuple[str, str], int]],
    pictures: Mapping[tuple[str, str], NDArray[np.float64]],
    owners: Mapping[tuple[str, str], str],
) -> list[PredictedPatient]:
    table, rows = clinical
    columns = None
    if table is not None:
        # One more row, of nothing, for those who have no clinical row.
        places = np.array([rows.get(key, len(table)) for key in everyone], dtype=np.int64)
        columns = [column.with_empty_row().select(places) for column in table.columns]
    width = len(model.picture.mean)
    values = np.array([pictures.get(key, np.full(width, np.nan)) for key in everyone]) if pictures else None
    found, sides = model.probabilities(columns, values)
    return [
        PredictedPatient(key[0], owners.get(key, key[1]), side, tuple(float(one) for one in row))
        for key, side, row in zip(everyone, sides, found, strict=True)
    ]


def require_same_table(model: PatientModel, meta: Mapping[str, Any]) -> None:
    """Refuse an embedding table of another network, pooling, view or preprocessing."""
    for name in EMBEDDING_KEYS:
        own, other = model.embedding.get(name), meta.get(name)
        if not same_settings(own, other):
            what = name.replace("_", " ")
            raise RedDinoError(
                f"the embedding table does not fit the model of patients: its {what} differs; embed "
                "the smears with the model and options that its table was made with"
            )


def write_predicted(path: Path, model: PatientModel, found: list[PredictedPatient]) -> None:
    """Write a row per patient: id, source, which side answered, the class, and a probability by class."""
    header = ("patient", "source", "answered_by", "predicted", *(f"p_{name}" for name in model.classes))
    write_csv(
        path,
        header,
        [
            (
                one.patient,
                one.source,
                one.answered_by,
                model.classes[int(np.argmax(one.probabilities))],
                *(f"{value:.6f}" for value in one.probabilities),
            )
            for one in found
        ],
    )
