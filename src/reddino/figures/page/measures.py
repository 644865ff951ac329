"""Scores and batch-effect measures in a page, from the JSON files that other commands write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reddino.figures.page.document import paragraph, table
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, read_json

#: How the metrics of `reddino evaluate` are headed.
HEADINGS = {
    "weighted_f1": "wF1",
    "balanced_accuracy": "bAcc",
    "accuracy": "Acc",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
}


class _Summary(BaseModel):
    mean: dict[str, float | None]
    sd: dict[str, float | None] | None = None
    interval_95: dict[str, tuple[float, float] | None] | None = None


class _Result(BaseModel):
    scores: dict[str, _Summary]
    model: str
    task: str | None = None
    classes: list[str] = []
    notes: list[str] = []


class _Scores(BaseModel):
    """What a page shows of a document of `reddino evaluate --out`."""

    results: list[_Result]


class _Measure(BaseModel):
    name: str
    value: float | None
    without: float | None = None
    wanted: str = ""
    meaning: str = ""


class _Report(BaseModel):
    measures: list[_Measure]
    model: str = ""
    notes: list[str] = []


class _Reports(BaseModel):
    """What a page shows of a document of `reddino batch --out`."""

    reports: list[_Report]


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        RedDinoError: it cannot be read, or holds something else.
    """
    content: dict[str, Any] = read_json(path, nan=True)
    return content


def score_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """Return a table for each task of a document that `reddino evaluate --out` wrote.

    Raises:
        RedDinoError: it is not such a document.
    """
    if not isinstance(document.get("results"), list):
        raise RedDinoError("the scores are no file of `reddino evaluate --out`: it holds no results")
    fit(_Scores, document, "the scores are no file of `reddino evaluate --out`")
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for result in document["results"]:
        tasks.setdefault(str(result.get("task") or "scores"), []).append(result)
    for task, group in tasks.items():
        metrics = list(next(iter(group[0]["scores"].values()), {"mean": ()})["mean"])
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
    """Return the mean, with its standard deviation over folds and its 95 % interval where there are such."""
    mean, spread = summary["mean"].get(name), (summary.get("sd") or {}).get(name)
    interval = (summary.get("interval_95") or {}).get(HEADINGS.get(name, name))
    if mean is None:
        return "-"
    text = f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"
    return text if interval is None else f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]"


def batch_effect_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """Return a table of measures, one column per model, of a document that `reddino batch --out` wrote.

    Raises:
        RedDinoError: it is not such a document.
    """
    reports = document.get("reports")
    if not isinstance(reports, list) or not reports:
        raise RedDinoError("the batch effect is no file of `reddino batch --out`: it holds no reports")
    fit(_Reports, document, "the batch effect is no file of `reddino batch --out`")
    values = [{one["name"]: one["value"] for one in report["measures"]} for report in reports]
    names = dict.fromkeys(one["name"] for report in reports for one in report["measures"])
    first = {one["name"]: one for report in reversed(reports) for one in report["measures"]}
    rows = [
        (
            name,
            first[name].get("wanted", ""),
            _value(first[name].get("without")),
            *(_value(found.get(name)) for found in values),
            first[name].get("meaning", ""),
        )
        for name in names
    ]
    models = [str(report.get("model", "")) for report in reports]
    header = ("measure", "wanted", "no trace", *models, "meaning")
    yield table(header, rows, range(2, 3 + len(models)))
    for note in dict.fromkeys(note for report in reports for note in report.get("notes", [])):
        yield paragraph(str(note), note=True)


def _value(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"
