"""The table on disk: what is read piece by piece is what is read at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from stored_tables import write_stored

from reddino.embedding.conditions import mask_of, read_conditions
from reddino.embedding.part_files import finished_parts
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_on_disk import open_table
from reddino.foundations.errors import RedDinoError


def test_blocks__hold_all_rows_in_order(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t")
    table = open_table(tmp_path / "t")
    blocks = list(table.blocks(["path"], vectors=True))
    assert len(table) == 120
    assert len(blocks) == 6
    assert np.array_equal(np.concatenate([block.vectors for block in blocks]), vectors)
    assert [block.start for block in blocks] == [0, 20, 40, 60, 80, 100]
    read = read_embeddings(tmp_path / "t")
    assert [one for b in blocks for one in b.columns.column("path").to_pylist()] == read.strings("path")


def test_take__gives_rows_in_the_order_in_which_they_are_asked_for(tmp_path: Path) -> None:
    vectors = write_stored(tmp_path / "t")
    table, rows = open_table(tmp_path / "t"), np.array([77, 3, 77, 119])
    assert np.array_equal(table.take_vectors(rows), vectors[rows])
    read = read_embeddings(tmp_path / "t").select(rows)
    assert table.take(rows).to_pylist() == read.table.to_pylist()


def test_blocks__read_no_other_part_than_asked_for(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    table = open_table(tmp_path / "t")
    assert "x" in table.schema.names
    finished_parts(tmp_path / "t")[0].write_bytes(b"gone")
    assert table.take(np.array([50]), ["x"]).to_pylist() == [{"x": 0.0}]
    with pytest.raises(RedDinoError, match="not readable as Parquet"):
        table.take(np.array([5]), ["x"])


def test_columns__that_are_missing_are_refused_with_those_that_are_there(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match="no column 'age'; it has: path, source"):
        open_table(tmp_path / "t").columns(["age"])


def test_fingerprint__is_of_the_rows_and_not_of_the_place(tmp_path: Path) -> None:
    write_stored(tmp_path / "a")
    write_stored(tmp_path / "b", seed=1)
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    a, b, c = (open_table(tmp_path / name).fingerprint() for name in "abc")
    assert a == c != b


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("source=lab1", range(40, 80)),
        ("source!=lab1", [*range(40), *range(80, 120)]),
        ("label=", range(2, 120, 3)),
        ("label!=", [row for row in range(120) if row % 3 != 2]),
        ("size=", range(0, 120, 5)),
        ("size<7", [1, 2, 3, 4, 6]),
        ("size <= 4", [1, 2, 3, 4]),
        ("size>=118.5", [119]),
        ("size>118", [119]),
        ("size=7", [7]),
        ("size!=7", [row for row in range(120) if row != 7]),
        ("size=seven", []),
    ],
)
def test_conditions__choose_rows(tmp_path: Path, condition: str, rows: list[int]) -> None:
    write_stored(tmp_path / "t")
    table = open_table(tmp_path / "t")
    assert np.flatnonzero(mask_of(table, read_conditions([condition]))).tolist() == list(rows)


def test_conditions__must_all_be_met(tmp_path: Path) -> None:
    write_stored(tmp_path / "t")
    found = mask_of(open_table(tmp_path / "t"), read_conditions(["source=lab0", "label=sickle", "size>10"]))
    assert np.flatnonzero(found).tolist() == [13, 16, 19, 22, 28, 31, 34, 37]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("source", "'source' is no condition"),
        ("source<a", "compares with 'a'|holds text"),
        ("size<big", "'big', which is not a number"),
        ("label>3", "'label' holds text"),
        ("age=3", "no column 'age'"),
    ],
)
def test_conditions__that_make_no_sense_are_refused(tmp_path: Path, condition: str, words: str) -> None:
    write_stored(tmp_path / "t")
    with pytest.raises(RedDinoError, match=words):
        mask_of(open_table(tmp_path / "t"), read_conditions([condition]))
