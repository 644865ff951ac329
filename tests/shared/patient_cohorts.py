"""Cohorts of synthetic patients with toy vectors of their cells, as tables, files and folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from toy_tables import table

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_writer import TableWriter
from reddino.foundations.exports import write_csv
from reddino.synthetic.choices import Adds
from reddino.synthetic.cohorts import CLINICAL_COLUMNS, CohortPatient, draw_cohort
from reddino.synthetic.morphologies import MORPHOLOGIES
from reddino.views.spec import ViewSpec

#: A direction of its own for every shape: how well a mean shows them does not hang on a draw.
DIM, CELLS = len(MORPHOLOGIES), 40


def drawn_patients(
    patients: int = 120, seed: int = 0, *, adds: Adds = "something", confounded: bool = False
) -> list[CohortPatient]:
    """Patients of three laboratories."""
    return draw_cohort(patients, adds=adds, confounded=confounded, seed=seed)


def cell_table(members: list[CohortPatient], seed: int = 0) -> Embeddings:
    """Cells whose vectors are their shape's, with noise and a shift of the laboratory."""
    world, rng = np.random.default_rng(5), np.random.default_rng([seed, 5])
    shapes, shifts = 3.5 * np.eye(DIM), 0.5 * world.normal(size=(9, DIM))
    vectors, patient, source, label = [], [], [], []
    for one in members:
        shape = rng.choice(len(MORPHOLOGIES), CELLS, p=one.mix())
        vectors.append(shapes[shape] + shifts[one.laboratory] + 0.3 * rng.normal(size=(CELLS, DIM)))
        label += [MORPHOLOGIES[number] for number in shape.tolist()]
        patient += [one.name] * CELLS
        source += [f"lab {one.laboratory}"] * CELLS
    slide = [f"{one}-s" for one in patient]
    cells = table(np.concatenate(vectors), label=label, patient=patient, source=source, slide=slide)
    return replace(cells, table=cells.table.append_column("view_side", pa.array([8.0] * len(patient))))


def write_clinical(path: Path, members: list[CohortPatient], *, with_source: bool = False) -> Path:
    """Write the clinical table with the column `diagnosis`."""
    rows = [
        (
            one.name,
            *([f"lab {one.laboratory}"] if with_source else []),
            *("" if value is None else str(value) for value in one.clinical),
            "disease" if one.diseased else "control",
        )
        for one in members
    ]
    header = ("patient", *(["source"] if with_source else []), *CLINICAL_COLUMNS, "diagnosis")
    write_csv(path, header, rows)
    return path


def write_cells(folder: Path, cells: Embeddings) -> Path:
    """Write the cells as an embedding table."""
    rows = len(cells)
    meta = {
        **cells.meta, "view": ViewSpec(kind="cells", side=8.0, unit="px", output=8).metadata(),
        "precision": "fp32", "dim": DIM, "dtype": "float32", "images": rows, "part_rows": 4096 * 16,
        "provenance": {"command": "reddino embed", "version": "0"},
    }  # fmt: skip
    writer = TableWriter(folder, meta, cells.table.schema)
    writer.write(PartRecord(0, rows, rows, rows), cells.table, cells.vectors)
    return folder
