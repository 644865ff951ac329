"""Results side by side: on the terminal, in Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from reddino.atomic import write_text
from reddino.evaluate.metrics import METRICS
from reddino.evaluate.protocol import CHANCE, CLASSIFIERS, Result

HEADER = ("classifier", "model", *METRICS)
ALIGN = ("left", "left", *("right" for _ in METRICS))


def comparison_rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Rows (classifier, model, four scores): the models under each classifier, then the largest class.

    The results are those of one task on the same rows, so that the largest-class answer is the same for all.
    """
    rows = [
        (classifier, result.model, *_cells(result, classifier))
        for classifier in CLASSIFIERS
        for result in results
    ]
    return [*rows, (CHANCE, "-", *_cells(results[0], CHANCE))] if results else rows


def describe(result: Result) -> str:
    """One line on what was scored."""
    parts = [f"{result.cells} cells", f"{len(result.classes)} classes"]
    if result.groups:
        parts.append(f"{result.groups} groups ({result.group_by})")
    if len(result.folds) > 1:
        parts.append(f"{len(result.folds)} {result.protocol} folds, mean ± sd")
    else:
        parts.append(
            f"one {result.protocol} split, {result.folds[0].train} train, {result.folds[0].test} test"
        )
    if result.left_out:
        parts.append(f"{result.left_out} rows left out (no label, or a dropped one)")
    return ", ".join(parts)


def by_task(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results under the title of their task, in order of appearance."""
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    return tasks


def rich_tables(results: Sequence[Result]) -> list[Table]:
    """A terminal table for each task."""
    return [_rich_table(task, group) for task, group in by_task(results).items()]


def markdown(results: Sequence[Result]) -> str:
    """A Markdown table for each task, aligned for reading as plain text too."""
    return "\n".join(_markdown_section(task, group) for task, group in by_task(results).items())


def as_json(result: Result) -> dict[str, Any]:
    """Everything a result holds, as JSON values."""
    classifiers = (*CLASSIFIERS, CHANCE)
    return {
        "model": result.model,
        "task": result.task,
        "protocol": result.protocol,
        "group_by": result.group_by,
        "seed": result.seed,
        "cells": result.cells,
        "left_out": result.left_out,
        "groups": result.groups,
        "classes": list(result.classes),
        "scores": {name: _summary(result, name) for name in classifiers},
        "folds": [
            {
                "train": fold.train,
                "test": fold.test,
                "probe_converged": fold.converged,
                "scores": {name: scores.as_dict() for name, scores in fold.scores.items()},
            }
            for fold in result.folds
        ],
        "by_class": {name: [asdict(scores) for scores in result.by_class(name)] for name in CLASSIFIERS},
        "confusion": {name: result.confusion(name).tolist() for name in CLASSIFIERS},
        "notes": list(result.notes),
        "embedding": dict(result.embedding),
    }


def save_results(path: Path, results: Sequence[Result], provenance: Mapping[str, Any]) -> None:
    """Write results and where they came from (`reddino.provenance.provenance`) as JSON, atomically."""
    document = {"provenance": dict(provenance), "results": [as_json(result) for result in results]}
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def save_markdown(path: Path, results: Sequence[Result], provenance: Mapping[str, Any]) -> None:
    """Write the tables as Markdown, with a line that says where they came from, atomically."""
    origin = "{command}, reddino {version}, seed {seed}, data {data}".format(**provenance)
    write_text(path, f"{markdown(results)}\n{origin}\n")


def _summary(result: Result, classifier: str) -> dict[str, Any]:
    spread = result.sd(classifier)
    return {"mean": result.mean(classifier).as_dict(), "sd": spread.as_dict() if spread else None}


def _cells(result: Result, classifier: str) -> list[str]:
    mean, spread = result.mean(classifier).as_row(), result.sd(classifier)
    if spread is None:
        return [f"{value:.3f}" for value in mean]
    return [f"{value:.3f} ± {sd:.3f}" for value, sd in zip(mean, spread.as_row(), strict=True)]


def _rich_table(task: str, results: Sequence[Result]) -> Table:
    table = Table(title=task or None, caption="\n".join(_captions(results)), caption_justify="left")
    for name, side in zip(HEADER, ALIGN, strict=True):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    previous = ""
    for row in comparison_rows(results):
        if previous and row[0] != previous:
            table.add_section()
        table.add_row("" if row[0] == previous else row[0], *row[1:])
        previous = row[0]
    return table


def _markdown_section(task: str, results: Sequence[Result]) -> str:
    rows = [HEADER, *comparison_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    rule = [
        "-" * (width - 1) + ":" if side == "right" else "-" * width
        for width, side in zip(widths, ALIGN, strict=True)
    ]
    lines = [_markdown_line(row, widths) for row in rows]
    lines.insert(1, _markdown_line(rule, widths))
    title = [f"### {task}", ""] if task else []
    captions = [f"- {caption}" for caption in _captions(results)]
    return "\n".join([*title, *lines, "", *captions, ""])


def _markdown_line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if side == "right" else cell.ljust(width)
        for cell, width, side in zip(row, widths, ALIGN, strict=True)
    ]
    return "| " + " | ".join(padded) + " |"


def _captions(results: Sequence[Result]) -> list[str]:
    """What was scored and every note, once each."""
    described = [describe(result) for result in results]
    notes = [note for result in results for note in result.notes]
    return list(dict.fromkeys([*described, *notes]))
