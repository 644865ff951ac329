"""A user's own columns reach the predictions, and are never replaced without a word."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields

import reddino
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.kinds import CellKinds, holds_kinds, with_kinds
from reddino.figures.overview import Overview
from reddino.figures.prediction_file import PredictionFile, read_prediction_file, with_predictions
from reddino.foundations.errors import RedDinoError


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    reddino.fit(draw_fields(folder / "smears", fields=12), folder / "c", model="morphology")
    return folder / "c"


def test_predict__carries_columns_of_pictures_whose_cells_it_finds(fitted: Path, tmp_path: Path) -> None:
    bare = draw_fields(tmp_path / "s", fields=2, marked=False)
    told = bare.with_column("hb", ["9.8", ""]).with_column("kind", ["child", "adult"])
    told = told.with_column("patient", ["p", "q"])
    reddino.predict(fitted, told, tmp_path / "p.parquet", kinds=False)
    rows = pq.read_table(tmp_path / "p.parquet")
    of = {path: number for number, path in enumerate(told.strings("path"))}
    number = [of[str(path)] for path in rows.column("path").to_pylist()]
    assert len(set(number)) == 2
    for column, name, values in (
        ("patient", "patient", ["p", "q"]),
        ("hb", "hb", ["9.8", None]),
        # Readers of predictions take `kind` for what a cell is, also where kinds were not read.
        ("kind", "kind_", ["child", "adult"]),
    ):
        assert rows.column(name).to_pylist() == [values[one] for one in number], column


def test_tables_of_cells__refuse_a_user_s_at_border_that_is_no_yes_or_no(
    fitted: Path, tmp_path: Path
) -> None:
    marked = draw_fields(tmp_path / "s", fields=2).with_column("at_border", ["left"] * 24)
    bare = draw_fields(tmp_path / "b", fields=2, marked=False).with_column("at_border", ["0", "0"])
    with pytest.raises(RedDinoError, match="'at_border': 'left' is neither true nor false"):
        reddino.embed(marked, "morphology", tmp_path / "t")
    with pytest.raises(RedDinoError, match="'at_border': 'left' is neither true nor false"):
        reddino.predict(fitted, marked)
    # Of whole pictures it says nothing about the cells that are found.
    with pytest.raises(RedDinoError, match="uses itself: rename it"):
        reddino.embed(bare, "morphology", tmp_path / "t", find_cells=True)
    with pytest.raises(RedDinoError, match="uses itself: rename it"):
        reddino.predict(fitted, bare)
    # A table of whole pictures has no such column itself.
    reddino.embed(bare, "morphology", tmp_path / "w", view="image")
    assert reddino.read_embeddings(tmp_path / "w").strings("at_border") == ["0", "0"]


def own(**columns: list[str]) -> Embeddings:
    """A table of four cells with columns of the user's."""
    table = pa.table(
        {"path": ["1.png"] * 4, "source": ["lab"] * 4, "slide": ["s"] * 4, "label": [None] * 4}
        | {name: [1.0, 2.0, 3.0, 4.0] for name in ("view_x", "view_y")}
        | columns
    )
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    return Embeddings(vectors, table, {"model": "m", "pooling": "cls"})


def predicted(**columns: list[object]) -> PredictionFile:
    table = own().table.append_column("predicted", pa.array(["a", "b", "a", "b"]))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return PredictionFile(Path("p.csv"), table, ("a", "b"), {})


def test_with_predictions__keeps_a_user_s_own_columns_under_other_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine = own(predicted=list("wxyz"), novelty=["high"] * 4, kind=["child"] * 4, at_border=["true"] * 4)
    file = predicted(novelty=[0.1] * 4, kind=["clump"] * 4, kind_probability=[1.0] * 4, at_border=[False] * 4)
    with caplog.at_level(logging.WARNING):
        table, _ = with_predictions(mine, file)
    assert table.strings("predicted") == ["a", "b", "a", "b"]
    assert table.strings("predicted_") == list("wxyz")
    assert (table.strings("novelty_"), table.strings("kind_")) == (["high"] * 4, ["child"] * 4)
    assert "'novelty' as 'novelty_'" in caplog.text
    # What RedDino itself had noted of the cells is taken from the predictions.
    assert table.strings("at_border") == ["False"] * 4 and "at_border_" not in table.table.column_names


def test_overview__takes_predictions_though_the_table_has_such_a_column() -> None:
    overview = Overview.of(own(predicted=["mine"] * 4), predictions=predicted(), method="pca")
    assert overview.table.strings("predicted") == ["a", "b", "a", "b"]


def test_with_kinds__replaces_kinds_and_keeps_other_columns_of_that_name() -> None:
    found = CellKinds(("clump",) * 4, np.ones(4))
    mine = with_kinds(own(kind=["child"] * 4), found)
    assert mine.strings("kind_") == ["child"] * 4 and holds_kinds(mine.table)
    again = with_kinds(mine, replace(found, names=("red cell",) * 4))
    assert again.table.column_names == mine.table.column_names
    assert again.strings("kind") == ["red cell"] * 4


def test_predict__has_kinds_of_a_table_once(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "s", fields=2)
    reddino.embed(smears, "morphology", tmp_path / "t", kinds=True)
    for kinds in (True, False):
        reddino.predict(fitted, tmp_path / "t", tmp_path / f"{kinds}.csv", kinds=kinds)
        names = read_prediction_file(tmp_path / f"{kinds}.csv").table.column_names
        assert "kind" in names and "kind_" not in names
