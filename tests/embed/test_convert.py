"""Tables in the formats of other programs, read back by those programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from reddino import api
from reddino.embed.convert import save
from reddino.embed.table import Embeddings
from reddino.errors import RedDinoError


@pytest.fixture
def embeddings() -> Embeddings:
    table = pa.table(
        {
            "path": ["a.png", "b, c.png", "b, c.png"],
            "label": ["oval", None, "round"],
            "slide": pa.array([None] * 3, pa.string()),
            "view_x": pa.array([1.5, None, 3.0], pa.float64()),
            "views": pa.array([2, 3, 4], pa.int64()),
            "file": ["1", "2", "3"],
        }
    )
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    view = {"kind": "cells", "side": 1.6}
    mean = {"mean": [0.5, 0.25, 0.75], "channel_order": "RGB"}
    meta = {"model": "m", "view": view, "preprocessing": mean, "provenance": {"seed": None, "version": "0"}}
    return Embeddings(vectors, table, meta)


def test_save__h5ad_is_read_by_anndata(tmp_path: Path, embeddings: Embeddings) -> None:
    anndata = pytest.importorskip("anndata")
    save(embeddings, tmp_path / "t.h5ad")
    read = anndata.read_h5ad(tmp_path / "t.h5ad")
    assert np.array_equal(read.X, embeddings.vectors)
    assert read.X.dtype == np.float32
    assert read.obs["path"].tolist() == ["a.png", "b, c.png", "b, c.png"]
    assert read.obs["label"].isna().tolist() == [False, True, False]
    assert read.obs["slide"].isna().all()
    assert np.array_equal(read.obs["view_x"], [1.5, np.nan, 3.0], equal_nan=True)
    assert read.obs["views"].tolist() == [2, 3, 4]
    about = read.uns["reddino"]
    assert about["view"]["side"] == 1.6
    assert about["preprocessing"]["mean"].tolist() == [0.5, 0.25, 0.75]
    assert about["provenance"] == {"version": "0"}


def test_save__npz_is_read_by_numpy(tmp_path: Path, embeddings: Embeddings) -> None:
    save(embeddings, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as read:
        assert np.array_equal(read["embedding"], embeddings.vectors)
        assert read["label"].tolist() == ["oval", "", "round"]
        assert read["file"].tolist() == ["1", "2", "3"]
        assert np.array_equal(read["view_x"], [1.5, np.nan, 3.0], equal_nan=True)
        assert json.loads(str(read["reddino"])) == embeddings.meta


def test_save__csv_has_the_numbers_in_columns(tmp_path: Path, embeddings: Embeddings) -> None:
    save(embeddings, tmp_path / "t.csv")
    read = pacsv.read_csv(tmp_path / "t.csv")
    assert read.column_names == [*embeddings.table.column_names, "e0", "e1", "e2", "e3"]
    assert read.column("path").to_pylist() == ["a.png", "b, c.png", "b, c.png"]
    numbers = np.stack([read.column(f"e{i}").to_numpy() for i in range(4)], axis=1)
    assert np.array_equal(numbers.astype(np.float32), embeddings.vectors)


def test_save__refuses_other_formats_and_leaves_nothing(tmp_path: Path, embeddings: Embeddings) -> None:
    with pytest.raises(RedDinoError, match=r"written as \.h5ad, \.npz, \.csv, not as '\.txt'"):
        save(embeddings, tmp_path / "t.txt")
    assert list(tmp_path.iterdir()) == []


def test_to_anndata__says_what_to_install(embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(RedDinoError, match=r"pip install reddino\[anndata\]"):
        embeddings.to_anndata()


def test_convert__refuses_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="No embedding table at"):
        api.convert(tmp_path, tmp_path / "t.npz")
