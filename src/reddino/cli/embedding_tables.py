"""Embedding tables as they lie on disk: what they hold, and tables that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

import reddino
from reddino.cli.options import Several
from reddino.cli.program import app
from reddino.cli.terminal import complain, print_line, show_log, show_tables
from reddino.embedding.choices import Doubles
from reddino.foundations.counting import counted
from reddino.foundations.visible import short

table_app = App(
    name="table",
    help="Look at embedding tables, and merge, filter, sample or compact them, whatever their size.",
    help_format="plaintext",
)
app.command(table_app)

#: Sources that are listed, and letters of a name.
MOST, LETTERS = 30, 40


@table_app.command(name="info")
def table_info(table: Path, /) -> None:
    """Print what a table holds; no vector is read.

    Args:
        table: folder of an embedding table, finished or not.
    """
    found = reddino.table_info(table)
    show_tables([_facts(found), _sources(found)])
    if not found.whole:
        complain(f"{counted(found.missing, 'image')} missing: the same embed command finishes the table.")


def _facts(found: reddino.TableInfo) -> Table:
    meta = found.meta
    shown = {
        "rows": f"{found.rows:,}",
        "parts": f"{found.parts:,} ({found.bytes / 1e6:,.1f} MB)",
        "images": f"{int(meta['images']):,}",
        **{f"{name}s": f"{count:,}" for name, count in found.counts.items()},
        "model": f"{meta['model']} ({meta['weights_hash']})",
        "vectors": f"{meta['dim']} numbers, {meta['dtype']}, {meta['pooling']}",
        "in memory": f"{found.gigabytes_in_memory:.2f} GB, in commands that hold all vectors",
        "a row is": str(meta.get("per", "view")),
        "view": ", ".join(f"{name} {value}" for name, value in meta["view"].items()),
        "columns": ", ".join(short(name, LETTERS) for name in found.columns),
        **({"of its data": f"{shares} alone"} if (shares := found.shares) else {}),
        "made by": str(meta.get("provenance", {}).get("command", "")),
    }
    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    for name, value in shown.items():
        table.add_row(name, value)
    return table


def _sources(found: reddino.TableInfo) -> Table:
    table = Table()
    table.add_column("source", overflow="fold")
    table.add_column("rows", justify="right")
    for name, rows in list(found.sources.items())[:MOST]:
        table.add_row(short(name, LETTERS) or "(none named)", f"{rows:,}")
    if len(found.sources) > MOST:
        table.add_row(f"({len(found.sources) - MOST} more)", "")
    return table


@table_app.command(name="merge")
def merge_tables(
    tables: Annotated[list[Path], Parameter(negative_iterable="")],
    /,
    *,
    out: Path,
    doubles: Doubles = "refuse",
) -> None:
    """Merge tables of several passes that embedded the same way.

    Args:
        tables: folders of embedding tables; rows come in this order.
        out: folder of the new table.
        doubles: refuse views that are in several of them, or drop all but the first.
    """
    show_log()
    made = reddino.merge_tables(tables, out, doubles=doubles)
    if made.doubles:
        complain(f"{counted(made.doubles, 'view')} left out, which came before in another table.")
    if made.shares:
        complain(f"only {made.shares} of its data: other shares are missing.")
    print_line(f"{out}: {counted(made.rows, 'row')} of {len(tables)} tables")


@table_app.command(name="filter")
def filter_table(table: Path, /, *, where: Annotated[Sequence[str], Several], out: Path) -> None:
    """Write the rows that meet conditions as a table of their own.

    Args:
        table: folder of an embedding table.
        where: conditions that a row must meet, each in quotes: "source=chula", "label!=",
            "cell_diameter<40"; an empty value stands for a missing one.
        out: folder of the new table.
    """
    show_log()
    made = reddino.filter_table(table, out, where)
    print_line(f"{out}: {made.rows:,} of {counted(made.of, 'row')}")


@table_app.command(name="sample")
def sample_table(
    table: Path,
    /,
    *,
    rows: int,
    out: Path,
    evenly: str | None = None,
    whole: str | None = None,
    seed: int = 0,
) -> None:
    """Write a random choice of the rows as a table of their own.

    Args:
        table: folder of an embedding table.
        rows: how many.
        out: folder of the new table.
        evenly: column, such as source, whose values give as many rows each, as far as they have them.
        whole: column, such as patient, whose values are chosen with all of their rows, as long as they fit.
        seed: of the choice.
    """
    show_log()
    made = reddino.sample_table(table, out, rows, evenly=evenly, whole=whole, seed=seed)
    if made.short:
        complain(f"{counted(made.short, 'value')} of {evenly} had fewer rows than others gave.")
    drawn = "" if made.groups is None else f", all those of {counted(made.groups, 'value')} of {whole}"
    print_line(f"{out}: {made.rows:,} of {counted(made.of, 'row')}{drawn} (seed {seed})")


@table_app.command(name="compact")
def compact_table(table: Path, /, *, out: Path, part_rows: int = 131_072) -> None:
    """Write the rows of a table in fewer files; nothing else of it changes.

    Args:
        table: folder of an embedding table.
        out: folder of the new table.
        part_rows: rows of a part, about.
    """
    show_log()
    made = reddino.compact_table(table, out, part_rows=part_rows)
    print_line(f"{out}: {counted(made.rows, 'row')} in {counted(made.parts, 'part')}")
