"""The folder of a table opens in other programs in one line, whatever else lies in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from smear_fields import VIEW, Projection, make_fields
from stored_tables import write_stored

from reddino.embedding.copies_file import COPIES_FILE, read_copies, write_copies_file
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.growth import find_growth
from reddino.embedding.seen_file import SEEN_FILE, read_seen_file, write_seen_file
from reddino.embedding.table import read_embeddings

#: What programs that read folders of Parquet are told to pass over (docs/reference/formats.md).
PASSED_OVER = ["_", ".", "failures"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table that grew, of which a picture failed, with every file that RedDino puts next to the parts."""
    every = make_fields(tmp_path / "fields")
    (tmp_path / "fields" / "field01.png").write_bytes(b"not an image")
    some = every.select(np.array([path < "field05.png" for path in every.strings("path")]))
    for manifest in (some, every):
        growth = find_growth(manifest, tmp_path / "t")
        embed_manifest(
            growth.manifest,
            Projection(),
            tmp_path / "t",
            view=VIEW,
            part_rows=20,
            batch_size=4,
            growth=growth,
        )
    write_copies_file(tmp_path / "t", {"copies": []})
    write_seen_file(tmp_path / "t", {"lab": {"status": "unseen"}})
    (tmp_path / "t" / "_index").mkdir()
    (tmp_path / "t" / "_index" / "vectors.raw").write_bytes(b"not Parquet")
    return tmp_path / "t"


def test_table__opens_in_pandas_in_one_line(table: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(str(table), ignore_prefixes=PASSED_OVER)
    read = read_embeddings(table)
    assert len(frame) == len(read) == 11 * 7
    assert frame["cell_id"].tolist() == read.strings("cell_id")
    assert np.array_equal(np.stack(frame["embedding"]), read.vectors)


def test_table__opens_in_pyarrow_in_one_line(table: Path) -> None:
    found = pq.read_table(table, ignore_prefixes=PASSED_OVER)
    assert found.column("cell_id").to_pylist() == read_embeddings(table).strings("cell_id")


def test_table__without_failures_opens_by_its_folder_alone(tmp_path: Path) -> None:
    embed_manifest(make_fields(tmp_path / "fields"), Projection(), tmp_path / "t", view=VIEW)
    write_seen_file(tmp_path / "t", {"lab": {"status": "unseen"}})
    assert pq.read_table(tmp_path / "t").num_rows == len(read_embeddings(tmp_path / "t"))


def test_table__opens_in_polars_in_one_line(table: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.scan_parquet(f"{table}/*.parquet").collect()
    assert frame["cell_id"].to_list() == read_embeddings(table).strings("cell_id")
    assert np.array_equal(frame["embedding"].to_numpy(), read_embeddings(table).vectors)


def test_table__of_an_earlier_version_keeps_its_notes_until_they_are_written_anew(table: Path) -> None:
    for name in (COPIES_FILE, SEEN_FILE):
        (table / f"_{name}").rename(table / name)
    assert read_copies(table) == {}
    assert read_seen_file(table) == {"lab": "unseen"}
    write_copies_file(table, {"copies": [["a.png", "b.png"]]})
    assert read_copies(table) == {"a.png": "a.png", "b.png": "a.png"}
    assert not (table / COPIES_FILE).exists()


def test_table__opens_in_duckdb_in_one_line(table: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT cell_id, embedding FROM '{table}/part-*.parquet'").fetchall()
    read = read_embeddings(table)
    assert [cell for cell, _ in found] == read.strings("cell_id")
    assert np.array_equal(np.array([vector for _, vector in found], np.float32), read.vectors)


def test_table__is_filtered_by_polars_in_one_line(table: Path) -> None:
    polars = pytest.importorskip("polars")
    found = polars.scan_parquet(f"{table}/part-*.parquet").filter(polars.col("label") == "target").collect()
    read = read_embeddings(table)
    mine = read.select(np.array(read.strings("label")) == "target")
    assert found["cell_id"].to_list() == mine.strings("cell_id")
    assert np.array_equal(found["embedding"].to_numpy(), mine.vectors)


@pytest.mark.parametrize("program", ["duckdb", "polars"])
def test_table__of_float16_opens_there_too(tmp_path: Path, program: str) -> None:
    module = pytest.importorskip(program)
    vectors = write_stored(tmp_path / "t", dtype="float16")
    if program == "duckdb":
        rows = module.sql(f"SELECT embedding FROM '{tmp_path}/t/part-*.parquet'").fetchall()
        found = np.array([vector for (vector,) in rows], np.float32)
    else:
        found = module.scan_parquet(f"{tmp_path}/t/part-*.parquet").collect()["embedding"].to_numpy()
    assert np.array_equal(found.astype(np.float32), vectors)
