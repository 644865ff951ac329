"""Pictures are cut again where the table says, and missing images are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from row_colours import colour_of

from reddino.embedding.embeddings import Embeddings
from reddino.figures.row_pictures import MISSING, Pictures
from reddino.foundations.errors import RedDinoError


def test_cut__gives_each_row_its_own_square_in_any_order(embeddings: Embeddings, tmp_path: Path) -> None:
    pictures = Pictures.of(embeddings, tmp_path / "images")
    rows = [47, 0, 30, 13, 0]
    cut = pictures.cut(rows, 20)
    for row, picture in zip(rows, cut, strict=True):
        assert (picture == colour_of(row)).all()


def test_cut__finds_images_by_the_manifest_that_was_embedded(embeddings: Embeddings, tmp_path: Path) -> None:
    (tmp_path / "images" / "all.csv").write_text("path\nlab-0/0.png\n")
    pictures = Pictures.of(embeddings, tmp_path / "images" / "all.csv")
    assert (pictures.cut([3], 20)[0] == colour_of(3)).all()


def test_cut__shows_grey_for_an_image_that_is_gone_and_notes_it(
    embeddings: Embeddings, tmp_path: Path
) -> None:
    pictures = Pictures.of(embeddings, tmp_path / "images")
    (tmp_path / "images" / "lab-1" / "1.png").unlink()
    cut = pictures.cut(np.array([12, 0]), 20)
    assert (cut[0] == MISSING).all()
    assert (cut[1] == colour_of(0)).all()
    assert [path for path, _ in pictures.failures] == ["lab-1/1.png"]


def test_pictures__refuse_a_folder_without_any_of_the_images(embeddings: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="none of the table's 4 images"):
        Pictures.of(embeddings, tmp_path)


def test_cut__shows_the_whole_field_for_a_row_without_a_place(embeddings: Embeddings, tmp_path: Path) -> None:
    columns = embeddings.table.drop_columns(["view_x", "view_y", "view_side"])
    fields = Embeddings(embeddings.vectors, columns, embeddings.meta)
    (picture,) = Pictures.of(fields, tmp_path / "images").cut([0], 80)
    # The field of 80 x 60 stands in the middle of the square, mirrored above and below.
    assert (picture[20, 10] == colour_of(0)).all()
    assert (picture[60, 70] == colour_of(11)).all()
