"""Tables for the terminal: what a manifest holds, which models are known, what a classifier did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isnan
from pathlib import PurePath
from statistics import median
from typing import Any

from rich.table import Table

import reddino
from reddino.foundations.counting import counted
from reddino.foundations.visible import short_names

#: With more sources than this, labels are counted over all of them together.
MOST_SOURCES = 8
#: Slides, or sources, that have a column of counts.
MOST_COLUMNS = 5
#: Letters of a name from data in a table.
LETTERS = 60
#: Letters of the kind of a finding before it is broken.
KIND_LETTERS = 24


def source_table(manifest: reddino.Manifest) -> Table:
    """Return images, cells, slides, patients and the median cell diameter of each source."""
    table = Table(title="sources")
    table.add_column("source")
    for name in ("images", "cells", "slides", "patients", "cell diameter (px)"):
        table.add_column(name, justify="right")
    sources = manifest.strings("source")
    names = sorted(set(sources))
    for source, shown in zip(names, short_names(names, LETTERS), strict=True):
        part = manifest.select([row for row, name in enumerate(sources) if name == source])
        known = [value for value in part.numbers("cell_diameter").tolist() if not isnan(value)]
        table.add_row(
            shown or "(none)",
            f"{len(part.images()[0]):,}",
            f"{int(part.is_cell().sum()):,}",
            *(str(len(set(part.strings(name)) - {""}) or "-") for name in ("slide", "patient")),
            f"{median(known):.1f}" if known else "-",
        )
    return table


def label_table(manifest: reddino.Manifest) -> Table:
    """Return the rows of each label, by source where there are few sources."""
    labels, sources = manifest.strings("label"), manifest.strings("source")
    counts = Counter(zip(labels, sources, strict=True))
    totals = Counter(labels)
    names = sorted(set(sources)) if 1 < len(set(sources)) <= MOST_SOURCES else []
    table = Table(title="labels")
    table.add_column("label")
    for name in ("rows", *short_names(names, LETTERS)):
        table.add_column(name or "(none)", justify="right")
    listed = totals.most_common()
    for (label, total), shown in zip(listed, short_names([name for name, _ in listed], LETTERS), strict=True):
        by_source = [str(counts[label, name] or "-") for name in names]
        table.add_row(shown or "(none)", str(total), *by_source)
    return table


def findings_table(findings: Sequence[reddino.Finding], width: int) -> Table:
    """Return what `check` found: kind, count, what it means, and where it is first.

    Args:
        findings: a row each.
        width: of the terminal, which sentences are broken to fit.
    """
    table = Table(title="findings", show_lines=True)
    table.add_column("finding", max_width=KIND_LETTERS)
    table.add_column("count", justify="right")
    # 15: the borders, the blanks around them, and the counts.
    table.add_column(
        "what it means, and the first", overflow="fold", max_width=max(40, width - KIND_LETTERS - 15)
    )
    for finding in findings:
        table.add_row(finding.kind, str(finding.count), f"{finding.message}\nfirst: {finding.first}")
    return table


def model_table(models: Sequence[reddino.KnownModel]) -> Table:
    """Return the names of models, where their weights come from, and the licences of these."""
    table = Table(title="models")
    table.add_column("name", no_wrap=True)
    table.add_column("weights")
    table.add_column("licence", no_wrap=True)
    for model in models:
        table.add_row(model.name, model.weights, model.licence)
    return table


def _names_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the slide or image of each row of counts, with its source where two have one of that name."""
    bases = Counter(PurePath(str(row["path"])).name for row in rows)
    names = []
    for row in rows:
        base = PurePath(str(row["path"])).name
        names.append(str(row["slide"] or (base if bases[base] == 1 else row["path"])))
    alike, shown = Counter(names), short_names(names, LETTERS)
    return [
        f"{name} ({row['source'] or 'no source'})" if alike[full] > 1 else name
        for name, full, row in zip(shown, names, rows, strict=True)
    ]


def prediction_table(predictions: reddino.Predictions, most: int = MOST_COLUMNS) -> Table:
    """Return the cells of each class: in all, and on each slide, or in each source where these are many."""
    counts = predictions.counts()
    rows = counts.to_pylist()
    numbers = [name for name in counts.column_names[3:] if not name.startswith("share_")]
    names = _names_of(rows)
    if len(rows) > most:
        names, rows = _by_source(rows, numbers)
    if len(rows) > most:
        rest = {name: sum(row[name] for row in rows[most - 1 :]) for name in numbers}
        names = [*names[: most - 1], f"({len(rows) - most + 1} more)"]
        rows = [*rows[: most - 1], rest]
    totals = {name: sum(row[name] for row in rows) for name in numbers}
    table = Table(title="cells by class")
    table.add_column("")
    for name in (*names, "all"):
        table.add_column(name, justify="right", overflow="fold", max_width=20)
    shown = short_names(predictions.classes, LETTERS)
    by_class = [f"n_{name}" for name in predictions.classes]
    lines = [("cells", "cells"), *zip(by_class, shown, strict=True)]
    lines += [("abstained", "without an answer")] if predictions.abstains else []
    for column, line in lines:
        table.add_row(line, *(str(row[column]) for row in (*rows, totals)), end_section=column == "cells")
    if predictions.unadjusted is not None:
        for name, one in zip(by_class, shown, strict=True):
            cells = (str(row[f"unadjusted_{name}"]) for row in (*rows, totals))
            table.add_row(f"{one}, not adjusted", *cells)
    return table


def _by_source(
    rows: Sequence[dict[str, Any]], numbers: Sequence[str]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of sources, with how many slides or images they have, and the sums of their counts."""
    of: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of.setdefault(str(row["source"] or ""), []).append(row)
    shown = short_names(list(of), LETTERS)
    names = []
    for name, own in zip(shown, of.values(), strict=True):
        what = "slide" if any(row["slide"] for row in own) else "image"
        names.append(f"{name or '(no source)'} ({counted(len(own), what)})")
    return names, [{name: sum(row[name] for row in own) for name in numbers} for own in of.values()]
