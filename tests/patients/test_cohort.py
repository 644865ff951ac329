"""Cohorts: who is matched, and which contradictions between cells and clinical rows are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from patient_cohorts import cell_table, drawn_patients, write_clinical

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.patients.clinical_table import ClinicalTable, read_clinical
from reddino.patients.cohort import match

MEMBERS = drawn_patients(12)


@pytest.fixture
def clinical(tmp_path: Path) -> ClinicalTable:
    return read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")


def _with(cells: Embeddings, **columns: list[str]) -> Embeddings:
    table = cells.table
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return replace(cells, table=table)


def test_match__pairs_cells_with_rows_whatever_their_order(clinical: ClinicalTable) -> None:
    cells = cell_table(MEMBERS)
    order = np.random.default_rng(0).permutation(len(cells))
    cohort = match(cells.select(order), clinical.select(np.arange(len(clinical))[::-1]))
    for row, name in enumerate(cohort.clinical.patients):
        own = cohort.cells.select(cohort.patient == row)
        assert set(own.strings("patient")) == {name}
        assert set(own.strings("source")) == {cohort.sources[row]}
    assert cohort.counts.tolist() == [40] * 12
    assert cohort.notes == ()


def test_match__names_who_has_no_row_and_how_it_is_written(clinical: ClinicalTable) -> None:
    cells = cell_table(MEMBERS)
    renamed = [name.upper() if name == MEMBERS[3].name else name for name in cells.strings("patient")]
    with pytest.raises(
        RedDinoError, match=r"1 patient not in the clinical table: 'C0-0003' \('c0-0003' is there"
    ):
        match(_with(cells, patient=renamed), clinical)


def test_match__names_who_has_no_cells(clinical: ClinicalTable) -> None:
    few = cell_table(MEMBERS[2:])
    with pytest.raises(RedDinoError, match="2 patients not in the embedding table: 'c0-0000', 'c0-0001'"):
        match(few, clinical)
    cohort = match(few, clinical, matched_only=True)
    assert len(cohort) == 10
    assert cohort.notes == ("Left out: 2 patients without cells, 0 patients without a clinical row.",)


def test_match__refuses_cells_without_a_patient(clinical: ClinicalTable) -> None:
    cells = cell_table(MEMBERS)
    ids = ["" if row < 5 else name for row, name in enumerate(cells.strings("patient"))]
    with pytest.raises(RedDinoError, match="5 of 480 cells have no patient"):
        match(_with(cells, patient=ids), clinical)
    assert match(_with(cells, patient=ids), clinical, matched_only=True).counts.tolist()[0] == 35


def test_match__refuses_a_slide_of_two_patients(clinical: ClinicalTable) -> None:
    cells = cell_table(MEMBERS)
    other = next(row for row, one in enumerate(MEMBERS) if row and one.laboratory == MEMBERS[0].laboratory)
    slides = cells.strings("slide")
    slides[other * 40] = slides[0]
    with pytest.raises(RedDinoError, match="1 slide of two patients, first 'c0-0000-s' of c0-0000"):
        match(_with(cells, slide=slides), clinical)


def test_match__refuses_an_id_of_two_sources_unless_it_is_said_to_be_one_patient(tmp_path: Path) -> None:
    cells = cell_table(MEMBERS)
    sources = ["elsewhere" if row == 0 else name for row, name in enumerate(cells.strings("source"))]
    cells = _with(cells, source=sources, slide=[str(row) for row in range(len(cells))])
    plain = read_clinical(write_clinical(tmp_path / "c.csv", MEMBERS), target="diagnosis")
    with pytest.raises(RedDinoError, match="1 patient id under several sources, first 'c0-0000'"):
        match(cells, plain)
    assert match(cells, plain, join_sources=True).counts.tolist() == [40] * 12


def test_match__knows_patients_by_id_and_source_where_both_name_it(tmp_path: Path) -> None:
    twins = [replace(MEMBERS[0], name="twin", laboratory=0), replace(MEMBERS[1], name="twin", laboratory=1)]
    members = [*twins, *MEMBERS[2:]]
    cells = cell_table(members)
    slides = [f"{row // 40}" for row in range(len(cells))]
    clinical = read_clinical(
        write_clinical(tmp_path / "c.csv", members, with_source=True), target="diagnosis"
    )
    cohort = match(_with(cells, slide=slides), clinical)
    assert cohort.clinical.patients[:2] == ("twin", "twin")
    assert cohort.sources[:2] == ("lab 0", "lab 1")
    assert cohort.counts.tolist() == [40] * 12
    with pytest.raises(RedDinoError, match="patient 'twin' has several rows of the clinical table"):
        match(_with(cells, slide=slides), clinical, join_sources=True)
    with pytest.raises(RedDinoError, match="'twin' is there twice"):
        read_clinical(write_clinical(tmp_path / "d.csv", members), target="diagnosis")


def test_match__leaves_out_and_counts_patients_without_a_target(clinical: ClinicalTable) -> None:
    assert clinical.target is not None
    unknown = replace(clinical, target=("", *clinical.target[1:]))
    cohort = match(cell_table(MEMBERS), unknown)
    assert len(cohort) == 11
    assert cohort.patient.max() == 10
    assert cohort.notes == ("1 patient left out, since the target is empty.",)


def test_match__refuses_tables_without_a_common_patient(clinical: ClinicalTable) -> None:
    others = cell_table(drawn_patients(12))
    others = _with(others, patient=[f"x{name}" for name in others.strings("patient")])
    with pytest.raises(RedDinoError, match="no patient is in both the clinical table and the embedding"):
        match(others, clinical, matched_only=True)


def test_match__tells_patients_of_cut_cells_from_those_without_cells(clinical: ClinicalTable) -> None:
    cells = cell_table(MEMBERS)
    names = cells.strings("patient")

    def cut(whose: set[str]) -> Embeddings:
        table = cells.table
        if "at_border" in table.column_names:
            table = table.drop_columns(["at_border"])
        return replace(cells, table=table.append_column("at_border", pa.array([n in whose for n in names])))

    with pytest.raises(
        RedDinoError, match=r"1 patient not in the embedding table \(1 of them with cut cells"
    ):
        match(cut({MEMBERS[0].name}), clinical)
    assert match(cut(set(names)), clinical).notes == (
        "The border of their image cuts every cell: all are kept.",
    )
