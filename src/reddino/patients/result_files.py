"""The files of an evaluation of patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reddino.figures.canvas import save_figure
from reddino.foundations.atomic import atomic_path
from reddino.foundations.exports import write_csv
from reddino.patients.clinical_columns import ClinicalColumn
from reddino.patients.curve_figures import calibration_figure, decision_figure
from reddino.patients.evaluation import PatientScores
from reddino.patients.scores import mean_probabilities

COLUMNS = ("model", "metric", "value", "low", "high")


def write_scores(
    folder: Path, scores: Sequence[PatientScores], columns: Sequence[ClinicalColumn], origin: dict[str, Any]
) -> list[Path]:
    """Write results.csv, predictions.csv, results.json and the curves; results.json last.

    Of leave-one-source-out, results-patients.csv holds the ordinary protocol's scores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    main = scores[0]
    written = [folder / "results.csv"]
    _write_rows(written[0], main)
    for other in scores[1:]:
        written.append(folder / f"results-{other.protocol}.csv")
        _write_rows(written[-1], other)
    likely = mean_probabilities(main.repeats)
    written.append(folder / "predictions.csv")
    _write_predictions(written[-1], main, likely)
    if len(main.classes) == 2:
        positive = main.truth == 1
        for name, draw in (("calibration.png", calibration_figure), ("decision.png", decision_figure)):
            written.append(folder / name)
            save_figure(draw(positive, likely, main.classes[1]), written[-1])
    for name in ("results-patients.csv", "calibration.png", "decision.png"):
        if folder / name not in written:
            (folder / name).unlink(missing_ok=True)  # of a score before
    content = {
        "classes": main.classes,
        "patients": len(main.patients),
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "missing": int(column.missing.sum()),
                "note": column.note,
            }
            for column in columns
        ],
        "protocols": [
            {
                "protocol": one.protocol,
                "repeats": len(one.repeats),
                "scores": [asdict(row) for row in one.rows],
                "power": [asdict(power) for power in one.powers],
                "notes": one.notes,
            }
            for one in scores
        ],
        "provenance": origin,
    }
    written.append(folder / "results.json")
    with atomic_path(written[-1]) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return written


def _write_rows(path: Path, scores: PatientScores) -> None:
    write_csv(
        path,
        COLUMNS,
        [
            (row.model, row.metric, f"{row.value:.6f}", _number(row.low), _number(row.high))
            for row in scores.rows
        ],
    )


def _write_predictions(path: Path, scores: PatientScores, likely: dict[str, Any]) -> None:
    """Write a row per patient: truth, and each model's mean probability over the repeats."""
    shown = range(1, 2) if len(scores.classes) == 2 else range(len(scores.classes))
    header = [f"{model}: {scores.classes[one]}" for model in likely for one in shown]
    rows = [
        (
            scores.patients[row],
            scores.sources[row],
            scores.classes[scores.truth[row]],
            *(f"{values[row, one]:.6f}" for values in likely.values() for one in shown),
        )
        for row in range(len(scores.patients))
    ]
    write_csv(path, ("patient", "source", "target", *header), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
