"""Cohorts: the patients of an embedding table, their cells, and their rows of a clinical table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reddino.embedding.border import cells_at_border
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import short
from reddino.patients.cell_table import CellTable
from reddino.patients.choices import PictureKind
from reddino.patients.clinical_table import ClinicalTable
from reddino.patients.features import patient_pictures
from reddino.smears.identities import several_of, under_several
from reddino.smears.spelling import spelling_key

#: Names that an error lists.
_NAMED = 5


@dataclass(frozen=True)
class Cohort:
    """Patients with cells and clinical values.

    Attributes:
        clinical: a row per patient, in the order of `patients`.
        sources: (n,) the source of each patient's cells, "" where missing.
        table: the embedding table.
        owner: (k,) number of the patient of each of the table's `kinds`, -1 for cells that do not count.
        notes: for the reader of the scores.
        cells_per_patient: held for models over cells; 0: as many as fit into 1 GB.
        seed: of their draw.
    """

    clinical: ClinicalTable
    sources: tuple[str, ...]
    table: CellTable
    owner: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    cells_per_patient: int = 0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.clinical)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each patient (n,)."""
        counted_kinds = self.owner >= 0
        weights = self.table.cells_of_kind[counted_kinds]
        return np.bincount(self.owner[counted_kinds], weights, len(self)).astype(np.int64)

    @property
    def cells(self) -> Embeddings:
        """The cells that models over cells see, sorted by patient."""
        return self._drawn[0]

    @property
    def patient(self) -> NDArray[np.int64]:
        """The number of the patient of each of `cells` (m,)."""
        return self._drawn[1]

    @cached_property
    def _drawn(self) -> tuple[Embeddings, NDArray[np.int64]]:
        return self.table.draw(self.owner, len(self), self.cells_per_patient, self.seed)

    def pictures(self, kind: PictureKind = "mean") -> NDArray[np.float64]:
        """Return the picture of each patient (n, f): a mean is over all cells, moments over `cells`."""
        if kind == "mean":
            return self.table.means(self.owner, len(self))
        return patient_pictures(self.cells.vectors, self.patient, len(self), kind)

    def means(self, of: Callable[[Embeddings], NDArray[np.floating]]) -> NDArray[np.float64]:
        """Return the mean (n, d) of what `of` finds of cells (m, d), over all cells of each patient."""
        return self.table.means(self.owner, len(self), of)


def match(
    cells: Embeddings | TableOnDisk,
    clinical: ClinicalTable,
    *,
    matched_only: bool = False,
    join_sources: bool = False,
    keep_border: bool = False,
    cells_per_patient: int = 0,
    seed: int = 0,
) -> Cohort:
    """Match the patients of an embedding table with the rows of a clinical table.

    Where both name sources, a patient is known by id and source; else an id that occurs under several
    sources is refused unless `join_sources` declares that it is one patient.

    Args:
        cells: the embedding table; its column `patient` names the patients.
        clinical: a row per patient; rows without a target are left out and counted.
        matched_only: leave out who is in one of them alone, and cells without a patient, instead of refusing.
        join_sources: an id means the same patient under every source.
        keep_border: keep cells that the border of their image cuts.
        cells_per_patient: that models over cells see, at most; 0: as many as fit into 1 GB.
        seed: of their draw.

    Raises:
        RedDinoError: names who has no match, slides of two patients, and ids of several sources.
    """
    notes: list[str] = []
    by_source = clinical.sources is not None and not join_sources
    table = CellTable.of(cells)
    everyone = set(
        patient_keys(table.kinds.names("patient"), _column(table.kinds, "source") if by_source else None)
    )
    kept = np.ones(len(table.kinds), dtype=np.bool_) if keep_border else _whole(table, notes)
    keys, owners = cell_owners(table.kinds.select(kept), by_source=by_source, join_sources=join_sources)
    rows = clinical_rows(clinical, by_source=by_source)
    sizes = table.cells_of_kind[kept]
    nameless = int(sizes[[key[0] == "" for key in keys]].sum())
    if nameless and not matched_only:
        raise RedDinoError(
            f"{nameless} of {sizes.sum()} cells have no patient: fill the manifest's column 'patient', or "
            "leave them out with --matched-only"
        )
    _require_match(
        [key for key in dict.fromkeys(keys) if key[0] and key not in rows],
        list(rows), "the clinical table", matched_only,
    )  # fmt: skip
    have = set(keys)
    without = [key for key in rows if key not in have]
    cut = sum(key in everyone for key in without)
    where = f"the embedding table{f' ({cut} of them with cut cells alone: --keep-border)' if cut else ''}"
    _require_match(without, list(have), where, matched_only)
    known = [key for key in rows if key in have]
    if not known:
        raise RedDinoError(
            "no patient is in both the clinical table and the embedding table: write ids (and sources) the "
            "same in both"
        )
    left_out = len(rows) - len(known), len({key for key in have if key[0]}) - len(known)
    if any(left_out):
        notes.append(
            f"Left out: {counted(left_out[0], 'patient')} without cells, {counted(left_out[1], 'patient')} "
            "without a clinical row."
        )
    chosen = clinical.select(np.array([rows[key] for key in known], dtype=np.int64))
    chosen, known = _with_target(chosen, known, notes)
    number = {key: place for place, key in enumerate(known)}
    owner = np.full(len(table.kinds), -1, dtype=np.int64)
    owner[kept] = [number.get(key, -1) for key in keys]
    sources = tuple(owners[key] for key in known)
    cohort = Cohort(chosen, sources, table, owner, (), cells_per_patient, seed)
    return replace(cohort, notes=(*notes, *_drawn_note(cohort)))


