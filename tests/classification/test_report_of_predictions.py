"""The report's counts of a slide are those that `predict` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reddino.classification.predict import Predictions
from reddino.classification.predictions_file import write_predictions
from reddino.embedding.kinds import KINDS, CellKinds
from reddino.figures.page.slides import slides_of
from reddino.figures.prediction_file import read_prediction_file


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("keep_border", [True, False])
@pytest.mark.parametrize("third", ["d", "WBC"])
def test_slides__count_what_predict_counts(
    tmp_path: Path, suffix: str, found: bool, keep_border: bool, third: str
) -> None:
    draw = np.random.default_rng(0)
    count = 200
    table = pa.table(
        {
            "path": [f"{i % 10}.png" for i in range(count)],
            "source": ["lab"] * count,
            "slide": pa.array([f"00{i % 3}" if i % 10 else None for i in range(count)], pa.string()),
            "view_x": draw.uniform(0, 90, count),
            "view_y": draw.uniform(0, 90, count),
            "view_side": np.full(count, 20.0),
            "at_border": draw.random(count) < 0.2,
            "p_id": [f"AB{i}" for i in range(count)],
        }
    )
    kinds = CellKinds(tuple(draw.choice([*KINDS, "unknown"], count).tolist()), np.full(count, 0.9))
    made = Predictions(
        ("a", "b, c", third),
        draw.dirichlet(np.ones(3), count),
        table,
        root=None,
        found=found,
        dropped=0,
        data="",
        keep_border=keep_border,
        kinds=kinds,
    )
    origin = {"found_by_segmentation": found, "cells_at_the_border_counted": keep_border}
    write_predictions(made, tmp_path / f"cells{suffix}", origin)
    note = third != "WBC"
    if not note:  # such as of a file that was copied alone
        (tmp_path / "cells.json").unlink()
    file = read_prediction_file(tmp_path / f"cells{suffix}")
    assert file.classes == made.classes and file.as_embeddings().vectors.shape == (count, 3)
    assert ("is not next to them" in file.note) != note
    slides = slides_of(file)
    wanted = {
        (row["source"], row["slide"] or row["path"]): [row[f"n_{name}"] for name in made.classes]
        for row in made.counts().to_pylist()
    }
    assert {(one.source, one.name): one.by_field.sum(axis=0).tolist() for one in slides} == wanted
    assert sum(slide.counted for slide in slides) == int(made.counted().sum())


def test_read_prediction_file__takes_no_note_of_other_predictions(tmp_path: Path) -> None:
    table = pa.table({"path": ["1.png"] * 2, "source": ["lab"] * 2, "slide": ["s"] * 2})
    made = Predictions(("a", "b"), np.eye(2), table, root=None, found=False, dropped=0, data="")
    write_predictions(made, tmp_path / "z.csv", {"file": "z.csv", "cells": 2, "domain": {"note": "first"}})
    assert read_prediction_file(tmp_path / "z.csv").note == "first"
    write_predictions(made, tmp_path / "z.parquet", {"file": "z.parquet", "cells": 2})
    assert "z.json" in read_prediction_file(tmp_path / "z.csv").note
    assert read_prediction_file(tmp_path / "z.parquet").note == ""
