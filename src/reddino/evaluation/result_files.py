"""Results as files: JSON with everything, and the tables in Markdown, LaTeX and CSV next to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reddino.evaluation import render, score_tables
from reddino.evaluation.metrics import METRICS, class_table, score_rows
from reddino.evaluation.render import Grid
from reddino.evaluation.results import CHANCE, RESAMPLED, Result, paired_differences
from reddino.foundations.atomic import write_text
from reddino.foundations.visible import visible


def as_json(result: Result) -> dict[str, Any]:
    """Return everything that a result holds, as JSON values."""
    scored = [name for name in (*result.classifiers, CHANCE) if result.has(name)]
    chosen = [name for name in scored if name != CHANCE]
    return {
        "model": result.model,
        "task": result.task,
        "protocol": result.protocol,
        "group_by": result.group_by,
        "seed": result.seed,
        "cells": result.cells,
        "left_out": result.left_out,
        "at_border": result.at_border,
        "groups": result.groups,
        # Only of a sample: results of whole tables stay as they were.
        **({} if result.sample is None else {"sample": result.sample.as_json()}),
        "classes": list(result.classes),
        "scores": {name: _summary(result, name) for name in scored},
        "folds": [
            {
                "trained_on": fold.trained_on,
                "tested_on": fold.tested_on,
                "train": fold.train,
                "test": fold.test,
                "probe_converged": fold.converged,
                "scores": {name: scores.as_dict() for name, scores in fold.scores.items()},
            }
            for fold in result.folds
        ],
        "by_class": {name: [asdict(scores) for scores in result.by_class(name)] for name in chosen},
        "confusion": {name: result.confusion(name).tolist() for name in chosen},
        "by_source": {
            name: {source: _source(result, counts) for source, counts in found.items()}
            for name, found in result.source_confusion.items()
        },
        "seen_in_pretraining": dict(result.seen),
        "notes": list(result.notes),
        "question": dict(result.question),
        "embedding": dict(result.embedding),
    }


def save_results(path: Path, results: Sequence[Result], provenance: Mapping[str, Any]) -> None:
    """Write results and their provenance as JSON, atomically."""
    document = {
        "provenance": dict(provenance),
        "results": [as_json(result) for result in results],
        "differences": [
            {"task": task, **asdict(one)}
            for task, group in score_tables.by_task(results).items()
            for one in paired_differences(group)
        ],
    }
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def save_markdown(
    path: Path, results: Sequence[Result], provenance: Mapping[str, Any], extra: Sequence[Grid] = ()
) -> None:
    """Write the tables as Markdown, with a line on where they came from, atomically.

    Args:
        path: of the Markdown file.
        results: scores, of one task or several.
        provenance: command, version, seed and data.
        extra: grids that come first, such as those in the paper's layout.
    """
    text = "\n".join(render.markdown(grid) for grid in extra)
    write_text(
        path, f"{text}{score_tables.markdown(results)}\n{render.markdown_text(origin_line(provenance))}\n"
    )


def save_tables(
    path: Path, results: Sequence[Result], provenance: Mapping[str, Any], extra: Sequence[Grid] = ()
) -> list[Path]:
    """Write JSON to `path`, and the tables next to it as .md, .tex and .csv; return the files.

    Args:
        path: of the JSON file.
        results: scores, of one task or several.
        provenance: command, version, seed and data.
        extra: grids that come first, such as those in the paper's layout.
    """
    all_grids = [*extra, *score_tables.grids(results)]
    origin = origin_line(provenance)
    save_results(path, results, provenance)
    save_markdown(path.with_suffix(".md"), results, provenance, extra)
    latex = "\n".join(render.latex(grid) for grid in all_grids)
    write_text(path.with_suffix(".tex"), f"% {origin}\n{latex}")
    write_text(path.with_suffix(".csv"), render.comma_separated(all_grids))
    return [path, *(path.with_suffix(suffix) for suffix in (".md", ".tex", ".csv"))]


def origin_line(provenance: Mapping[str, Any]) -> str:
    """Return in one line what to run again."""
    return visible("{command}, reddino {version}, seed {seed}, data {data}".format(**provenance), keep="")


def _summary(result: Result, classifier: str) -> dict[str, Any]:
    spread = result.sd(classifier)
    return {
        "mean": result.mean(classifier).as_dict(),
        "sd": spread.as_dict() if spread else None,
        "interval_95": {metric: result.interval(classifier, metric) for metric in RESAMPLED}
        if classifier in result.resamples
        else None,
    }


def _source(result: Result, counts: Any) -> dict[str, Any]:
    return {
        "cells": int(counts.sum()),
        **dict(zip(METRICS, score_rows(counts).tolist(), strict=True)),
        "by_class": [asdict(one) for one in class_table(counts, list(result.classes))],
    }
