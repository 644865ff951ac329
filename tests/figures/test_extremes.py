"""Tables at the edge of what there is: one row, equal vectors, one class; each gives figures and a page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.embeddings import Embeddings
from reddino.figures.canvas import save_figure
from reddino.figures.overview import Overview
from reddino.figures.page.table_report import table_report

ORIGIN = {"command": "reddino report", "version": "0", "seed": 0}


def _column(table: Embeddings, name: str, values: list[str]) -> Embeddings:
    place = table.table.column_names.index(name)
    return dataclasses.replace(table, table=table.table.set_column(place, name, pa.array(values)))


def _extreme(kind: str, table: Embeddings) -> Embeddings:
    vectors = table.vectors.copy()
    if kind in ("one row", "two rows", "three rows"):
        return table.select(np.arange(("one row", "two rows", "three rows").index(kind) + 1))
    if kind == "a single label":
        return _column(table, "label", ["a", *[""] * 47])
    if kind == "no label":
        return _column(table, "label", [""] * 48)
    if kind == "each its own source":
        return _column(table, "source", [f"lab {row}" for row in range(48)])
    if kind == "equal":
        vectors[:] = 3
    elif kind == "zero":
        vectors[:] = 0
    elif kind == "nearly equal":
        vectors[:] = 3 * (1 + 1e-7 * vectors)
    elif kind == "mostly equal":
        vectors[:40] = 3
    elif kind == "one direction":
        vectors[:, 1:] = 5
    return dataclasses.replace(table, vectors=vectors)


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
@pytest.mark.parametrize(
    "kind",
    [
        *("one row", "two rows", "three rows", "a single label", "no label", "each its own source"),
        *("equal", "zero", "nearly equal", "mostly equal", "one direction"),
    ],
)
def test_overview__of_an_extreme_table_gives_finite_maps_and_a_page(
    kind: str, embeddings: Embeddings, table_folder: Path, tmp_path: Path
) -> None:
    table = _extreme(kind, embeddings)
    overview = Overview.of(table, images=table_folder.parent / "images")
    assert np.isfinite(overview.xy).all()
    save_figure(overview.maps(), tmp_path / "map.png", dpi=30)
    page = table_report(overview, ORIGIN)
    assert ">Every cell: map and table<" in page
    assert ">Outliers<" in page
    assert ("vectors are equal" in page) == ("equal" in kind or kind == "zero")
    if kind in ("equal", "zero", "nearly equal"):
        assert "48 of 48 vectors are equal" in page
        assert len(np.unique(overview.xy, axis=0)) == 1


def test_overview__scores_what_differs_from_equal_vectors_highest(embeddings: Embeddings) -> None:
    table = _extreme("mostly equal", embeddings)
    scores = Overview.of(table, method="pca").scores
    # Sources are images 0, 2 and 1, 3: of the last image's twelve rows, eight differ.
    assert np.isinf(scores[40:]).all()
    assert (scores[:40] == 1).all()
