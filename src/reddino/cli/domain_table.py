"""Whether smears lie within what was learned from, as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

import reddino
from reddino.cli.terminal import OUT, complain, show_tables
from reddino.foundations.counting import counted
from reddino.foundations.visible import short

#: Rows, and letters of a name and of a verdict.
MOST, LETTERS, VERDICT = 16, 28, 13
_ORDER = ("outside", "at the edge", "too few cells", "within")


def show_domain(report: reddino.DomainReport | None, learned: str = "training cells") -> None:
    """Print the verdicts of sources and slides, and what could not be compared."""
    if report is None:
        return
    if report.units:
        show_tables([domain_table(report, OUT.width, learned)])
    if report.note:
        complain(f"{report.note}.")


def domain_table(report: reddino.DomainReport, width: int, learned: str = "training cells") -> Table:
    """Return a row for each source, and for the slides that lie farthest out; those within are counted.

    Args:
        report: of smears.
        width: of the terminal, which sentences are broken to fit.
        learned: what the cells are called that they are compared with.
    """
    units = report.units
    table = Table(title=f"compared with the {learned}", show_lines=True)
    table.add_column("source, slide", max_width=LETTERS, overflow="fold")
    table.add_column("cells", justify="right")
    longest = min(LETTERS, max((len(unit.source) + len(unit.slide) + 2 for unit in units), default=6))
    table.add_column("verdict", no_wrap=True)
    # 18: the borders, the blanks around them, and the counts.
    table.add_column("why", overflow="fold", max_width=max(30, min(width, 100) - VERDICT - 18 - longest))
    sources = [unit for unit in units if not unit.slide]
    slides = sorted(
        (unit for unit in units if unit.slide),
        key=lambda unit: (_ORDER.index(unit.verdict), -(unit.far or 0.0), unit.source, unit.slide),
    )
    listed = [*sources, *(unit for unit in slides if unit.verdict != "within")]
    shown = listed[:MOST]
    for unit in shown:
        name = short(unit.source or "(none)", LETTERS)
        table.add_row(
            f"{name}, {short(unit.slide, LETTERS)}" if unit.slide else name,
            str(unit.cells),
            unit.verdict,
            unit.sentence,
        )
    if len(listed) > len(shown):
        table.add_row(f"({len(listed) - len(shown)} more)", "", "", "the result file has them all")
    within = len(sources) + len(slides) - len(listed)
    if within:
        table.add_row(counted(within, "slide"), "", "within", "the result file has each")
    return table