def _drawn_note(cohort: Cohort) -> list[str]:
    """Return that models over cells do not see all of them, where that is so."""
    most = cohort.cells_per_patient or cohort.table.most_cells(max(1, len(cohort)))
    over = int((cohort.counts > most).sum())
    if not over:
        return []
    return [
        f"Models over cells and moments see {most:,} sampled cells of each of {counted(over, 'patient')}: "
        "these have more (--cells-per-patient); means are over all cells."
    ]


def _whole(table: CellTable, notes: list[str]) -> NDArray[np.bool_]:
    """Return which kinds of cells the border of their image does not cut, all where it cuts each; note it."""
    cut = cells_at_border(table.kinds.table)
    if not cut.any():
        return ~cut
    if cut.all():
        notes.append("The border of their image cuts every cell: all are kept.")
        return cut
    count = int(table.cells_of_kind[cut].sum())
    notes.append(f"{counted(count, 'cell')} left out, cut by the border of their image (--keep-border).")
    return ~cut


def _with_target(
    table: ClinicalTable, known: list[tuple[str, str]], notes: list[str]
) -> tuple[ClinicalTable, list[tuple[str, str]]]:
    """Return the patients whose target is known."""
    if table.target is None:
        return table, known
    rows = np.flatnonzero([value != "" for value in table.target])
    if len(rows) < len(known):
        notes.append(f"{counted(len(known) - len(rows), 'patient')} left out, since the target is empty.")
    return table.select(rows), [known[row] for row in rows.tolist()]


def _column(cells: Embeddings, name: str) -> list[str]:
    return cells.names(name) if name in cells.table.column_names else [""] * len(cells)


def cell_owners(
    cells: Embeddings, *, by_source: bool, join_sources: bool
) -> tuple[list[tuple[str, str]], dict[tuple[str, str], str]]:
    """Return the key of each cell's patient (m,), with an empty id where it has none, and the source by key.

    Args:
        cells: the embedding table.
        by_source: a patient is known by id and source.
        join_sources: an id means the same patient under every source.

    Raises:
        RedDinoError: a slide or picture of two patients; an id of several sources that nothing distinguishes.
    """
    ids, sources = cells.names("patient"), _column(cells, "source")
    _refuse_shared_slides(cells, ids, sources)
    if not by_source and not join_sources:
        _refuse_several_sources(ids, sources)
    keys = patient_keys(ids, sources if by_source else None)
    return keys, dict(zip(keys, sources, strict=True))


def clinical_rows(clinical: ClinicalTable, *, by_source: bool) -> dict[tuple[str, str], int]:
    """Return the row of each patient, by key.

    Raises:
        RedDinoError: an id has several rows, which sources alone distinguish.
    """
    keys = patient_keys(clinical.patients, clinical.sources if by_source else None)
    rows = {key: row for row, key in enumerate(keys)}
    if len(rows) < len(keys):
        twice = next(key[0] for row, key in enumerate(keys) if rows[key] != row)
        raise RedDinoError(
            f"patient '{short(twice)}' has several rows of the clinical table, which only their source "
            "distinguishes: leave --join-sources out, or keep one row per patient"
        )
    return rows


def patient_keys(ids: Sequence[str], sources: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return what patients are known by: (id, source), or (id, "") where sources do not count."""
    return [(name, "") for name in ids] if sources is None else list(zip(ids, sources, strict=True))


def _refuse_several_sources(ids: Sequence[str], sources: Sequence[str]) -> None:
    shared = under_several(ids, sources)
    if shared:
        name, under = next(iter(shared.items()))
        raise RedDinoError(
            f"{counted(len(shared), 'patient id')} under several sources, first '{short(name)}' of "
            f"{', '.join(map(short, under[:_NAMED]))}: give the clinical table a column 'source', or declare "
            "with --join-sources that one id is one patient"
        )


def _refuse_shared_slides(cells: Embeddings, ids: Sequence[str], sources: Sequence[str]) -> None:
    for column in ("slide", "path"):
        if column not in cells.table.column_names:
            continue
        holders = [
            f"{source}\0{value}" if value else ""
            for source, value in zip(sources, cells.names(column), strict=True)
        ]
        shared = several_of(holders, ids)
        if shared:
            holder, patients = next(iter(shared.items()))
            what = "slide" if column == "slide" else "picture"
            name = short(holder.partition("\0")[2])
            raise RedDinoError(
                f"{counted(len(shared), what)} of two patients, first '{name}' of "
                f"{', '.join(map(short, patients[:_NAMED]))}: correct the manifest"
            )


def _require_match(
    lonely: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]], where: str, matched_only: bool
) -> None:
    """Refuse patients that are not in the other table, with the name that may be meant."""
    if not lonely or matched_only:
        return
    written = {spelling_key(name): name for name, _ in others}
    names = [
        f"'{short(name)}'" + (f" of {short(source)}" if source else "") for name, source in lonely[:_NAMED]
    ]
    near = written.get(spelling_key(lonely[0][0]))
    hint = f" ('{short(near)}' is there: write it the same in both)" if near and near != lonely[0][0] else ""
    more = f" and {len(lonely) - _NAMED} more" if len(lonely) > _NAMED else ""
    raise RedDinoError(
        f"{counted(len(lonely), 'patient')} not in {where}: {', '.join(names)}{more}{hint}; add them, or "
        "leave them out with --matched-only"
    )
