"""Verbs that read tables take them from a store, and answer as for the same table in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from object_store import SERVERS, ObjectStore, object_store
from patient_cohorts import cell_table, drawn_patients, write_cells, write_clinical
from review_tables import write_review_table
from stored_tables import write_stored

import reddino
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores import ranges
from reddino.reviewing.database import ReviewDatabase


@pytest.fixture(scope="module", params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with object_store(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def tables(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A table in a folder, and in the store."""
    folder = tmp_path_factory.mktemp("tables") / "t"
    write_stored(folder)
    return folder, store.put_folder(folder, "t")


def contents(folder: Path) -> dict[str, bytes]:
    """Vectors and columns of a table, which its parts' metadata are no part of."""
    table = read_embeddings(folder)
    return {"vectors": table.vectors.tobytes(), "columns": str(table.table.to_pylist()).encode()}


def test_table_info__of_a_url(tables: tuple[Path, str]) -> None:
    folder, url = tables
    local, stored = reddino.table_info(folder), reddino.table_info(url)
    assert replace(stored, folder=local.folder) == local


def test_filter_sample_and_merge__read_a_url(tables: tuple[Path, str], tmp_path: Path) -> None:
    named: dict[str, str | Path] = {"local": tables[0], "stored": tables[1]}
    for name, table in named.items():
        reddino.filter_table(table, tmp_path / name / "f", ["label=round", "x<100"])
        reddino.sample_table(table, tmp_path / name / "s", 30, evenly="source", seed=1)
        reddino.compact_table(table, tmp_path / name / "c")
        reddino.merge_tables([tmp_path / name / "c", table], tmp_path / name / "m", doubles="drop")
    for made in ("f", "s", "c", "m"):
        assert contents(tmp_path / "local" / made) == contents(tmp_path / "stored" / made)


def test_evaluate__of_a_url(tables: tuple[Path, str], tmp_path: Path) -> None:
    for number in range(2):
        reddino.evaluate(
            tables[number], label="label", protocol="kfold", folds=2, out=tmp_path / f"{number}.json"
        )
    first, second = (json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2))
    assert first["results"] == second["results"]
    assert first["results"][0]["cells"] == 80


def test_search__of_a_url(tables: tuple[Path, str], tmp_path: Path) -> None:
    found = [reddino.search(table, like="7", top=5).table for table in tables]
    assert found[0].equals(found[1])
    assert found[0].num_rows == 5


