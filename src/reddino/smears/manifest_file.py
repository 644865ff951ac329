"""Manifests on disk: CSV, where people write, and Parquet, where there are millions of rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from reddino.atomic import atomic_path
from reddino.errors import RedDinoError
from reddino.smears.manifest_columns import RowPlace

FORMATS = (".csv", ".parquet")


def require_known_format(path: Path) -> None:
    """Refuse a file name that says neither CSV nor Parquet."""
    if path.suffix.lower() not in FORMATS:
        raise RedDinoError(f"{path}: a manifest ends in .csv or .parquet, not in '{path.suffix}'.")


def read_table(path: Path) -> tuple[pa.Table, RowPlace]:
    """The raw table of a manifest file, and how to name its rows. CSV columns are all strings."""
    require_known_format(path)
    if not path.is_file():
        raise RedDinoError(f"{path}: there is no such manifest file.")
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path), RowPlace(str(path), lambda row: f"line {_csv_line(path, row)}")
        # ParquetFile, not read_table: the latter turns folder names like 'slide=7' into columns.
        return pq.ParquetFile(path).read().replace_schema_metadata(None), RowPlace(str(path))
    except (OSError, pa.ArrowException, csv.Error) as error:
        raise RedDinoError(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
    except UnicodeDecodeError as error:
        raise RedDinoError(f"{path} is not UTF-8 text: save it with that encoding.") from error


def _read_csv(path: Path) -> pa.Table:
    header, lines = _csv_header(path)
    try:
        return pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=header, skip_rows=lines),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            # Strings throughout: slide '007' must stay '007'.
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid:
        _refuse_odd_rows(path, len(header))
        if _has_no_rows(path):
            return pa.table({name: pa.array([], pa.string()) for name in header})
        raise


def _csv_header(path: Path) -> tuple[list[str], int]:
    """The column names, and how many lines they take."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        lines = reader.line_num
    if not header:
        raise RedDinoError(
            f"{path} is empty: a manifest starts with a line of column names, at least 'path'."
        )
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise RedDinoError(f"{path}: columns must be separated by commas; save it as comma-separated CSV.")
    if "" in header:
        raise RedDinoError(f"{path}: column {header.index('') + 1} has no name; name it or remove it.")
    for name in header:
        if header.count(name) > 1:
            raise RedDinoError(f"{path} has two columns named '{name}': rename or remove one.")
    return header, lines


def _refuse_odd_rows(path: Path, width: int) -> None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        for cells in reader:
            if cells and len(cells) != width:
                raise RedDinoError(
                    f"{path}, line {reader.line_num}: {len(cells)} values for {width} columns."
                )


def _has_no_rows(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return sum(1 for cells in csv.reader(file) if cells) == 1


def _csv_line(path: Path, row: int) -> int:
    """The line on which the record of `row` starts, with blank lines and breaks inside quotes counted."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        seen, start = -1, 1  # the header is record -1
        for cells in reader:
            if cells:
                if seen == row:
                    return start
                seen += 1
            start = reader.line_num + 1
    raise AssertionError(f"row {row} is not in {path}")


def write_table(table: pa.Table, path: Path) -> None:
    """Write to CSV or Parquet, by suffix; the file appears whole or not at all."""
    with atomic_path(path) as partial:
        if path.suffix.lower() == ".parquet":
            pq.write_table(table, partial, compression="zstd")
        else:
            _write_csv(table, partial)


def _write_csv(table: pa.Table, path: Path) -> None:
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise RedDinoError(
            f"Column '{nested[0]}' holds lists, which CSV cannot: write the manifest as .parquet."
        )
    try:
        _write_csv_rows(table, path, "none")
    except pa.ArrowInvalid:  # a value holds a comma, a quote or a line break
        _write_csv_rows(table, path, "needed")


def _write_csv_rows(table: pa.Table, path: Path, quoting: Literal["none", "needed"]) -> None:
    with path.open("wb") as file:
        file.write((",".join(_quoted(name) for name in table.column_names) + "\n").encode())
        pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=False, quoting_style=quoting))


def _quoted(name: str) -> str:
    special = any(character in name for character in ',"\r\n')
    return '"' + name.replace('"', '""') + '"' if special else name
