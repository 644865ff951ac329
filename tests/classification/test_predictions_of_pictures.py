"""Predictions go with the pictures that they are of: others of the same names and sizes are refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields

import reddino
from reddino.embedding.growth import picture_digests
from reddino.embedding.table import read_embeddings
from reddino.figures.overview import Overview
from reddino.figures.prediction_file import read_prediction_file, with_predictions
from reddino.foundations.errors import RedDinoError
from reddino.smears.contents import read_content
from reddino.smears.manifest import Manifest


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Fields as BMP files, whose size says nothing of what they show."""
    folder = tmp_path_factory.mktemp("smears")
    drawn = draw_fields(folder, fields=6)
    for name in drawn.images()[0]:
        cv2.imwrite(str(folder / name.replace("png", "bmp")), cv2.imread(str(folder / name)))
    return drawn.with_column("path", [name.replace("png", "bmp") for name in drawn.strings("path")])


@pytest.fixture(scope="module")
def work(smears: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and a table of the fields, their predictions, and those of replaced pictures."""
    folder = tmp_path_factory.mktemp("work")
    reddino.fit(smears, folder / "c", model="morphology")
    reddino.embed(smears, "morphology", folder / "t")
    reddino.predict(folder / "c", smears, folder / "p.parquet", kinds=False)
    reddino.predict(folder / "c", folder / "t", folder / "of-table.csv", kinds=False)
    path = smears.root / "f2.bmp"
    before = path.read_bytes()
    cv2.imwrite(str(path), 255 - np.asarray(cv2.imread(str(path))))
    assert len(path.read_bytes()) == len(before)
    reddino.predict(folder / "c", smears, folder / "other.parquet", kinds=False)
    path.write_bytes(before)
    return folder


@pytest.mark.parametrize("name", ["p.parquet", "of-table.csv"])
def test_predictions__note_the_content_of_their_pictures(smears: Manifest, work: Path, name: str) -> None:
    file = read_prediction_file(work / name)
    read = {path: read_content(smears.root / path) for path in smears.images()[0]}
    assert file.pictures == {path: content.digest for path, content in read.items() if content}
    joined, notes = with_predictions(read_embeddings(work / "t"), file, picture_digests(work / "t"))
    assert notes == () and "" not in joined.strings("predicted")


def test_report__refuses_predictions_of_other_pictures_of_the_same_names(work: Path) -> None:
    file = work / "other.parquet"
    sentence = (
        r"other\.parquet is of other pictures than the table: 1 of 6 have .* such as 'f2\.bmp'; predict"
    )
    with pytest.raises(RedDinoError, match=sentence):
        reddino.report(work / "t", work / "r.html", predictions=file, method="pca")
    assert not (work / "r.html").exists()
    # Cells of the other pictures are what they were.
    table = read_embeddings(work / "t")
    others = table.select([path != "f2.bmp" for path in table.strings("path")])
    assert with_predictions(others, read_prediction_file(file), picture_digests(work / "t"))[1] == ()


def test_report__takes_predictions_of_before_and_says_so(work: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(work / "other.parquet"), tmp_path / "old.parquet")
    note = json.loads((work / "other.json").read_text())
    del note["pictures"]
    (tmp_path / "old.json").write_text(json.dumps(note | {"file": "old.parquet"}))
    page = reddino.report(work / "t", tmp_path / "r.html", predictions=tmp_path / "old.parquet", method="pca")
    sentence = "predictions of an earlier version hold no fingerprint of 6 of 6 pictures"
    assert sentence in page.read_text()
    alone = Overview.of(read_embeddings(work / "t"), method="pca").notes
    assert not any("fingerprint" in line for line in alone)


def test_picture_digests__are_known_also_without_the_list_next_to_the_parts(
    work: Path, tmp_path: Path
) -> None:
    for part in (work / "t").glob("part-*"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    assert len(picture_digests(tmp_path)) == 6
    assert picture_digests(tmp_path) == picture_digests(work / "t")


def test_predictions__keep_the_digests_out_of_the_rows_metadata(work: Path) -> None:
    told = json.loads(pq.read_table(work / "p.parquet").schema.metadata[b"reddino"])
    assert told["cells"] == 72 and "pictures" not in told


def test_report__of_predictions_names_pictures_that_were_replaced_since(
    smears: Manifest, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, wanted in (("p.parquet", False), ("other.parquet", True)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            reddino.report(work / name, work / "own.html", images=smears.root, method="pca")
        assert ("replaced since they were classified (1, the first is f2.bmp)" in caplog.text) == wanted
