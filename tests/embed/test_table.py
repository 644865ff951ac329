"""The table on disk: what is written is read, other tables are refused by name, half of one is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.embed.table import (
    Embeddings,
    TableWriter,
    read_embeddings,
    read_part_record,
    require_comparable,
)
from reddino.errors import RedDinoError

META: dict[str, Any] = {
    "model": "small",
    "weights_hash": "abc",
    "pooling": "cls",
    "view": {"kind": "cells", "side": 1.5},
    "preprocessing": {"input_size": 224, "mean": (0.5, 0.5, 0.5)},
    "precision": "fp32",
    "data": "d1",
    "plan": "p1",
    "dim": 3,
    "dtype": "float32",
    "part_rows": 4,
    "parts": 2,
}


def part(first: int, rows: int = 4) -> tuple[pa.Table, np.ndarray]:
    names = [f"image{i}.png" for i in range(first, first + rows)]
    columns = {"path": names, "w": [float(i) if i % 2 else None for i in range(rows)], "slide": [None] * rows}
    types = pa.schema([("path", pa.string()), ("w", pa.float64()), ("slide", pa.string())])
    vectors = np.random.default_rng(first).normal(size=(rows, 3)).astype(np.float32)
    return pa.table(columns, schema=types), vectors


def write(folder: Path, parts: int = 2, **meta: Any) -> np.ndarray:
    writer = TableWriter(folder, META | meta)
    pieces = [part(4 * i) for i in range(parts)]
    for i, (columns, vectors) in enumerate(pieces):
        writer.write(i, columns, vectors)
    return np.concatenate([vectors for _, vectors in pieces])


def test_read_embeddings__gives_back_what_was_written(tmp_path: Path) -> None:
    vectors = write(tmp_path / "table")
    emb = read_embeddings(tmp_path / "table")
    assert emb.vectors.dtype == np.float32
    assert np.array_equal(emb.vectors, vectors)
    assert emb.strings("path") == [f"image{i}.png" for i in range(8)]
    assert emb.strings("slide") == [""] * 8
    assert np.array_equal(emb.numbers("w"), [np.nan, 1, np.nan, 3] * 2, equal_nan=True)
    assert emb.meta["preprocessing"] == {"input_size": 224, "mean": [0.5, 0.5, 0.5]}


def test_table__is_plain_parquet_with_a_fixed_size_list(tmp_path: Path) -> None:
    vectors = write(tmp_path)
    table = pq.read_table([tmp_path / "part-000000.parquet", tmp_path / "part-000001.parquet"])
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert np.array_equal(np.array(table.column("embedding").to_pylist(), np.float32), vectors)
    assert b"reddino" in table.schema.metadata


def test_table__stores_float16_by_option(tmp_path: Path) -> None:
    vectors = write(tmp_path, dtype="float16")
    emb = read_embeddings(tmp_path)
    assert emb.vectors.dtype == np.float32
    assert np.array_equal(emb.vectors, vectors.astype(np.float16).astype(np.float32))
    assert not np.array_equal(emb.vectors, vectors)


def test_embeddings__select_by_mask_and_by_number(tmp_path: Path) -> None:
    write(tmp_path)
    emb = read_embeddings(tmp_path)
    mask = np.arange(8) % 3 == 0
    assert emb.select(mask).strings("path") == ["image0.png", "image3.png", "image6.png"]
    assert np.array_equal(emb.select(np.array([6, 0])).vectors, emb.vectors[[6, 0]])
    assert len(emb.select(np.zeros(8, dtype=bool))) == 0


def test_embeddings__name_the_columns_when_one_is_missing(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(RedDinoError, match="no column 'patient'; it has: path, w, slide"):
        read_embeddings(tmp_path).strings("patient")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("weights_hash", "xyz", r"model's weights \('abc' against 'xyz'\)"),
        ("pooling", "mean", "pooling"),
        ("view", {"kind": "cells", "side": 2.0}, "view"),
        ("preprocessing", {"input_size": 112}, "preprocessing"),
        ("precision", "bf16", "precision"),
        ("data", "d2", "manifest"),
        ("plan", "p2", "places of the views"),
        ("part_rows", 8, "rows a part"),
        ("dtype", "float16", "number type"),
    ],
)
def test_table_writer__refuses_another_table_and_names_the_key(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    write(tmp_path)
    with pytest.raises(RedDinoError, match=words) as caught:
        TableWriter(tmp_path, META | {key: value})
    assert str(caught.value).count("against") == 1
    assert TableWriter(tmp_path, META).finished.keys() == {0, 1}


@pytest.mark.parametrize("key", ["weights_hash", "pooling", "view", "preprocessing"])
def test_require_comparable__names_what_differs(tmp_path: Path, key: str) -> None:
    write(tmp_path / "a")
    a = read_embeddings(tmp_path / "a")
    b = Embeddings(a.vectors, a.table, dict(a.meta) | {key: "other"})
    with pytest.raises(RedDinoError, match="not comparable"):
        require_comparable(a, b)


def test_require_comparable__other_data_is_what_comparing_is_for(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", data="d2", plan="p2", precision="bf16")
    require_comparable(read_embeddings(tmp_path / "a"), read_embeddings(tmp_path / "b"))


def test_read_embeddings__refuses_an_unfinished_table(tmp_path: Path) -> None:
    write(tmp_path, parts=1)
    with pytest.raises(RedDinoError, match="1 of 2 parts"):
        read_embeddings(tmp_path)
    assert len(read_embeddings(tmp_path, partial=True)) == 4


def test_table_writer__takes_parts_in_any_order_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    leftover = tmp_path / ".part-000000.parquet.123.partial"
    leftover.write_bytes(b"PAR1 half")
    writer = TableWriter(tmp_path, META)
    assert not leftover.exists()
    writer.write(1, *part(4))
    assert TableWriter(tmp_path, META).finished.keys() == {1}
    writer.write(0, *part(0))
    assert read_embeddings(tmp_path).strings("path")[0] == "image0.png"


def test_table_writer__keeps_the_failures_of_a_part_that_has_no_rows(tmp_path: Path) -> None:
    columns, vectors = part(0)
    TableWriter(tmp_path, META | {"parts": 1}).write(0, columns[:0], vectors[:0], [("a.png", "it is empty")])
    record = read_part_record(tmp_path / "part-000000.parquet")
    assert (record.rows, record.failures) == (0, (("a.png", "it is empty"),))
    assert read_embeddings(tmp_path).vectors.shape == (0, 3)


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", None])
def test_read_embeddings__says_what_is_not_a_table(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "part-000000.parquet").write_bytes(content)
    else:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "part-000000.parquet")
    with pytest.raises(RedDinoError, match=r"part-000000\.parquet"):
        read_embeddings(tmp_path)


def test_read_embeddings__says_where_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="No embedding table at"):
        read_embeddings(tmp_path / "absent")
