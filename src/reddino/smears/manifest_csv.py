"""Manifests as CSV, where people write: every odd file is refused with the line, none is read half."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv

from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest_columns import require_names
from reddino.smears.row_places import RowPlace
from reddino.smears.spelling import tidy

#: Bytes that the line of column names, and any other line, may take.
MAX_LINE = 8_000_000
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_OTHER_KINDS = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods)"),
    (b"PAR1", "Parquet"),
    (b"\xd0\xcf\x11\xe0", "an old .xls"),
    (b"\x1f\x8b", "compressed"),
)


def read_csv(
    path: Path, require: Callable[[Sequence[str], str], None] = require_names
) -> tuple[pa.Table, RowPlace]:
    """Read the table of a CSV file, all columns strings, and how to name its rows.

    UTF-8 with or without a byte-order mark; UTF-16 and UTF-32 with one.

    Args:
        path: of the file.
        require: refuses column names, given the file's name; by default those that no manifest has.

    Raises:
        RedDinoError: names the line of what cannot be read.
    """
    encoding = _encoding(path)
    header, lines = _header(path, encoding)
    require(header, str(path))
    content: Any = path if encoding == "utf-8-sig" else _as_utf8(path, encoding)
    try:
        table = pacsv.read_csv(
            content,
            read_options=pacsv.ReadOptions(column_names=header, skip_rows=lines, block_size=MAX_LINE),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            # Strings throughout: slide '007' must stay '007'.
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        _refuse_odd_lines(path, encoding, len(header))
        if not _has_no_rows(path, encoding):
            raise RedDinoError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        table = pa.table({name: pa.array([], pa.string()) for name in header})
    _refuse_open_quote(path, encoding, table)
    return table, RowPlace(str(path), partial(_line, path, encoding))


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4096)
    for mark, kind in _OTHER_KINDS:
        if start.startswith(mark):
            raise RedDinoError(f"{path} is {kind}, not CSV; save it as CSV, or give it the right ending")
    encoding = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in start:
        raise RedDinoError(f"{path} holds NUL characters, as text that is not UTF-8 does; save it as UTF-8")
    return encoding


def _opened(path: Path, encoding: str) -> IO[str]:
    return path.open(newline="", encoding=encoding)


def _as_utf8(path: Path, encoding: str) -> pa.BufferReader:
    try:
        with _opened(path, encoding) as file:
            return pa.BufferReader(file.read().encode())
    except UnicodeDecodeError as error:
        raise _not_utf8(path, encoding) from error


def _header(path: Path, encoding: str) -> tuple[list[str], int]:
    """Return the column names, and how many lines they take."""
    try:
        with _opened(path, encoding) as file:
            reader = csv.reader(_short_lines(file, path))
            header = [tidy(name) for name in next(reader, [])]
            lines = reader.line_num
    except UnicodeDecodeError as error:
        raise _not_utf8(path, encoding) from error
    except csv.Error as error:
        raise RedDinoError(f"{path}: the line of column names cannot be read ({error})") from error
    if not header:
        raise RedDinoError(
            f"{path} begins with an empty line, or is empty: a manifest starts with a line of column names, "
            "at least 'path'"
        )
    if (
        len(header) == 1
        and not header[0].lower().startswith("sep=")
        and any(separator in header[0] for separator in ";\t|")
    ):
        raise RedDinoError(f"{path}: columns must be separated by commas; save it as comma-separated CSV")
    if header[0].lower().startswith("sep="):
        raise RedDinoError(f"{path} begins with '{header[0]}', which only Excel reads: remove that line")
    if "" in header:
        raise RedDinoError(f"{path}: column {header.index('') + 1} has no name; name it or remove it")
    return header, lines


def _short_lines(file: IO[str], path: Path) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise RedDinoError(f"{path} has a line of more than {MAX_LINE} characters: is it a table?")
        yield line


def _refuse_odd_lines(path: Path, encoding: str, width: int) -> None:
    """Refuse the first line that does not fit the header, or cannot be decoded."""
    try:
        with _opened(path, encoding) as file:
            reader = csv.reader(_short_lines(file, path))
            for cells in reader:
                if cells and len(cells) != width:
                    raise RedDinoError(
                        f"{path}, line {reader.line_num}: {len(cells)} values for {width} columns"
                    )
    except UnicodeDecodeError as error:
        raise _not_utf8(path, encoding) from error
    except csv.Error as error:
        raise RedDinoError(f"{path}, line {reader.line_num}: {error}") from error


def _not_utf8(path: Path, encoding: str) -> RedDinoError:
    if encoding != "utf-8-sig":
        return RedDinoError(f"{path} is not the {encoding.upper()} text that it begins as; save it as UTF-8")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return RedDinoError(f"{path}, line {number}: is not UTF-8 text; save the file as UTF-8")
    return RedDinoError(f"{path} is not UTF-8 text; save it with that encoding")


def _has_no_rows(path: Path, encoding: str) -> bool:
    with _opened(path, encoding) as file:
        return sum(1 for cells in csv.reader(file) if cells) == 1


def _refuse_open_quote(path: Path, encoding: str, table: pa.Table) -> None:
    """Refuse a file whose last value swallowed the rest of it, since its closing quote is missing."""
    last = [column[-1].as_py() for column in table.columns] if table.num_rows else []
    broken = [name for name, text in zip(table.column_names, last, strict=False) if text and "\n" in text]
    if not broken:
        return
    with _opened(path, encoding) as file:
        quotes = sum(line.count('"') for line in file)
    if quotes % 2:
        place = f"{path}, {_line(path, encoding, table.num_rows - 1)}, column '{broken[0]}'"
        raise RedDinoError(f"{place}: the closing quote is missing")


def _line(path: Path, encoding: str, row: int) -> str:
    """Return the line on which the record of `row` starts; blank lines and quoted breaks are counted."""
    try:
        with _opened(path, encoding) as file:
            reader = csv.reader(file)
            seen, start = -1, 1  # the header is record -1
            for cells in reader:
                if cells:
                    if seen == row:
                        return f"line {start}"
                    seen += 1
                start = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError):
        pass  # a value that Python's reader refuses
    return f"row {row + 1}"
