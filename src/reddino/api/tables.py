"""Embedding tables as they lie on disk: what they hold, and tables that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reddino.api.arguments import numbers_in_range
from reddino.api.sole_writer import sole_writer
from reddino.embedding.choices import Doubles
from reddino.embedding.conditions import read_conditions
from reddino.embedding.reshaping import choosing, compacting, info, merging
from reddino.embedding.reshaping.info import TableInfo
from reddino.embedding.reshaping.reshaped import Reshaped
from reddino.embedding.table_on_disk import open_table
from reddino.embedding.table_writer import only_writer
from reddino.foundations.errors import RedDinoError

#: Rows of a part of a compacted table.
PART_ROWS = 131_072


def table_info(table: str | Path) -> TableInfo:
    """Return what an embedding table holds: rows, parts, columns, model, view, sources and slides.

    Args:
        table: its folder, finished or not. Only the columns that are counted are read.

    Raises:
        RedDinoError: there is no table.
    """
    return info.table_info(table)


@sole_writer(folders=("out",))
def merge_tables(tables: Sequence[str | Path], out: str | Path, *, doubles: Doubles = "refuse") -> Reshaped:
    """Merge tables of several passes that embedded the same way, part by part; the same call continues.

    Args:
        tables: their folders. Rows come in this order.
        out: folder of the new table.
        doubles: views that are in several of them: `refuse`, or `drop` all but the first.

    Raises:
        RedDinoError: tables that differ in how they were embedded (the message names the keys), pictures of
            one name that are others, or doubles that are not to be dropped.
    """
    if isinstance(tables, str | Path):
        raise RedDinoError("merging takes two tables or more: name them all")
    with _written(out, tables) as folder:
        return merging.merge([open_table(one) for one in tables], folder, doubles=doubles)


@sole_writer(folders=("out",))
def filter_table(table: str | Path, out: str | Path, where: Sequence[str]) -> Reshaped:
    """Write the rows of a table that meet conditions as a table of their own; the same call continues.

    Args:
        table: its folder.
        out: folder of the new table.
        where: `column=value`, `column!=value`, or `column<number` (`<=`, `>`, `>=`); a row must meet all. An
            empty value stands for a missing one.

    Raises:
        RedDinoError: no row meets them, or the table has no such column.
    """
    conditions = read_conditions([where] if isinstance(where, str) else where)
    with _written(out, [table]) as folder:
        return choosing.keep_rows(open_table(table), folder, conditions)


@numbers_in_range
@sole_writer(folders=("out",))
def sample_table(
    table: str | Path,
    out: str | Path,
    rows: int,
    *,
    evenly: str | None = None,
    whole: str | None = None,
    seed: int = 0,
) -> Reshaped:
    """Write a random choice of the rows of a table as a table of their own; the same call continues.

    Args:
        table: its folder.
        out: folder of the new table.
        rows: how many.
        evenly: column, such as `source`, whose values give as many rows each as far as they have them.
        whole: column, such as `patient`, whose values are chosen with all of their rows, as long as they fit.
        seed: of the choice.

    Raises:
        RedDinoError: more rows than there are, or no such column.
    """
    with _written(out, [table]) as folder:
        opened = open_table(table)
        return choosing.draw_rows(opened, folder, rows, evenly=evenly, whole=whole, seed=seed)


@numbers_in_range
@sole_writer(folders=("out",))
def compact_table(table: str | Path, out: str | Path, *, part_rows: int = PART_ROWS) -> Reshaped:
    """Write the rows of a table in fewer files; nothing else of it changes, and the same call continues.

    Args:
        table: its folder.
        out: folder of the new table.
        part_rows: rows of a part, about.

    Raises:
        RedDinoError: the table is not finished.
    """
    with _written(out, [table]) as folder:
        return compacting.compact(open_table(table), folder, part_rows=part_rows)


@contextmanager
def _written(out: str | Path, tables: Sequence[str | Path]) -> Iterator[Path]:
    """Give the folder of a new table, which is none of those it is made of, and keep passes out of it."""
    folder = Path(out)
    for table in tables:
        if Path(table).resolve() == folder.resolve():
            raise RedDinoError(
                f"'{out}' is the table that would be read: give another folder for the new one"
            )
    with only_writer(folder):
        yield folder
