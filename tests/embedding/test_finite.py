"""Vectors that are not finite never become rows, and a table that holds some is refused by every reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from smear_fields import VIEW, Projection, make_fields

import reddino
from reddino.embedding.convert import save
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import finite_rows
from reddino.embedding.part_files import PartRecord
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_writer import TableWriter
from reddino.embedding.transformer import EmbeddingTransformer
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures

META: dict[str, Any] = {
    "model": "small",
    "weights_hash": "abc",
    "pooling": "cls",
    "view": VIEW.metadata(),
    "preprocessing": {"input_size": 8},
    "data": "d",
    "plan": "p",
    "dim": 3,
    "dtype": "float32",
    "part_rows": 4,
    "images": 4,
}
NAMES = ("path", "source", "slide", "patient", "group", "label")


class Failing(Projection):
    """Gives NaN for every square whose first pixel is darker than this, and infinity for those near white."""

    dark, light = 60, 250

    def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
        vectors = super().embed(images, pooling)
        vectors[images[:, 0, 0, 0] < self.dark, 1] = np.nan
        vectors[images[:, 0, 0, 0] >= self.light, 2] = -np.inf
        return vectors


def nan_table(folder: Path) -> Path:
    """A table of four images, the third of which has a vector with NaN."""
    columns = {name: [f"{name}{row}" for row in range(4)] for name in NAMES}
    numbers = {name: np.full(4, 10.0) for name in ("x", "y", "w", "h", "cell_diameter", "view_side")}
    table = pa.table({**columns, **numbers})
    vectors = np.ones((4, 3), np.float32)
    vectors[2, 1] = np.nan
    TableWriter(folder, META, table.schema).write(PartRecord(0, 4, 4, 4), table, vectors)
    return folder


def test_finite_rows__knows_what_the_stored_type_can_hold() -> None:
    vectors = np.array([[0, 65504], [0, 65519], [0, -65520], [np.nan, 0], [0, np.inf]], np.float32)
    assert finite_rows(vectors).tolist() == [True, True, True, False, False]
    assert finite_rows(vectors, "float16").tolist() == [True, True, False, False, False]
    assert finite_rows(vectors[:0]).tolist() == []
    tokens = np.zeros((2, 3, 4), np.float32)
    tokens[1, 2, 3] = np.nan
    assert finite_rows(tokens).tolist() == [True, False]


@pytest.mark.parametrize("part_rows", [2048, 5])
def test_embed_manifest__lists_views_without_a_finite_vector_and_keeps_the_others(
    tmp_path: Path, part_rows: int
) -> None:
    manifest = make_fields(tmp_path / "fields")
    embed_manifest(manifest, Projection(), tmp_path / "right", view=VIEW)
    right = read_embeddings(tmp_path / "right")
    failures = Failures()
    encoder = Failing()
    report = embed_manifest(
        manifest, encoder, tmp_path / "t", view=VIEW, part_rows=part_rows, failures=failures
    )
    read = read_embeddings(tmp_path / "t")
    assert 0 < report.not_finite == len(right) - len(read) < len(right)
    kept = {name: vector.tolist() for name, vector in zip(read.strings("cell_id"), read.vectors, strict=True)}
    for name, vector in zip(right.strings("cell_id"), right.vectors, strict=True):
        assert kept.get(name, vector.tolist()) == vector.tolist()
    lost = [
        path
        for path, cell in zip(right.strings("path"), right.strings("cell_id"), strict=True)
        if cell not in kept
    ]
    assert {path for path, _ in failures} == set(lost)
    first, reason = next(iter(failures))
    assert (
        reason
        == f"{lost.count(first)} of its vectors left out, numbers that are not finite: try --precision fp32"
    )
    again = embed_manifest(manifest, encoder, tmp_path / "t", view=VIEW, part_rows=part_rows)
    assert (again.not_finite, again.resumed) == (report.not_finite, len(read))


def test_embed_manifest__a_field_with_one_broken_view_has_no_mean(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    report = embed_manifest(manifest, Failing(), tmp_path / "t", view=VIEW, per="field")
    embed_manifest(manifest, Projection(), tmp_path / "right", view=VIEW, per="field")
    read, right = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "right")
    assert 0 < len(read) == 12 - report.not_finite < 12
    means = dict(zip(right.strings("path"), right.vectors.tolist(), strict=True))
    assert [means[path] for path in read.strings("path")] == read.vectors.tolist()


def test_embed_manifest__refuses_numbers_beyond_float16_with_what_to_do(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    encoder = Projection()
    encoder.matrix *= 1e5
    with pytest.raises(RedDinoError, match="numbers beyond float16: embed with --dtype float32"):
        embed_manifest(manifest, encoder, tmp_path / "half", view=VIEW, dtype="float16")
    assert embed_manifest(manifest, encoder, tmp_path / "single", view=VIEW).not_finite == 0


def test_every_reader_of_tables__refuses_vectors_that_are_not_finite(tmp_path: Path) -> None:
    table = nan_table(tmp_path / "t")
    said = "1 of 4 vectors of 'small' hold numbers that are not finite .the first is of path2"
    with pytest.raises(RedDinoError, match=said):
        read_embeddings(table)
    for suffix in (".csv", ".npz", ".h5ad"):
        with pytest.raises(RedDinoError, match=said):
            reddino.convert(table, tmp_path / f"o{suffix}")
    with pytest.raises(RedDinoError, match=said):
        reddino.fit(table, tmp_path / "c")
    with pytest.raises(RedDinoError, match=said):
        reddino.evaluate(table)
    with pytest.raises(RedDinoError, match=said):
        reddino.batch(table)
    with pytest.raises(RedDinoError, match=said):
        reddino.report(table, tmp_path / "r.html")
    assert {path.name for path in tmp_path.iterdir()} == {"t"}


def test_save__refuses_vectors_in_memory_that_are_not_finite(tmp_path: Path) -> None:
    made = Embeddings(np.full((1, 2), np.inf, np.float32), pa.table({"path": ["a.png"]}), {"model": "m"})
    with pytest.raises(RedDinoError, match="1 of 1 vectors of 'm'"):
        save(made, tmp_path / "o.npz")
    assert list(tmp_path.iterdir()) == []


def test_transformer__refuses_images_whose_vectors_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        weights_hash = "abc"
        dim = 3

        def check_pooling(self, pooling: str) -> None:
            pass

        def embed(self, images: Any, pooling: str, *, batch_size: int) -> np.ndarray:
            vectors = np.zeros((len(images), 3), np.float32)
            vectors[2:] = np.nan
            return vectors

    made = EmbeddingTransformer()
    monkeypatch.setattr(made, "_open", Network)
    images = [np.zeros((3, 3, 3), np.uint8)] * 4
    assert made.fit(images[:1]).transform(images[:2]).tolist() == [[0, 0, 0]] * 2
    with pytest.raises(RedDinoError, match=r"vectors of 2 of 4 images .* image 2, from 0"):
        made.transform(images)
