"""Tables for a screen: within its width, in parts below each other where numbers would not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

#: Columns that a table may take where no terminal limits them.
WIDTH = 100
#: Of this width, the columns of text take so much at the most, where numbers need the rest.
TEXT = 0.6
#: Letters of a column of text that is not broken.
LEAST = 12


def table_width(console: Console) -> int:
    """Return the columns for a table: those of the terminal, or `WIDTH` where there is none."""
    return console.width if console.is_terminal else max(WIDTH, console.width)


def fitted(table: Table, console: Console, width: int) -> list[Table]:
    """Return a table as parts that fit a width each; the leading columns of text stand in every part.

    Text is broken where it must be. Numbers are not: a part holds one column of them at the least.
    """
    if _needed(table, console) <= width:
        return [table]
    numbers = [place for place, column in enumerate(table.columns) if column.justify == "right"]
    text = numbers[0] if numbers else len(table.columns)
    if not numbers or numbers != list(range(text, len(table.columns))):
        return [table]  # text to the right of numbers: it is broken by itself
    names = [_narrowed(column, int(TEXT * width / max(text, 1))) for column in table.columns[:text]]
    parts: list[list[Column]] = []
    for place in numbers:
        column = table.columns[place]
        if parts and _needed(_part(table, [*names, *parts[-1], column]), console) <= width:
            parts[-1].append(column)
        else:
            parts.append([column])
    made = [_part(table, [*names, *part]) for part in parts]
    for later in made[1:]:
        later.title = None
    return made


def captions(table: Table) -> list[str]:
    """Take the caption off a table and return its lines."""
    caption, table.caption = table.caption, None
    return str(caption).splitlines() if caption else []


def _needed(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


def _narrowed(column: Column, most: int) -> Column:
    """Return a column of text that is broken where it is wider."""
    narrow = copy(column)
    narrow.max_width = max(LEAST, most)
    narrow.no_wrap, narrow.overflow = False, "fold"
    return narrow


def _part(table: Table, columns: Sequence[Column]) -> Table:
    part = Table(title=table.title, show_lines=table.show_lines)
    for column in columns:
        part.add_column(
            column.header,
            justify=column.justify,
            no_wrap=column.no_wrap,
            overflow=column.overflow,
            max_width=column.max_width,
        )
    cells: Iterator[tuple[object, ...]] = zip(*(column.cells for column in columns), strict=True)
    for row, values in zip(table.rows, cells, strict=True):
        part.add_row(*values, end_section=row.end_section)  # type: ignore[arg-type]
    return part
