"""Manifests on disk: CSV, where people write, and Parquet, where there are millions of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv as pacsv

from reddino.foundations.atomic import atomic_path, draft_folder
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import harmless_table, original_table
from reddino.foundations.parquet import write_parquet
from reddino.foundations.stores.anywhere import spool_folder
from reddino.foundations.stores.objects import fetch_file
from reddino.foundations.stores.urls import url_of
from reddino.smears.manifest_csv import read_csv
from reddino.smears.manifest_parquet import read_parquet
from reddino.smears.row_places import RowPlace

FORMATS = (".csv", ".parquet")


def require_known_format(path: Path) -> None:
    """Refuse a file name that ends like neither CSV nor Parquet."""
    if path.suffix.lower() not in FORMATS:
        raise RedDinoError(f"{path}: a manifest ends in .csv or .parquet, not in '{path.suffix}'")


def read_table(path: Path) -> tuple[pa.Table, RowPlace]:
    """Read the raw table of a manifest file, and how to name its rows.

    The columns of a CSV are all strings.
    """
    require_known_format(path)
    url = url_of(path)
    if url is not None:
        return _read_stored(url)
    if path.is_dir():
        raise RedDinoError(f"{path} is a folder, not a manifest file")
    if not path.is_file():
        raise RedDinoError(f"{path}: there is no such manifest file")
    try:
        if path.suffix.lower() != ".csv":
            return read_parquet(path)
        table, place = read_csv(path)
        return original_table(table), place
    except OSError as error:
        raise RedDinoError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_stored(url: str) -> tuple[pa.Table, RowPlace]:
    """Read a manifest in a store; it is fetched once more where a row is to be named."""
    with _fetched(url) as local:
        try:
            table, _ = read_table(local)
        except RedDinoError as error:
            raise RedDinoError(str(error).replace(str(local), url)) from error
    return table, RowPlace(url, partial(_position, url))


def _position(url: str, row: int) -> str:
    with _fetched(url) as local:
        return read_table(local)[1].position(row)


@contextmanager
def _fetched(url: str) -> Iterator[Path]:
    """Give a manifest in a store as a file of this machine."""
    name = url.rpartition("/")[2]
    with draft_folder(spool_folder(), name) as draft:
        try:
            fetch_file(url, draft / name)
        except FileNotFoundError:
            raise RedDinoError(f"{url}: there is no such manifest file") from None
        except OSError as error:
            raise RedDinoError(f"{url} cannot be read: {error.strerror or error}") from error
        yield draft / name


def write_table(table: pa.Table, path: Path) -> None:
    """Write to CSV or Parquet, by suffix; the file appears whole or not at all."""
    with atomic_path(path) as partial:
        if path.suffix.lower() == ".parquet":
            write_parquet(table, partial)
        else:
            _write_csv(table, partial)


def _write_csv(table: pa.Table, path: Path) -> None:
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise RedDinoError(
            f"column '{nested[0]}' holds lists, which CSV cannot; write the manifest as .parquet"
        )
    # A spreadsheet would compute cells that start as a formula does; reading takes the apostrophe off again.
    table = harmless_table(table)
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
