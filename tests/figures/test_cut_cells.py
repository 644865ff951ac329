"""Cells that the border of their image cuts: on the map, but neither outliers nor examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.embeddings import Embeddings
from reddino.figures import overview as figures
from reddino.figures.overview import Overview


def table_of(cut: list[bool]) -> Embeddings:
    """Vectors of one source, of which those that are cut lie far away."""
    vectors = np.random.default_rng(0).normal(size=(len(cut), 4)).astype(np.float32)
    vectors[np.array(cut)] += 50
    columns = {
        "path": [f"{row}.png" for row in range(len(cut))],
        "source": ["lab"] * len(cut),
        "label": ["normal"] * len(cut),
        "at_border": cut,
    }
    return Embeddings(vectors, pa.table(columns), {"model": "made"})


def test_overview__scores_no_cut_cell_as_an_outlier() -> None:
    table = table_of([True] * 3 + [False] * 40)
    found = Overview.of(table, method="pca")
    assert np.isnan(found.scores[:3]).all() and np.isfinite(found.scores[3:]).all()
    assert len(found.xy) == len(table) == found.columns().num_rows
    assert any(note.startswith("3 cells cut by the border") for note in found.notes)
    kept = Overview.of(table, method="pca", keep_border=True)
    assert np.isfinite(kept.scores).all() and not any("border" in note for note in kept.notes)
    alone = Overview.of(table.select(np.arange(3, 43)), method="pca")
    np.testing.assert_array_equal(alone.scores, found.scores[3:])


def test_overview__shows_no_cut_cell_on_a_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []

    def cut(self: Overview, rows: np.ndarray, side: int = 8) -> np.ndarray:
        shown.extend(rows.tolist())
        return np.zeros((len(rows), side, side, 3), np.uint8)

    monkeypatch.setattr(figures.Overview, "cut", cut)
    pictures: Any = object()
    found = replace(Overview.of(table_of([True] * 3 + [False] * 40), method="pca"), pictures=pictures)
    assert set(found.sheets()) == {"neighbours", "classes", "outliers"}
    assert shown and min(shown) >= 3


def test_overview__of_cut_cells_alone_shows_them() -> None:
    assert np.isfinite(Overview.of(table_of([True] * 20), method="pca").scores).all()
