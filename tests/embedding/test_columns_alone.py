"""What needs columns alone reads no vector: it goes on where the vectors cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_tables import write_stored

import reddino
from reddino.embedding import table_on_disk
from reddino.embedding.table import read_embeddings


def _no_vectors(*_: object) -> None:
    raise AssertionError("vectors were read")


def test_manifest__is_that_of_the_table_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stored(tmp_path / "t")
    wanted = read_embeddings(tmp_path / "t").manifest()
    monkeypatch.setattr(table_on_disk, "vectors_of", _no_vectors)
    found = table_on_disk.open_table(tmp_path / "t").manifest()
    assert found.fingerprint() == wanted.fingerprint()
    assert found.table.to_pylist() == wanted.table.to_pylist()


def test_info__reads_no_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stored(tmp_path / "t")
    monkeypatch.setattr(table_on_disk, "vectors_of", _no_vectors)
    assert reddino.table_info(tmp_path / "t").rows == 120
