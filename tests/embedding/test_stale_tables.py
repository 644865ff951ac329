"""A table that is older than its pictures or its manifest is refused, with what differs."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from smear_fields import VIEW, Projection, make_fields

import reddino
from reddino.embedding.comparable import require_same_views
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.part_files import finished_parts
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, write_manifest


@pytest.fixture
def fields(tmp_path: Path) -> Manifest:
    """Fields as BMP files, whose size says nothing of what they show."""
    manifest = make_fields(tmp_path / "fields", fields=4, cells=3)
    return manifest.with_column("path", [as_bmp(manifest.root, path) for path in manifest.strings("path")])


def as_bmp(root: Path, name: str) -> str:
    bmp = Path(name).with_suffix(".bmp").name
    if not (root / bmp).exists():
        cv2.imwrite(str(root / bmp), cv2.imread(str(root / name)))
    return bmp


def replace_picture(manifest: Manifest, name: str, *, keep_date: bool = False) -> None:
    path = manifest.root / name
    before = path.stat()
    pixels = cv2.imread(str(path))
    assert pixels is not None
    cv2.imwrite(str(path), 255 - pixels)
    assert path.stat().st_size == before.st_size
    if keep_date:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("keep_date", [False, True])
def test_embed_manifest__refuses_a_table_of_a_picture_that_was_replaced(
    fields: Manifest, tmp_path: Path, keep_date: bool
) -> None:
    embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW)
    replace_picture(fields, "field02.bmp", keep_date=keep_date)
    with pytest.raises(RedDinoError, match=r"t' holds vectors of another picture than 'field02\.bmp' is now"):
        embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW)


def test_embed_manifest__does_not_mix_pictures_when_it_goes_on(fields: Manifest, tmp_path: Path) -> None:
    embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW, part_rows=3)
    for part in list(finished_parts(tmp_path / "t").values())[2:]:
        part.unlink()
    for name in fields.images()[0][2:]:  # of which no part knows
        replace_picture(fields, name)
    assert embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW, part_rows=3).resumed == 6
    replace_picture(fields, fields.images()[0][0])
    with pytest.raises(RedDinoError, match=r"another picture than 'field00\.bmp'"):
        embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW, part_rows=3)


def test_embed_manifest__takes_a_table_whose_pictures_were_copied(fields: Manifest, tmp_path: Path) -> None:
    embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW)
    shutil.copytree(fields.root, tmp_path / "copy", copy_function=shutil.copyfile)
    copied = Manifest(fields.table, tmp_path / "copy")
    report = embed_manifest(copied, Projection(), tmp_path / "t", view=VIEW)
    assert report.resumed == report.rows == 12


def test_embed_manifest__knows_that_a_broken_picture_was_mended(fields: Manifest, tmp_path: Path) -> None:
    whole = (fields.root / "field01.bmp").read_bytes()
    (fields.root / "field01.bmp").write_bytes(bytes(len(whole)))
    assert embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW).failed == 1
    (fields.root / "field01.bmp").write_bytes(whole)
    with pytest.raises(RedDinoError, match=r"another picture than 'field01\.bmp'"):
        embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW)


def test_embed_manifest__names_the_column_that_changed(fields: Manifest, tmp_path: Path) -> None:
    stained = fields.with_column("stain", ["giemsa"] * len(fields))
    embed_manifest(stained, Projection(), tmp_path / "t", view=VIEW)
    edited = fields.with_column("stain", ["giemsa"] * (len(fields) - 1) + ["wright"])
    for manifest, said in (
        (edited, "column 'stain' of the manifest, which changed"),
        (fields, "column 'stain' of the manifest, which is gone"),
        (
            stained.with_column("split", ["train"] * len(fields)),
            "column 'split' of the manifest, which is new",
        ),
        (stained.with_column("label", ["x"] * len(fields)), "column 'label' of the manifest, which changed"),
    ):
        with pytest.raises(RedDinoError, match=f"differs in {said}; choose another folder"):
            embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)
    assert embed_manifest(stained, Projection(), tmp_path / "t", view=VIEW).resumed == len(fields)


def test_require_same_views__refuses_tables_before_and_after_pictures_were_replaced(
    fields: Manifest, tmp_path: Path
) -> None:
    embed_manifest(fields, Projection(), tmp_path / "a", view=VIEW)
    embed_manifest(fields, Projection(seed=1), tmp_path / "b", view=VIEW)
    replace_picture(fields, "field00.bmp")
    embed_manifest(fields, Projection(seed=2), tmp_path / "c", view=VIEW)
    a, b, c = (read_embeddings(tmp_path / name) for name in "abc")
    require_same_views({"a": a, "b": b})
    with pytest.raises(RedDinoError, match=r"'a' and 'c' .* the pictures, which were replaced between them"):
        require_same_views({"a": a, "c": c})


def test_evaluate__does_not_answer_from_a_table_of_other_pictures(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        colour = ((40, 40, 200), (200, 40, 40))[number % 2]
        cv2.imwrite(str(tmp_path / f"{number}.bmp"), np.full((48, 48, 3), colour, np.uint8))
        rows.append({"path": f"{number}.bmp", "source": "lab", "label": "ab"[number % 2]})
    write_manifest(Manifest(pa.Table.from_pylist(rows), tmp_path), tmp_path / "m.csv")

    def evaluate() -> float:
        found = reddino.evaluate(
            models=["colour-histogram"],
            data=[tmp_path / "m.csv"],
            tables=tmp_path / "tables",
            folds=2,
            embedding={"view": "image"},
            classifiers=("1-NN",),
        )
        return found[0].mean("1-NN").weighted_f1

    assert evaluate() == evaluate() == 1.0
    for number in range(24):
        cv2.imwrite(str(tmp_path / f"{number}.bmp"), np.full((48, 48, 3), (40, 40, 200), np.uint8))
    with pytest.raises(RedDinoError, match=r"holds vectors of another picture than '1\.bmp'"):
        evaluate()
    shutil.rmtree(tmp_path / "tables")
    assert evaluate() < 0.7


def test_read_embeddings__a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields", fields=3, cells=4)
    embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW)
    (part,) = finished_parts(tmp_path / "t").values()
    whole, right = part.read_bytes(), read_embeddings(tmp_path / "t")
    refused = 0
    for place in range(4, len(whole), 61):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        part.write_bytes(bytes(content))
        try:
            read = read_embeddings(tmp_path / "t")
        except RedDinoError as error:
            assert "part-000000000.parquet" in str(error)
            refused += 1
            continue
        assert np.array_equal(read.vectors, right.vectors)
        assert read.table.equals(right.table)
        assert read.meta == right.meta
    assert refused > 50
    part.unlink()
    assert embed_manifest(manifest, Projection(), tmp_path / "t", view=VIEW).resumed == 0
    assert part.read_bytes()[4:100] == whole[4:100]


def test_explore__says_which_pictures_were_replaced_since(
    fields: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    embed_manifest(fields, Projection(), tmp_path / "t", view=VIEW)
    os.utime(fields.root / "field01.bmp")
    options: dict[str, Any] = {"images": fields.root, "method": "pca", "formats": ("png",)}
    reddino.explore(tmp_path / "t", tmp_path / "before", **options)
    assert "replaced" not in caplog.text
    replace_picture(fields, "field02.bmp", keep_date=True)
    reddino.explore(tmp_path / "t", tmp_path / "after", **options)
    assert "replaced since they were embedded (1, the first is field02.bmp)" in caplog.text
