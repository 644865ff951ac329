"""A table of whole slides: embedded, grown and looked at like one of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slide_files import smear, write_pyramid

import reddino
from reddino.figures.row_pictures import Pictures
from reddino.foundations.errors import RedDinoError

MODEL = "colour-histogram"
VIEWS: dict[str, Any] = {"view": "patches", "side": 64.0, "unit": "um", "image_size": 64}


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """A folder with a slide of 0.25 um a pixel."""
    (tmp_path / "slides").mkdir()
    write_pyramid(tmp_path / "slides" / "a.tif", smear(4200, 300))
    return tmp_path / "slides"


def test_embed__rows_say_where_they_lie_in_the_slide(slides: Path, tmp_path: Path) -> None:
    reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    table = reddino.read_embeddings(tmp_path / "table")
    assert set(table.strings("slide")) == {"a"}
    assert set(table.numbers("view_side").tolist()) == {256.0}
    x = np.array([float(one) for one in table.strings("region_x")]) + table.numbers("view_x")
    assert x.max() < 4200
    pictures = Pictures.of(table, slides).cut(range(len(table)), 256)
    pixels = smear(4200, 300)
    for picture, centre, y in zip(pictures, x, table.numbers("view_y"), strict=True):
        left, top = round(centre - 128), round(y - 128)
        np.testing.assert_array_equal(picture, pixels[top : top + 256, left : left + 256])


def test_embed__a_slide_that_is_added_grows_the_table(slides: Path, tmp_path: Path) -> None:
    first = reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    before = reddino.read_embeddings(tmp_path / "table")
    write_pyramid(slides / "b.tif", smear(4200, 300, 1))
    again = reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    table = reddino.read_embeddings(tmp_path / "table")
    assert (first.images, again.resumed, len(table)) == (3, len(before), 2 * len(before))
    assert table.table.slice(0, len(before)).equals(before.table.cast(table.table.schema))


def test_embed__a_slide_that_was_replaced_is_noticed(slides: Path, tmp_path: Path) -> None:
    reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    file = slides / "a.tif"
    size = file.stat().st_size
    write_pyramid(file, smear(4200, 300, 2))
    assert file.stat().st_size == size
    with pytest.raises(RedDinoError, match=r"holds vectors of another picture than 'a\.tif::x0-y0"):
        reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
