"""Scores and batch-effect measures in a page, from the JSON files that other commands write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reddino.errors import RedDinoError
from reddino.explore.page.document import paragraph, table

#: How the metrics of `reddino evaluate` are headed.
HEADINGS = {
    "weighted_f1": "wF1",
    "balanced_accuracy": "bAcc",
    "accuracy": "Acc",
    "macro_f1": "macro F1",
}


def read_document(path: str | Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RedDinoError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RedDinoError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise RedDinoError(f"{path} holds no JSON object: give a file that RedDino wrote")
    return content


def score_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """A table for each task of a document that `reddino evaluate --out` wrote.

    Raises:
        RedDinoError: it is not such a document.
    """
    results = document.get("results")
    if not isinstance(results, list) or not all("scores" in result for result in results):
        raise RedDinoError("the scores are no file of `reddino evaluate --out`: it holds no results")
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        tasks.setdefault(str(result.get("task") or "scores"), []).append(result)
    for task, group in tasks.items():
        metrics = list(next(iter(group[0]["scores"].values()))["mean"])
        rows = [
            (classifier, result["model"], *(_score(result["scores"][classifier], name) for name in metrics))
            for classifier in group[0]["scores"]
            for result in group
            if classifier in result["scores"]
        ]
        header = ("classifier", "model", *(HEADINGS.get(name, name.replace("_", " ")) for name in metrics))
        first = group[0]
        yield paragraph(
            f"{task}: {first.get('cells')} cells, {len(first.get('classes', []))} classes, "
            f"{first.get('protocol')} protocol, by {first.get('group_by') or 'none'}."
        )
        yield table(header, rows, range(2, len(header)))
        for note in dict.fromkeys(note for result in group for note in result.get("notes", [])):
            yield paragraph(str(note), note=True)


def _score(summary: Mapping[str, Any], name: str) -> str:
    mean, spread = summary["mean"][name], (summary.get("sd") or {}).get(name)
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"


def batch_effect_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """A table of measures, each with its sentence.

    `measures` of the document is a list of objects with `name`, `value` and `sentence`; in a document without
    it, every number is a measure, named by where it stands.
    """
    measures = document.get("measures")
    if isinstance(measures, list):
        rows = [
            (str(one.get("name", "")), _value(one.get("value")), str(one.get("sentence", "")))
            for one in measures
            if isinstance(one, dict)
        ]
    else:
        content = {key: value for key, value in document.items() if key not in ("provenance", "embedding")}
        rows = [(name, _value(value), "") for name, value in _numbers(content)]
    if rows:
        yield table(("measure", "value", "what it says"), rows, (1,))


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name} · {key}" if name else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name.replace("_", " "), float(value)


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:.4g}"
