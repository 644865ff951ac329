"""Clinical tables: one row per patient, from CSV, Excel or Parquet."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import read_parquet_file, reading_parquet
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.visible import short
from reddino.patients.clinical_columns import (
    ClinicalColumn,
    LearnedColumn,
    cleaned,
    read_as,
    read_column,
    require_one_spelling,
)
from reddino.smears.manifest_csv import MAX_LINE, read_csv
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import clean, name_key, tidy

#: Rows and columns of a clinical table, at most.
MOST_ROWS, MOST_COLUMNS = 1_000_000, 2_000


@dataclass(frozen=True)
class ClinicalTable:
    """A clinical table: one row per patient.

    Attributes:
        patients: (n,) ids, tidy, each once (of a source, where sources are known).
        sources: (n,) the source of each, or None where the table does not name it.
        columns: the clinical columns, without ids and target.
        target: (n,) the class of each patient, "" where missing; None where none was requested.
        fingerprint: of the file's contents.
    """

    patients: tuple[str, ...]
    sources: tuple[str, ...] | None
    columns: tuple[ClinicalColumn, ...]
    target: tuple[str, ...] | None
    fingerprint: str

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def used(self) -> tuple[ClinicalColumn, ...]:
        """The columns that models read."""
        return tuple(column for column in self.columns if column.kind != "unused")

    def select(self, rows: NDArray[np.int64]) -> ClinicalTable:
        """Return the patients in `rows`, in this order."""
        chosen = rows.tolist()
        return replace(
            self,
            patients=tuple(self.patients[row] for row in chosen),
            sources=None if self.sources is None else tuple(self.sources[row] for row in chosen),
            columns=tuple(column.select(rows) for column in self.columns),
            target=None if self.target is None else tuple(self.target[row] for row in chosen),
        )


def read_clinical(
    path: str | Path,
    *,
    target: str | None = None,
    patient: str = "patient",
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    kinds: Mapping[str, LearnedColumn] | None = None,
) -> ClinicalTable:
    """Read a clinical table.

    Args:
        path: .csv, .xlsx (its first sheet) or .parquet, one row per patient.
        target: column of the classes; rows without one stay, with "".
        patient: column of the ids.
        drop: columns to leave out.
        categories: columns whose numbers are codes of categories.
        kinds: what a model learned of the columns to read, by name; the others are passed over.

    Raises:
        RedDinoError: a column is absent, an id missing or there twice, or a value does not fit its column.
    """
    file = Path(path)
    if not file.is_file():
        raise RedDinoError(f"no clinical table: {file}")
    table, place = _read(file)
    wanted = [patient, *([target] if target else []), *drop, *categories, *(kinds or ())]
    _require(table.column_names, wanted, file)
    _refuse_source_by_another_name(table.column_names, wanted, file)
    texts = {name: _texts(table.column(name)) for name in table.column_names}
    ids = [clean(value) for value in texts[patient]]
    sources = None
    if "source" in texts and "source" not in (target, *drop):
        sources = tuple(clean(value) for value in texts["source"])
    _require_ids(ids, sources or [""] * len(ids), patient, place)
    left_out = {patient, "source", target, *drop}
    if kinds is None:
        columns = tuple(
            read_column(name, texts[name], place, category=name in categories)
            for name in table.column_names
            if name not in left_out
        )
    else:
        columns = tuple(read_as(name, texts[name], place, learned) for name, learned in kinds.items())
    classes = None
    if target is not None:
        classes = cleaned(texts[target])
        require_one_spelling(target, classes, place)
    return ClinicalTable(tuple(ids), sources, columns, classes, hash_bytes(file.read_bytes()))


def _read(file: Path) -> tuple[pa.Table, RowPlace]:
    suffix = file.suffix.lower()
    if suffix == ".csv":
        return _read_semicolons(file) or read_csv(file, _require_distinct)
    if suffix == ".parquet":
        with reading_parquet(file, "as a clinical table"):
            table = read_parquet_file(file)
        _require_distinct(table.column_names, str(file))
        return table, RowPlace(str(file))
    if suffix == ".xlsx":
        return _read_excel(file)
    raise RedDinoError(f"{file}: a clinical table is .csv, .xlsx or .parquet; save it as one of them")


def _read_semicolons(file: Path) -> tuple[pa.Table, RowPlace] | None:
    """Read a CSV that is separated by semicolons, as where commas are decimal; None where it is not."""
    with file.open("rb") as opened:
        first = opened.readline(MAX_LINE)
    if b";" not in first or b"," in first:
        return None
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text, delimiter=";", strict=True)
            if first.removeprefix(codecs.BOM_UTF8).strip().lower() == b"sep=;":
                next(reader)  # Excel's own line
            header = [tidy(name) for name in next(reader)]
            rows, lines = [], []
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    widths = f"{len(cells)} values for {len(header)} columns"
                    raise RedDinoError(f"{file}, line {reader.line_num}: {widths}; mend it")
                rows.append(cells)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise RedDinoError(f"{file} is not UTF-8 text; save it with that encoding, or as .xlsx") from error
    except csv.Error as error:
        raise RedDinoError(
            f"{file}, line {reader.line_num}: {error}; mend it, or save it as .xlsx"
        ) from error
    if "" in header:
        raise RedDinoError(f"{file}: column {header.index('') + 1} has no name; name it or remove it")
    _require_distinct(header, str(file))
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(header)})
    return table, RowPlace(str(file), lambda row: f"line {lines[row]}")


def _read_excel(file: Path) -> tuple[pa.Table, RowPlace]:
    """Read the first sheet of a workbook; of formulas, the values that were saved."""
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError:
        raise RedDinoError(
            f"{file}: Excel files need openpyxl; run `pip install 'reddino[patients]'`, or save it as CSV"
        ) from None
    try:
        book = load_workbook(file, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        if (sheet.max_row or 0) > MOST_ROWS or (sheet.max_column or 0) > MOST_COLUMNS:
            raise RedDinoError(f"{file}: its first sheet is too large; save the patients' rows as CSV")
        rows = [
            list(row) for row in sheet.iter_rows(values_only=True, max_row=MOST_ROWS, max_col=MOST_COLUMNS)
        ]
        book.close()
    except RedDinoError:
        raise
    except Exception as error:
        raise RedDinoError(
            f"{file} cannot be read as .xlsx: {short(str(error))}; save it again, or as CSV"
        ) from error
    filled = [number for number, row in enumerate(rows) if any(cell is not None for cell in row)]
    if not filled or filled[0] != 0:
        raise RedDinoError(f"{file}: its first sheet must start with a row of column names")
    _refuse_formulas_without_value(file, rows)
    width = max(number for number, cell in enumerate(rows[0]) if cell is not None) + 1
    header = ["" if cell is None else clean(str(cell)) for cell in rows[0][:width]]
    if "" in header:
        raise RedDinoError(f"{file}: column {header.index('') + 1} has no name; name it or remove it")
    for number in filled[1:]:
        if any(cell is not None for cell in rows[number][width:]):
            raise RedDinoError(f"{file}, row {number + 1}: has values beyond the named columns; name them")
    _require_distinct(header, str(file))
    body = [rows[number][:width] for number in filled[1:]]
    table = pa.table({name: [_excel_text(row[place]) for row in body] for place, name in enumerate(header)})
    numbers = filled[1:]
    return table, RowPlace(str(file), lambda row: f"row {numbers[row] + 1}")


def _refuse_formulas_without_value(file: Path, values: Sequence[Sequence[Any]]) -> None:
    """Refuse formulas whose value no program saved: they would be read as missing."""
    from openpyxl import load_workbook

    book = load_workbook(file, read_only=True)
    rows = book.worksheets[0].iter_rows(values_only=True, max_row=len(values), max_col=MOST_COLUMNS)
    for number, (row, saved) in enumerate(zip(rows, values, strict=False), 1):
        for cell, value in zip(row, saved, strict=False):
            if value is None and cell is not None:
                book.close()
                raise RedDinoError(
                    f"{file}, row {number}: holds a formula without a saved value, {short(str(cell))}; open "
                    "and save it in a spreadsheet program, or write the value"
                )
    book.close()


def _excel_text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)


def _texts(column: Any) -> list[str]:
    """Return a column as texts, "" where missing; whole numbers without a point."""
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise RedDinoError(f"a column of the clinical table holds {column.type}: write text or numbers")
    return ["" if value is None else _excel_text(value) for value in column.to_pylist()]


def _require_distinct(names: Sequence[str], where: str) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise RedDinoError(f"{where}: two columns are called '{short(name)}'; rename one")


def _require(have: Sequence[str], wanted: Sequence[str], file: Path) -> None:
    for name in wanted:
        if name in have:
            continue
        near = [one for one in have if name_key(one) == name_key(name)]
        hint = f"it is written '{near[0]}'" if near else f"it has: {', '.join(map(short, have[:30]))}"
        raise RedDinoError(f"{file} has no column '{name}'; {hint}")


def _refuse_source_by_another_name(have: Sequence[str], wanted: Sequence[str], file: Path) -> None:
    """Refuse 'Source' without 'source': it would be a clinical column that names the laboratory."""
    if "source" in have:
        return
    for name in have:
        if name_key(name) == "source" and name not in wanted:
            raise RedDinoError(
                f"{file}: the column '{short(name)}' may be the patients' source; write it 'source', or "
                "give it another name"
            )


def _require_ids(ids: Sequence[str], sources: Sequence[str], column: str, place: RowPlace) -> None:
    seen: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(ids, sources, strict=True)):
        if not key[0]:
            place.refuse(row, column, "is empty; give the patient's id")
        if key in seen:
            first = place.position(seen[key])
            twice = f"'{short(key[0])}' is there twice (first in {first})"
            place.refuse(row, column, f"{twice}; keep one row per patient")
        seen[key] = row
    if not ids:
        raise RedDinoError(f"{place.name}: has no rows; give one per patient")
