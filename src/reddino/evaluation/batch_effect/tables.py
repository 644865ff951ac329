"""Batch-effect reports side by side: on the terminal, in Markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from reddino.evaluation.batch_effect.meanings import MEANINGS, WANTED
from reddino.evaluation.batch_effect.measures import BatchReport
from reddino.evaluation.batch_effect.verdict import scale_rows, verdict
from reddino.evaluation.render import markdown_text
from reddino.evaluation.result_files import origin_line
from reddino.foundations.atomic import write_text

SCALE_TITLE = "compared with known cases"
SCALE_CAPTION = (
    "mixed: 1 as by chance, 0 each source alone (iLISI); probe: 1 it always names the source,\n"
    "0 by chance. Known cases: red cells by reddino-tiny, two sources of up to 400 each; the\n"
    "synthetic ones are the same cells under both. `python benchmarks/batch_scale.py` prints them."
)


class BatchReports(list[BatchReport]):
    """The reports of several tables."""

    def table(self) -> Table:
        """Return the reports side by side, as a table for the terminal."""
        return rich_table(self)

    def verdicts(self) -> list[str]:
        """Return a verdict in words on each table."""
        several = len(self) > 1
        return [f"{one.model}: {verdict(one)}" if several else verdict(one) for one in self]

    def scale(self) -> Table:
        """Return the tables with cases whose answer is known, as a table for the terminal."""
        table = Table(title=SCALE_TITLE, caption=SCALE_CAPTION, caption_justify="left")
        table.add_column("mixed", justify="right")
        table.add_column("probe", justify="right")
        table.add_column("sources")
        for row in scale_rows(self):
            table.add_row(*row)
        return table


def rows(reports: Sequence[BatchReport]) -> list[tuple[str, ...]]:
    """Return (measure, wanted, without an effect, a value of each model) of every measure of a report."""
    found = []
    for name in MEANINGS:
        without = [one.without for report in reports for one in report.measures if one.name == name]
        if without:
            values = [_number(report.value(name)) for report in reports]
            found.append((name, WANTED[name], _number(without[0]), *values))
    return found


def header(reports: Sequence[BatchReport]) -> tuple[str, ...]:
    """Return the titles of the columns of `rows`."""
    return ("measure", "wanted", "no trace", *(report.model for report in reports))


def describe(report: BatchReport) -> str:
    """Describe in one line what was measured."""
    parts = [
        f"{report.rows} of {report.of_rows} cells (drawn by seed {report.seed})"
        if report.rows < report.of_rows
        else f"{report.rows} cells",
        f"{len(report.sources)} sources: {', '.join(f'{k} {v}' for k, v in report.sources.items())}",
        f"{len(report.classes)} classes" if report.classes else "no labels",
    ]
    return ", ".join(parts)


def captions(reports: Sequence[BatchReport]) -> list[str]:
    """Return what was measured, the dimensions of each model, and every note, once each."""
    sizes = ", ".join(f"{one.model} {one.dimensions} of {one.of_dimensions}" for one in reports)
    notes = [note for report in reports for note in report.notes]
    lines = [*(describe(report) for report in reports), f"principal components: {sizes}", *notes]
    return list(dict.fromkeys(lines))


def rich_table(reports: Sequence[BatchReport]) -> Table:
    """Return a terminal table with the meaning of each measure below it."""
    shown = rows(reports)
    lines = [*captions(reports), *(f"{row[0]}: {MEANINGS[row[0]]}" for row in shown)]
    table = Table(title="batch effect", caption="\n".join(lines), caption_justify="left")
    for place, name in enumerate(header(reports)):
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=True)
    for row in shown:
        table.add_row(*row)
    return table


def markdown(reports: Sequence[BatchReport]) -> str:
    """Return the same in Markdown."""
    shown = rows(reports)
    lines = [
        tuple(markdown_text(name) for name in header(reports)),
        ("---", "---", *("---:" for _ in range(len(reports) + 1))),
        *shown,
    ]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    meanings = [f"- **{row[0]}**: {MEANINGS[row[0]]}" for row in shown]
    known = [tuple(markdown_text(text) for text in row) for row in scale_rows(reports)]
    scale = [
        "| mixed | probe | sources |",
        "| ---: | ---: | --- |",
        *("| " + " | ".join(row) + " |" for row in known),
    ]
    verdicts = [f"**{markdown_text(one.model)}**: {markdown_text(verdict(one))}\n" for one in reports]
    below = [f"- {markdown_text(line)}" for line in captions(reports)]
    return "\n".join([*table, "", *verdicts, *scale, "", SCALE_CAPTION, "", *meanings, "", *below, ""])


def as_json(report: BatchReport) -> dict[str, Any]:
    """Return everything that a report holds, as JSON values."""
    measures = [
        {
            **asdict(one),
            "value": _finite(one.value),
            "without": _finite(one.without),
            "wanted": WANTED[one.name],
            "meaning": MEANINGS[one.name],
        }
        for one in report.measures
    ]
    return {
        "verdict": verdict(report),
        **{key: value for key, value in vars(report).items() if key not in ("measures", "embedding")},
        "measures": measures,
        "embedding": dict(report.embedding),
    }


def save(path: Path, reports: Sequence[BatchReport], provenance: Mapping[str, Any]) -> None:
    """Write the reports as JSON to `path` and as Markdown next to it, with where they came from."""
    document = {"provenance": dict(provenance), "reports": [as_json(report) for report in reports]}
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    origin = markdown_text(origin_line(provenance))
    write_text(path.with_suffix(".md"), f"{markdown(reports)}\n{origin}\n")


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
