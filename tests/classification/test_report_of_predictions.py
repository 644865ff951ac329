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
def test_slides__count_what_predict_counts(
    tmp_path: Path, suffix: str, found: bool, keep_border: bool
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
        }
    )
    kinds = CellKinds(tuple(draw.choice([*KINDS, "unknown"], count).tolist()), np.full(count, 0.9))
    made = Predictions(
        ("a", "b, c", "d"),
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
    slides = slides_of(read_prediction_file(tmp_path / f"cells{suffix}"))
    wanted = {
        (row["source"], row["slide"] or row["path"]): [row[f"n_{name}"] for name in made.classes]
        for row in made.counts().to_pylist()
    }
    assert {(one.source, one.name): one.by_field.sum(axis=0).tolist() for one in slides} == wanted
    assert sum(slide.counted for slide in slides) == int(made.counted().sum())