def test_blocks__of_a_large_part_fetch_the_columns_that_are_asked_for(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stored(tmp_path / "large", images=2, dim=60_000)
    url = store.put_folder(tmp_path / "large", "large")
    fetched = 0
    read = ranges.ObjectFile.fetch

    def counted(self: ranges.ObjectFile, start: int, stop: int) -> bytes:
        nonlocal fetched
        data = read(self, start, stop)
        fetched += len(data)
        return data

    monkeypatch.setattr(ranges.ObjectFile, "fetch", counted)
    monkeypatch.setattr(ranges.ObjectFile.__init__, "__defaults__", (100_000, 10_000))
    size = sum(file.stat().st_size for file in (tmp_path / "large").iterdir())
    assert reddino.table_info(url).sources == {"lab0": 20}
    assert fetched < size / 4
    assert np.array_equal(read_embeddings(url).vectors, read_embeddings(tmp_path / "large").vectors)


@pytest.mark.parametrize("verb", ["filter", "evaluate"])
def test_results__are_not_written_to_a_url(tables: tuple[Path, str], verb: str) -> None:
    out = f"{tables[1]}-new/x.json"
    with pytest.raises(RedDinoError, match="of all commands embed alone writes its table to a URL"):
        if verb == "filter":
            reddino.filter_table(tables[0], out, ["label=round"])
        else:
            reddino.evaluate(tables[0], label="label", protocol="kfold", folds=2, out=out)
    assert not Path("s3:").exists()


def test_open_table__names_a_url_without_one(store: ObjectStore) -> None:
    with pytest.raises(RedDinoError, match="no embedding table at 's3://bucket/nothing'"):
        reddino.table_info(f"{store.url}/nothing")
    with pytest.raises(RedDinoError, match="a web server does not list its files"):
        reddino.table_info("http://127.0.0.1:9/t")


def test_fit_and_predict__of_a_url(tables: tuple[Path, str], tmp_path: Path) -> None:
    named: dict[str, str | Path] = {"local": tables[0], "stored": tables[1]}
    for name, table in named.items():
        reddino.fit(table, tmp_path / f"{name}-c", folds=2)
        reddino.predict(tmp_path / "local-c", table, tmp_path / f"{name}.csv")
    made = [
        json.loads((tmp_path / f"{name}-c" / "classifier.json").read_text()) for name in ("local", "stored")
    ]
    assert made[0]["head_hash"] == made[1]["head_hash"]
    assert made[0]["report"] == made[1]["report"]
    for ending in (".csv", ".slides.csv"):
        one, other = (tmp_path / f"{name}{ending}" for name in ("local", "stored"))
        assert one.read_bytes() == other.read_bytes()


def test_explore_and_report__of_a_url_and_of_a_sample_of_it(tables: tuple[Path, str], tmp_path: Path) -> None:
    rows = []
    for number in range(2):
        reddino.explore(tables[number], tmp_path / f"e{number}", method="pca", formats=(), rows=60)
        rows.append(pq.read_table(tmp_path / f"e{number}" / "map.parquet"))
    assert rows[0].equals(rows[1])
    assert "map_fitted" in rows[0].column_names
    reddino.report(tables[1], tmp_path / "r.html", method="pca", rows=60)
    assert "60 of 120" in (tmp_path / "r.html").read_text()
    with pytest.raises(RedDinoError, match=r"s3://bucket/t.html: results are written to files"):
        reddino.report(tables[1], method="pca")


def test_patients__of_a_url(store: ObjectStore, tmp_path: Path) -> None:
    members = drawn_patients(30)
    local = write_cells(tmp_path / "cells", cell_table(members))
    stored = store.put_folder(local, "cells")
    clinical = write_clinical(tmp_path / "c.csv", members)
    reddino.fit_patients(stored, clinical=clinical, target="diagnosis", out=tmp_path / "m")
    found = [
        reddino.predict_patients(tmp_path / "m", one, clinical=clinical, out=tmp_path / "p.csv")
        for one in (local, Path(stored))
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 30


class _ServedError(Exception):
    pass


def test_review__of_a_url_and_of_pictures_in_a_store(store: ObjectStore, tmp_path: Path) -> None:
    write_review_table(tmp_path)
    url = store.put_folder(tmp_path / "table", "review")
    pictures = store.put_folder(tmp_path / "images", "review-images")

    def served(_: str) -> None:
        raise _ServedError

    with pytest.raises(_ServedError):
        reddino.review(url, pictures, database=tmp_path / "r.sqlite", listening=served)
    with ReviewDatabase.open_existing(tmp_path / "r.sqlite") as begun:
        assert begun.rows == len(read_embeddings(url))
    with pytest.raises(RedDinoError, match=r"s3://bucket/review: no review lies next to a table in a store"):
        reddino.review(url, pictures, listening=served)
    with pytest.raises(RedDinoError, match="results are written to files and folders of this machine"):
        reddino.review(url, pictures, database=f"{store.url}/r.sqlite", listening=served)
    assert not Path("s3:").exists()


def test_verbs__refuse_slides_and_shards_by_url_in_one_sentence(store: ObjectStore, tmp_path: Path) -> None:
    for name, why in (("a.svs", "whole slide or microscope file"), ("b.tar", "tar shard")):
        url = store.put(f"others/{name}", b"x")
        with pytest.raises(RedDinoError, match=f"is a {why} behind a URL") as refused:
            reddino.cells(url, tmp_path / "cells.csv")
        assert "copy it to a folder" in str(refused.value)
        with pytest.raises(RedDinoError, match=f"is a {why} behind a URL"):
            reddino.fit(url, tmp_path / "c")
        with pytest.raises(RedDinoError, match=f"is a {why} behind a URL"):
            reddino.embed(url, "morphology", tmp_path / "t")
