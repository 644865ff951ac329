"""The files next to the parts of a table, whose names programs that read folders of Parquet pass over."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.atomic import write_text
from reddino.foundations.stores.urls import is_url
from reddino.smears.failures import FAILURES_FILE, Failures


def side_path(table: Path, name: str) -> Path:
    """Return the path of a file next to the parts, whose name gets an underscore before it.

    Of a folder, pandas, pyarrow and Spark read all files whose names begin with neither `_` nor a point.
    """
    return table / f"_{name}"


def find_side_file(table: Path, name: str) -> Path:
    """Return the path of such a file that is there, if one is; earlier versions wrote no underscore."""
    path = side_path(table, name)
    if is_url(table):
        return path
    return path if path.is_file() or not (table / name).is_file() else table / name


def write_side_file(table: Path, name: str, text: str) -> None:
    """Write such a file, in place of an earlier version's."""
    write_text(side_path(table, name), text)
    if not is_url(table):
        (table / name).unlink(missing_ok=True)


def write_table_failures(table: Path, failures: Failures) -> None:
    """List what a pass could not use next to the parts, if anything, under the name that people look for."""
    failures.leave_at(table / FAILURES_FILE)
