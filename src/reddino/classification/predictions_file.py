"""Predictions on disk: one row per cell, the counts of each slide, and where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from reddino.classification.predict import Predictions
from reddino.classification.prediction_paths import counts_path, require_known_suffix
from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.exports import write_arrow_csv
from reddino.foundations.parquet import write_parquet

META_KEY = b"reddino"
#: In the note: 16 hex digits over the bytes of each picture, by its path.
PICTURES = "pictures"


def write_predictions(predictions: Predictions, path: Path, origin: Mapping[str, Any]) -> list[Path]:
    """Write cells, slides and a note of where they came from, each whole.

    Args:
        predictions: of a classifier.
        path: .parquet or .csv; the slides' counts go next to it as <name>.slides.<suffix>, the note as .json.
        origin: provenance, and what else belongs in the note.

    Returns:
        The three files.
    """
    require_known_suffix(path)
    for file, table in ((path, predictions.rows()), (counts_path(path), predictions.counts())):
        _write(table, file, origin)
    note = path.with_suffix(".json")
    write_text(note, json.dumps(dict(origin), indent=1, allow_nan=False) + "\n")
    return [path, counts_path(path), note]


def _write(table: pa.Table, path: Path, origin: Mapping[str, Any]) -> None:
    with atomic_path(path) as partial:
        if path.suffix == ".csv":
            write_arrow_csv(table, partial)
        else:
            # Of many pictures their digests would outgrow the rows; they stand in the note.
            kept = {name: value for name, value in origin.items() if name != PICTURES}
            noted = table.replace_schema_metadata({META_KEY: json.dumps(kept).encode()})
            write_parquet(noted, partial)
