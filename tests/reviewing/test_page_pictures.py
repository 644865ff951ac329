"""Pictures of cells are cut where their views lie, and from no file outside of the given folders."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from review_tables import ACROSS, DOWN, PER_FIELD, SIDE, colour_of_cell, write_review_table

from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.reviewing.web.pictures import CellPictures


def _pixels(jpeg: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(jpeg)))


def test_cell__shows_the_view_of_its_row(tmp_path: Path) -> None:
    pictures = CellPictures(read_embeddings(write_review_table(tmp_path)), tmp_path / "images")
    for row in (0, 1, PER_FIELD + 7, 5 * PER_FIELD):
        cut = _pixels(pictures.cell(row, 64))
        assert cut.shape == (64, 64, 3)
        assert cut[32, 32].tolist() == pytest.approx(colour_of_cell(row), abs=12)
        # The rim of its circle, of which the view has all and three views a third.
        assert (cut.min(axis=2) < 150).mean() > 0.6


def test_cell__shows_what_lies_around_it(tmp_path: Path) -> None:
    pictures = CellPictures(read_embeddings(write_review_table(tmp_path)), tmp_path / "images")
    wide = _pixels(pictures.cell(1, 96, around=3))
    assert wide[48, 48].tolist() == pytest.approx(colour_of_cell(1), abs=12)
    assert wide[48, 16].tolist() == pytest.approx(colour_of_cell(0), abs=12)
    assert wide[48, 80].tolist() == pytest.approx(colour_of_cell(2), abs=12)


def test_field__has_its_own_pixels_and_its_cells(tmp_path: Path) -> None:
    pictures = CellPictures(read_embeddings(write_review_table(tmp_path)), tmp_path / "images")
    field = pictures.field(PER_FIELD + 2)
    assert (field.width, field.height) == (ACROSS * SIDE, DOWN * SIDE)
    assert _pixels(field.jpeg).shape == (DOWN * SIDE, ACROSS * SIDE, 3)
    assert pictures.rows_of_field(PER_FIELD + 2).tolist() == list(range(PER_FIELD, 2 * PER_FIELD))
    assert pictures.place_of(PER_FIELD) == (SIDE / 2, SIDE / 2, SIDE)


def test_cell__is_cut_once(tmp_path: Path) -> None:
    pictures = CellPictures(read_embeddings(write_review_table(tmp_path)), tmp_path / "images")
    first = pictures.cell(3, 64)
    for file in (tmp_path / "images").rglob("*.png"):
        file.unlink()
    assert pictures.cell(3, 64) is first
    # Decoded fields are kept too.
    assert pictures.cell(4, 64)
    with pytest.raises(RedDinoError, match=r"field1\.png"):
        pictures.cell(PER_FIELD, 64)


@pytest.mark.parametrize(
    "path", ["../elsewhere/{}.png", "deep/../../elsewhere/{}.png", "{root}/elsewhere/{}.png"]
)
def test_path__that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "images" / "deep").mkdir(parents=True)
    paths = ["in.png", *(path.replace("{root}", str(tmp_path)).format(i) for i in range(1, 8))]
    table = read_embeddings(write_review_table(tmp_path, paths=paths))
    with pytest.raises(RedDinoError, match="leads out of"):
        CellPictures(table, tmp_path / "images")
    # Unless the user names the folder.
    pictures = CellPictures(table, tmp_path / "images", [tmp_path / "elsewhere"])
    assert pictures.cell(PER_FIELD, 64)


def test_link__that_leads_out_of_the_folder_is_refused_when_it_is_read(tmp_path: Path) -> None:
    table = read_embeddings(write_review_table(tmp_path))
    target = tmp_path / "secret.png"
    (tmp_path / "images/slide0/field0.png").rename(target)
    (tmp_path / "images/slide0/field0.png").symlink_to(target)
    pictures = CellPictures(table, tmp_path / "images")
    with pytest.raises(RedDinoError, match="leads out of"):
        pictures.cell(0, 64)
    with pytest.raises(RedDinoError, match="leads out of"):
        pictures.field(0)
    assert pictures.cell(PER_FIELD, 64)


def test_pictures__none_of_which_is_there_are_refused_at_once(tmp_path: Path) -> None:
    table = read_embeddings(write_review_table(tmp_path))
    with pytest.raises(RedDinoError, match="none of the table's 8 images"):
        CellPictures(table, tmp_path)
