"""Maps of large tables: a stated sample is shown, and the other rows are placed on the same map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA
from stored_tables import store
from toy_tables import laboratories

import reddino
from reddino import cli
from reddino.embedding.embeddings import Embeddings
from reddino.evaluation import chosen_rows
from reddino.figures import map_sample
from reddino.figures.outliers import fit_outliers
from reddino.figures.projection import fit_umap
from reddino.foundations.errors import RedDinoError


@pytest.fixture
def cells() -> Embeddings:
    return laboratories(600, seed=2)


def test_explore__places_all_rows_on_the_map_of_a_sample(tmp_path: Path, cells: Embeddings) -> None:
    table = store(tmp_path / "t", cells)
    overview = reddino.explore(table, tmp_path / "out", method="pca", rows=150, formats=("png",), seed=4)
    assert len(overview.table) == 150
    written = pq.read_table(tmp_path / "out" / "map.parquet")
    fitted = np.flatnonzero(written.column("map_fitted").to_numpy())
    assert written.num_rows == 600
    assert written.column("path").to_pylist() == cells.strings("path")
    assert [cells.strings("path")[row] for row in fitted] == overview.table.strings("path")
    xy = np.stack([written.column(name).to_numpy() for name in ("map_x", "map_y")], axis=1)
    model = PCA(2).fit(cells.vectors[fitted].astype(np.float64))
    np.testing.assert_allclose(xy, model.transform(cells.vectors.astype(np.float64)), atol=1e-4)
    scores = written.column("outlier").to_numpy()
    np.testing.assert_allclose(scores[fitted], overview.scores, rtol=1e-5)
    assert np.isfinite(scores).all()


def test_explore__same_seed_same_sample_and_all_sources(tmp_path: Path, cells: Embeddings) -> None:
    table = store(tmp_path / "t", cells)
    first, again, other = (
        reddino.explore(table, tmp_path / f"{n}", method="pca", rows=60, formats=(), seed=seed).table
        for n, seed in enumerate((1, 1, 2))
    )
    assert first.strings("path") == again.strings("path") != other.strings("path")
    assert set(first.strings("source")) == set(cells.strings("source"))


def test_explore__rows_of_a_border_have_no_outlier_score(tmp_path: Path, cells: Embeddings) -> None:
    border = np.arange(600) % 5 == 0
    columns = cells.table.append_column("at_border", [border.tolist()])
    table = store(tmp_path / "t", Embeddings(cells.vectors, columns, cells.meta))
    reddino.explore(table, tmp_path / "out", method="pca", rows=150, formats=())
    written = pq.read_table(tmp_path / "out" / "map.parquet")
    assert (np.isnan(written.column("outlier").to_numpy()) == border).all()


def test_explore__counts_rows_whose_source_the_sample_lacks(
    tmp_path: Path, cells: Embeddings, caplog: pytest.LogCaptureFixture
) -> None:
    table = store(tmp_path / "t", cells)
    reddino.explore(table, tmp_path / "out", method="pca", rows=4, formats=(), seed=0)
    scores = pq.read_table(tmp_path / "out" / "map.parquet").column("outlier").to_numpy()
    lost = int(np.isnan(scores).sum())
    assert lost
    assert f"{lost} of 600 rows of" in caplog.text and "have no outlier score" in caplog.text


def test_explore__past_the_size_a_sample_is_drawn_unasked(
    tmp_path: Path, cells: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store(tmp_path / "t", cells)
    whole = reddino.explore(table, tmp_path / "whole", method="pca", formats=())
    assert (whole.sample, len(whole.table)) == (None, 600)
    assert "map_fitted" not in pq.read_table(tmp_path / "whole" / "map.parquet").column_names
    monkeypatch.setattr(chosen_rows, "MOST_BYTES", 599 * 6 * 4)
    monkeypatch.setattr(map_sample, "MAP_ROWS", 200)
    assert len(reddino.explore(table, tmp_path / "some", method="pca", formats=()).table) == 200


def test_explore__states_the_sample(
    tmp_path: Path, cells: Embeddings, caplog: pytest.LogCaptureFixture
) -> None:
    table = store(tmp_path / "t", cells)
    command = ["explore", str(table), "--out", str(tmp_path / "o"), "--method", "pca", "--rows", "150"]
    assert cli.main([*command, "--formats", "png"]) == 0
    assert "SAMPLE: 150 of 600 views were drawn (--rows; seed 0)" in caplog.text
    page = reddino.report(table, tmp_path / "r.html", method="pca", rows=150).read_text()
    assert "toy: 150 views of 24 slides, drawn from 600" in page
    assert "SAMPLE: 150 of 600 views were drawn" in page


def test_explore__what_a_sample_does_not_go_with_is_refused(tmp_path: Path, cells: Embeddings) -> None:
    table = store(tmp_path / "t", cells)
    with pytest.raises(RedDinoError, match="with which kinds and predictions do not go"):
        reddino.explore(table, tmp_path / "out", rows=150, kinds=True)
    file = tmp_path / "predictions.csv"
    file.write_text("path,predicted\na.png,round\n")
    with pytest.raises(RedDinoError, match="rows are drawn of an embedding table"):
        reddino.report(file, rows=150)


def test_fit_outliers__measures_further_vectors_by_the_same_scale() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(120, 5)).astype(np.float32)
    sources = ["a"] * 80 + ["b"] * 40
    scores, scales = fit_outliers(vectors, sources, k=3)
    others = draw.normal(size=(7, 5)).astype(np.float32) * 3
    for name, own in (("a", slice(0, 80)), ("b", slice(80, 120))):
        far = np.sort(np.linalg.norm(others[:, None] - vectors[own], axis=2), axis=1)[:, :3].mean(axis=1)
        np.testing.assert_allclose(scales[name].scores(others), far / scales[name].typical, rtol=1e-5)
        assert np.median(scores[own]) == pytest.approx(1)


def test_fit_umap__places_further_vectors_with_their_own_kind() -> None:
    draw = np.random.default_rng(0)
    kinds = np.arange(240) % 3
    vectors = (np.eye(3, 8)[kinds] * 12 + draw.normal(size=(240, 8))).astype(np.float32)
    made = fit_umap(vectors[:180], epochs=50)
    placed = made.place(vectors[180:])
    centres = np.stack([made.points[kinds[:180] == kind].mean(axis=0) for kind in range(3)])
    nearest = np.linalg.norm(placed[:, None] - centres, axis=2).argmin(axis=1)
    assert nearest.tolist() == kinds[180:].tolist()
    assert np.array_equal(placed, made.place(vectors[180:]))
