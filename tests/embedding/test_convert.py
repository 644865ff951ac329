"""Tables in the formats of other programs, read back by those programs."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import reddino
from reddino.embedding.convert import save
from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError


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


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    # The command line, which other tests run, keeps the package's lines from the root logger.
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    return caplog


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
    with pytest.raises(RedDinoError, match=r"pip install .reddino\[anndata\]"):
        embeddings.to_anndata()


def test_convert__refuses_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="no embedding table at"):
        reddino.convert(tmp_path, tmp_path / "t.npz")


ODD_NAMES = ("e0", "w/h", "_index", "reddino", "__categories", "..", "", "a\nb", "file", "Label")


@pytest.fixture
def clashing() -> Embeddings:
    """A table with columns of names that are ours, or that no archive can hold."""
    columns = {name: [f"{name}: one", f"{name}: two"] for name in ODD_NAMES}
    table = pa.table(
        {"path": ["a.png", "b.png"], "label": ["x", "y"], "w": [1.0, 2.0], "w_h": ["p", "q"], **columns}
    )
    return Embeddings(np.eye(2, dtype=np.float32), table, {"model": "m"})


def test_save__csv_tells_own_columns_from_those_of_the_manifest(
    tmp_path: Path, clashing: Embeddings, logged: pytest.LogCaptureFixture
) -> None:
    save(clashing, tmp_path / "t.csv")
    read = pacsv.read_csv(tmp_path / "t.csv", parse_options=pacsv.ParseOptions(newlines_in_values=True))
    assert len(set(read.column_names)) == len(read.column_names)
    assert read.column("e0").to_pylist() == [1, 0]
    assert read.column("e0_").to_pylist() == ["e0: one", "e0: two"]
    assert "'e0' as 'e0_'" in logged.text


def test_save__npz_loses_no_column(
    tmp_path: Path, clashing: Embeddings, logged: pytest.LogCaptureFixture
) -> None:
    save(clashing, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as read:
        assert json.loads(str(read["reddino"])) == {"model": "m"}
        assert read["reddino_"].tolist() == ["reddino: one", "reddino: two"]
        assert read["w_h"].tolist() == ["p", "q"]
        assert read["w_h_"].tolist() == ["w/h: one", "w/h: two"]
        assert len(read.files) == len(set(read.files)) == clashing.table.num_columns + 2
    assert "'w/h' as 'w_h_'" in logged.text and "'reddino' as 'reddino_'" in logged.text


def test_save__h5ad_holds_every_column_whatever_its_name(
    tmp_path: Path, clashing: Embeddings, logged: pytest.LogCaptureFixture
) -> None:
    anndata = pytest.importorskip("anndata")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # anndata's own use of an option that pandas is about to drop.
        warnings.filterwarnings("ignore", message="The 'future.infer_string' option")
        save(clashing, tmp_path / "t.h5ad")
    read = anndata.read_h5ad(tmp_path / "t.h5ad").obs
    written = {column: read[column].tolist() for column in read}
    assert written["_index_"] == ["_index: one", "_index: two"]
    assert written["w_h_"] == ["w/h: one", "w/h: two"]
    assert written["__categories_"] == ["__categories: one", "__categories: two"]
    assert written["w"] == [1.0, 2.0] and written["e0"] == ["e0: one", "e0: two"]
    assert len(written) == clashing.table.num_columns
    assert sorted(map(str, written.values())) == sorted(
        str(clashing.table.column(name).to_pylist()) for name in clashing.table.column_names
    )
    assert "'_index' as '_index_'" in logged.text


def test_save__h5ad_holds_metadata_with_any_labels_and_lists(tmp_path: Path, embeddings: Embeddings) -> None:
    anndata = pytest.importorskip("anndata")
    meta = {
        "model": "m\0n",
        "dropped": {"RBC/WBC": 2, "": 1},
        "seen": {"lab": "seen"},
        "runtime_check": {"measured": [{"name": "torch", "speed": 1.5}]},
    }
    save(Embeddings(embeddings.vectors, embeddings.table, meta), tmp_path / "t.h5ad")
    read = anndata.read_h5ad(tmp_path / "t.h5ad").uns["reddino"]
    assert read["model"] == "m\N{SYMBOL FOR NULL}n"
    assert json.loads(read["dropped"]) == {"RBC/WBC": 2, "": 1}
    assert read["seen"] == {"lab": "seen"}
    assert json.loads(read["runtime_check"]["measured"]) == [{"name": "torch", "speed": 1.5}]


def test_save__h5ad_gives_back_labels_of_every_kind(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    labels = [
        "a,b",
        'a "quote"',
        "two\nlines",
        "=1+1",
        "-x",
        "nan",
        "NA",
        None,
        "x" * 40_000,
        "红细胞",
        " blank",
    ]
    table = pa.table({"path": [f"{row}.png" for row in range(len(labels))], "label": labels})
    save(Embeddings(np.ones((len(labels), 2), np.float32), table, {"model": "m"}), tmp_path / "t.h5ad")
    read = anndata.read_h5ad(tmp_path / "t.h5ad").obs["label"]
    assert [None if isinstance(value, float) else value for value in read] == labels
