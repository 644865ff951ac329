"""The cells of patients, read part by part: the same means, owners and draws as in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from patient_cohorts import DIM, cell_table, drawn_patients, write_clinical

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_on_disk import open_table
from reddino.embedding.table_writer import TableWriter
from reddino.foundations.errors import RedDinoError
from reddino.patients.cell_table import CellTable
from reddino.patients.clinical_table import read_clinical
from reddino.patients.cohort import match
from reddino.patients.features import patient_pictures
from reddino.smears.column_names import AT_BORDER
from reddino.views.spec import ViewSpec

MEMBERS = drawn_patients(12)


def _stored(folder: Path, cells: Embeddings, parts: int, dtype: str = "float32") -> Path:
    """Write cells as a table of several parts."""
    meta = {
        **cells.meta, "view": ViewSpec(kind="cells", side=8.0, unit="px", output=8).metadata(),
        "precision": "fp32", "dim": DIM, "dtype": dtype, "images": parts, "part_rows": 64,
        "provenance": {"command": "reddino embed", "version": "0"},
    }  # fmt: skip
    writer = TableWriter(folder, meta, cells.table.schema)
    for number, rows in enumerate(np.array_split(np.arange(len(cells)), parts)):
        own = cells.select(rows)
        writer.write(PartRecord(number, number + 1, len(rows), len(rows)), own.table, own.vectors)
    return folder


def _mixed(cells: Embeddings) -> Embeddings:
    """Cells of patients that do not lie together, some of them cut by a border."""
    rng = np.random.default_rng(3)
    mixed = cells.select(rng.permutation(len(cells)))
    cut = pa.array(rng.random(len(cells)) < 0.1)
    return replace(mixed, table=mixed.table.append_column(AT_BORDER, cut))


def test_cohort__of_parts_on_disk_is_that_in_memory(tmp_path: Path) -> None:
    cells = _mixed(cell_table(MEMBERS))
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")
    memory = match(cells, clinical)
    disk = match(open_table(_stored(tmp_path / "t", cells, 7)), clinical)
    assert memory.notes == disk.notes
    assert memory.sources == disk.sources
    assert memory.counts.tolist() == disk.counts.tolist()
    assert disk.counts.sum() < len(cells)
    np.testing.assert_allclose(memory.pictures(), disk.pictures(), rtol=1e-12)
    np.testing.assert_array_equal(memory.pictures("moments"), disk.pictures("moments"))
    np.testing.assert_array_equal(memory.patient, disk.patient)
    np.testing.assert_array_equal(memory.cells.vectors, disk.cells.vectors)
    assert memory.cells.strings("path") == disk.cells.strings("path")


def test_means__are_those_of_all_cells_of_each_patient(tmp_path: Path) -> None:
    cells = _mixed(cell_table(MEMBERS))
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")
    cohort = match(open_table(_stored(tmp_path / "t", cells, 5)), clinical, keep_border=True)
    names = list(cohort.clinical.patients)
    patient = np.array([names.index(one) for one in cells.names("patient")])
    expected = patient_pictures(cells.vectors, patient, len(names))
    np.testing.assert_allclose(cohort.pictures(), expected, rtol=1e-12)
    doubled = cohort.means(lambda part: 2 * part.vectors[:, :3])
    np.testing.assert_allclose(doubled, 2 * expected[:, :3], rtol=1e-6)


def test_draw__takes_so_many_of_each_patient_and_says_so(tmp_path: Path) -> None:
    cells = cell_table(MEMBERS)
    path = _stored(tmp_path / "t", cells, 4, "float16")
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")
    cohort = match(open_table(path), clinical, cells_per_patient=7)
    assert np.bincount(cohort.patient).tolist() == [7] * 12
    assert cohort.counts.tolist() == [40] * 12
    assert cohort.cells.vectors.dtype == np.float16
    names = [cohort.clinical.patients[one] for one in cohort.patient.tolist()]
    assert cohort.cells.names("patient") == names
    assert cohort.notes[-1].startswith(
        "Models over cells and moments see 7 sampled cells of each of 12 patients"
    )
    again = match(open_table(path), clinical, cells_per_patient=7)
    other = match(open_table(path), clinical, cells_per_patient=7, seed=1)
    np.testing.assert_array_equal(again.cells.vectors, cohort.cells.vectors)
    assert not np.array_equal(other.cells.vectors, cohort.cells.vectors)
    assert not any("sampled cells" in note for note in match(open_table(path), clinical).notes)


def test_cells__without_a_patient_or_source_are_counted_one_by_one(tmp_path: Path) -> None:
    cells = cell_table(MEMBERS)
    ids = [None if row < 30 else name for row, name in enumerate(cells.names("patient"))]
    place = cells.table.column_names.index("patient")
    without = replace(cells, table=cells.table.set_column(place, "patient", pa.array(ids, pa.string())))
    clinical = read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")
    stored = open_table(_stored(tmp_path / "t", without, 3))
    with pytest.raises(RedDinoError, match="30 of 480 cells have no patient"):
        match(stored, clinical)
    assert match(stored, clinical, matched_only=True).counts[0] == 10


def test_kinds__are_few_however_many_cells_there_are() -> None:
    cells = cell_table(MEMBERS)
    place = cells.table.column_names.index("path")
    fields = pa.array([f"{row // 20}.png" for row in range(len(cells))])
    table = CellTable.of(replace(cells, table=cells.table.set_column(place, "path", fields)))
    assert len(table) == 480
    assert table.cells_of_kind.tolist() == [20] * 24
