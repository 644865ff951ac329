"""A grid of text and numbers, for the terminal, in Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from reddino.foundations.exports import csv_text
from reddino.foundations.visible import visible

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}"},
    **{"±": r"$\pm$", "->": r"$\to$", "\n": " "},
}
_LATEX_SPECIAL = re.compile("|".join(re.escape(text) for text in sorted(_LATEX, key=len, reverse=True)))


@dataclass(frozen=True)
class Grid:
    """A table as text.

    Attributes:
        title: above it; may be empty.
        header: names of the columns.
        rows: cells, as many a row as columns.
        text_columns: columns from the left that hold text; the rest are numbers, aligned to the right.
        captions: sentences below it.
        rules: numbers of rows above which a line is drawn.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    captions: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()

    def transposed(self) -> Grid:
        """Turn rows into columns: models side by side, with what ends the table as its last columns."""
        columns = tuple(zip(self.header, *self.rows, strict=True))
        return Grid(self.title, columns[0], columns[1:], self.text_columns, self.captions)


def rich_table(grid: Grid) -> Table:
    """Return a table for the terminal, in which a value that repeats the one above it is left out."""
    table = Table(title=grid.title or None, caption="\n".join(grid.captions), caption_justify="left")
    for column, name in enumerate(grid.header):
        table.add_column(name, justify="left" if column < grid.text_columns else "right", no_wrap=True)
    previous = ""
    for number, row in enumerate(grid.rows):
        if number in grid.rules:
            table.add_section()
        repeats = grid.text_columns > 1 and row[0] == previous
        table.add_row("" if repeats else row[0], *row[1:])
        previous = row[0]
    return table


def markdown(grid: Grid) -> str:
    """Return Markdown, aligned for reading as plain text too."""
    lines = [[markdown_text(cell) for cell in line] for line in (grid.header, *grid.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(grid.header))]
    rule = [
        "-" * width if column < grid.text_columns else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    text = [_markdown_line(line, widths, grid.text_columns) for line in lines]
    text.insert(1, _markdown_line(rule, widths, grid.text_columns))
    title = [f"### {markdown_text(grid.title)}", ""] if grid.title else []
    captions = ["", *(f"- {markdown_text(caption)}" for caption in grid.captions)] if grid.captions else []
    return "\n".join([*title, *text, *captions, ""])


def latex(grid: Grid) -> str:
    """Return a table environment that needs the package booktabs."""
    numbers = len(grid.header) - grid.text_columns
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escaped(' '.join([grid.title, *grid.captions]).strip())}}}",
        rf"\begin{{tabular}}{{{'l' * grid.text_columns}{'r' * numbers}}}",
        r"\toprule",
        _latex_line(grid.header),
        r"\midrule",
    ]
    for number, row in enumerate(grid.rows):
        if number in grid.rules and number:
            lines.append(r"\midrule")
        lines.append(_latex_line(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def comma_separated(grids: Sequence[Grid]) -> str:
    """Return all grids below each other, a blank line between two, the title in a line of its own."""
    return "\n".join(
        csv_text([*([[grid.title]] if grid.title else []), grid.header, *grid.rows]) for grid in grids
    )


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is: one line, no cell ended, no link, HTML, code or emphasis."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", visible(text.replace("\n", " "), keep=""))


def _markdown_line(row: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    padded = [
        cell.ljust(width) if column < text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def _latex_line(row: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in row) + r" \\"


def _escaped(text: str) -> str:
    return _LATEX_SPECIAL.sub(lambda found: _LATEX[found[0]], visible(text))
