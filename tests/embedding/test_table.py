"""The table on disk: what is written is read, other tables are refused by name, half of one is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reddino.embedding.comparable import in_short, require_comparable, same_settings
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.part_files import META_KEY, PART_KEY, PartRecord, finished_parts, read_part
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_writer import TableWriter, only_writer
from reddino.foundations.errors import RedDinoError

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
    "images": 8,
}
KINDS: dict[str, pa.DataType] = {"path": pa.string(), "w": pa.float64(), "slide": pa.string()}
COLUMNS = pa.schema(KINDS)


def part(first: int, rows: int = 4) -> tuple[pa.Table, np.ndarray]:
    names = [f"image{i}.png" for i in range(first, first + rows)]
    columns = {"path": names, "w": [float(i) if i % 2 else None for i in range(rows)], "slide": [None] * rows}
    vectors = np.random.default_rng(first).normal(size=(rows, 3)).astype(np.float32)
    return pa.table(columns, schema=COLUMNS), vectors


def record(first: int, rows: int = 4) -> PartRecord:
    return PartRecord(first, first + 4, rows, rows)


def write(folder: Path, parts: int = 2, **meta: Any) -> np.ndarray:
    writer = TableWriter(folder, META | meta, COLUMNS)
    pieces = [part(4 * i) for i in range(parts)]
    for i, (columns, vectors) in enumerate(pieces):
        writer.write(record(4 * i), columns, vectors)
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
    table = pq.read_table([tmp_path / "part-000000000.parquet", tmp_path / "part-000000004.parquet"])
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
        (
            "preprocessing",
            META["preprocessing"] | {"input_size": 112},
            r"\(input_size 224 against input_size 112\)",
        ),
        ("precision", "bf16", "precision"),
        ("runtime", "onnx", "runtime"),
        ("per", "field", "the meaning of a row"),
        ("data", "d2", "manifest"),
        ("plan", "p2", "cell diameters"),
        ("part_rows", 8, "rows a part"),
        ("dtype", "float16", "number type"),
    ],
)
def test_table_writer__refuses_another_table_and_names_the_key(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    write(tmp_path)
    with pytest.raises(RedDinoError, match=words) as caught:
        TableWriter(tmp_path, META | {key: value}, COLUMNS)
    assert str(caught.value).count("against") == 1
    assert TableWriter(tmp_path, META, COLUMNS).records.keys() == {0, 4}


@pytest.mark.parametrize("key", ["weights_hash", "pooling", "per", "view", "preprocessing"])
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
    with pytest.raises(RedDinoError, match="lacks 4 of 8 images"):
        read_embeddings(tmp_path)
    assert len(read_embeddings(tmp_path, partial=True)) == 4


def test_table_writer__takes_parts_in_any_order_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    leftover = tmp_path / ".part-000000000.parquet.123.partial"
    leftover.write_bytes(b"PAR1 half")
    writer = TableWriter(tmp_path, META, COLUMNS)
    assert not leftover.exists()
    writer.write(record(4), *part(4))
    again = TableWriter(tmp_path, META, COLUMNS)
    assert again.records.keys() == {4}
    assert again.missing() == [(0, 4)]
    again.write(record(0), *part(0))
    assert again.missing() == []
    assert read_embeddings(tmp_path).strings("path")[0] == "image0.png"


@pytest.mark.parametrize(
    ("covered", "missing"),
    [([], [(0, 8)]), ([(2, 3)], [(0, 2), (3, 8)]), ([(6, 8), (0, 2)], [(2, 6)]), ([(0, 8)], [])],
)
def test_table_writer__knows_which_images_are_missing(
    tmp_path: Path, covered: list[tuple[int, int]], missing: list[tuple[int, int]]
) -> None:
    writer = TableWriter(tmp_path, META, COLUMNS)
    for start, stop in covered:
        writer.write(PartRecord(start, stop, 4, 4), *part(start))
    assert TableWriter(tmp_path, META, COLUMNS).missing() == missing


@pytest.mark.parametrize("wrong", [(2, 6), (6, 9)])
def test_table_writer__refuses_parts_that_do_not_fit_together(tmp_path: Path, wrong: tuple[int, int]) -> None:
    write(tmp_path, parts=1)
    writer = TableWriter(tmp_path, META, COLUMNS)
    writer.write(PartRecord(*wrong, 4, 4), *part(4))
    with pytest.raises(RedDinoError, match=rf"part-00000000{wrong[0]}.*covers images"):
        writer.missing()
    with pytest.raises(RedDinoError, match="does not fit the other parts"):
        read_embeddings(tmp_path)


def test_table_writer__keeps_the_record_of_a_part_that_has_no_rows(tmp_path: Path) -> None:
    columns, vectors = part(0)
    empty = PartRecord(0, 8, 0, 0, {"": 2, "oval": 5}, (("a.png", "it is empty"),))
    TableWriter(tmp_path, META, COLUMNS).write(empty, columns[:0], vectors[:0])
    assert read_part(tmp_path / "part-000000000.parquet")[1] == empty
    read = read_embeddings(tmp_path)
    assert (read.vectors.shape, read.meta["dropped"]) == ((0, 3), {"": 2, "oval": 5})


def test_part_writer__rows_leave_memory_in_groups_and_nothing_appears_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reddino.embedding import table_writer

    monkeypatch.setattr(table_writer, "ROW_GROUP_BYTES", 2 * 4 * 3 * 4)
    writing = TableWriter(tmp_path, META, COLUMNS).part(0)
    pieces = [part(4 * i) for i in range(5)]
    for columns, vectors in pieces:
        writing.append(columns, vectors)
    assert finished_parts(tmp_path) == {}
    writing.finish(PartRecord(0, 8, 20, 20))
    stored = pq.read_metadata(tmp_path / "part-000000000.parquet")
    assert [stored.row_group(i).num_rows for i in range(stored.num_row_groups)] == [8, 8, 4]
    assert np.array_equal(read_embeddings(tmp_path).vectors, np.concatenate([v for _, v in pieces]))


def test_part_writer__abandoned_leaves_nothing(tmp_path: Path) -> None:
    writing = TableWriter(tmp_path, META, COLUMNS).part(0)
    writing.append(*part(0))
    writing.abandon()
    assert list(tmp_path.iterdir()) == []


def test_part_writer__refuses_a_record_of_other_rows(tmp_path: Path) -> None:
    writing = TableWriter(tmp_path, META, COLUMNS).part(0)
    writing.append(*part(0))
    with pytest.raises(ValueError, match="3 rows, 4 were added"):
        writing.finish(record(0, rows=3))
    writing.abandon()


def test_only_writer__keeps_a_second_pass_out_and_lets_the_next_in(tmp_path: Path) -> None:
    refused = pytest.raises(RedDinoError, match="another pass is writing to")
    with only_writer(tmp_path / "t"), refused, only_writer(tmp_path / "t"):
        pass
    with only_writer(tmp_path / "t"):
        assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", None])
def test_read_embeddings__says_what_is_not_a_table(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "part-000000000.parquet").write_bytes(content)
    else:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "part-000000000.parquet")
    with pytest.raises(RedDinoError, match=r"part-000000000\.parquet"):
        read_embeddings(tmp_path)


def test_read_embeddings__says_where_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="no embedding table at"):
        read_embeddings(tmp_path / "absent")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("dim", 10**9, "dim: Input should be less than"),
        ("dim", 4, "holds no vectors of 4 numbers"),
        ("images", "8", "images: Input should be a valid integer"),
        ("view", [], "view: "),
        ("preprocessing", {"mean": "x"}, "preprocessing.mean: "),
        ("weights_hash", None, "weights_hash: "),
    ],
)
def test_read_embeddings__names_the_key_of_a_part_that_does_not_fit(
    tmp_path: Path, key: str, value: Any, reason: str
) -> None:
    write(tmp_path / "t")
    changed(tmp_path / "t", META_KEY, {key: value})
    with pytest.raises(RedDinoError) as caught:
        read_embeddings(tmp_path / "t")
    assert "part-000000000.parquet" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("rows", 5, "4 rows for 5"),
        ("rows", 10**12, "4 rows for"),
        ("start", -1, "start: "),
        ("failures", [["a"]], "failures.0"),
        ("hashes", {"x": "0" * 32}, "hashes.x"),
        ("hashes", {"1": "zz"}, "hashes.1"),
        ("more", 1, "more: unknown key"),
    ],
)
def test_read_embeddings__names_the_note_of_a_part_that_does_not_fit(
    tmp_path: Path, key: str, value: Any, reason: str
) -> None:
    write(tmp_path / "t")
    changed(tmp_path / "t", PART_KEY, {key: value})
    with pytest.raises(RedDinoError) as caught:
        read_embeddings(tmp_path / "t")
    assert reason in str(caught.value)


def test_read_embeddings__refuses_parts_of_two_tables(tmp_path: Path) -> None:
    write(tmp_path / "t")
    write(tmp_path / "other", weights_hash="xyz")
    shutil.copy(tmp_path / "other" / "part-000000004.parquet", tmp_path / "t")
    with pytest.raises(RedDinoError, match="the model's weights"):
        read_embeddings(tmp_path / "t")


def changed(folder: Path, key: bytes, values: dict[str, Any]) -> None:
    """Write the first part again, with other metadata."""
    path = folder / "part-000000000.parquet"
    with pq.ParquetFile(path) as file:
        table, notes = file.read(), dict(file.metadata.metadata or {})
    metadata = {META_KEY: table.schema.metadata[META_KEY], PART_KEY: notes[PART_KEY]}
    metadata[key] = json.dumps({**json.loads(metadata[key]), **values}).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_in_short__tells_a_key_without_a_value_from_one_that_is_absent() -> None:
    assert in_short({"a": None, "b": 1}, {"b": 1}) == "a None"
    assert in_short({"b": 1}, {"a": None, "b": 1}) == "a 'unset'"


def test_settings__are_the_same_however_json_writes_them() -> None:
    assert same_settings({"side": 8, "mean": (0.5, 0.5)}, {"side": 8.0, "mean": [0.5, 0.5]})
    assert not same_settings({"side": 8}, {"side": 8.5})
