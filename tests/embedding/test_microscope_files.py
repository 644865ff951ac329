"""A table of whole slides: embedded, grown and looked at like one of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from slide_files import smear, write_pyramid

import reddino
from reddino.embedding.table_on_disk import open_table
from reddino.figures.row_pictures import Pictures
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest

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


def test_table__of_an_earlier_version_holds_numbers_of_slides_as_text_and_is_read(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reddino.embed(slides, MODEL, tmp_path / "now", **VIEWS)
    now = reddino.read_embeddings(tmp_path / "now")
    with monkeypatch.context() as earlier:
        earlier.setattr("reddino.embedding.table_rows.number_types", lambda table: {})
        reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    old = reddino.read_embeddings(tmp_path / "table")
    assert old.table.schema.field("region_x").type == pa.string()
    assert old.strings("region_x") == now.strings("region_x")
    assert old.numbers("region_x").tolist() == now.numbers("region_x").tolist()
    write_pyramid(slides / "b.tif", smear(4200, 300, 1))
    reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    reddino.compact_table(tmp_path / "table", tmp_path / "compact")
    for folder in ("table", "compact"):
        grown = reddino.read_embeddings(tmp_path / folder)
        assert grown.strings("region_x") == now.strings("region_x") * 2
        assert grown.strings("um_per_px") == ["0.25"] * len(grown)
        on_disk = open_table(tmp_path / folder)
        assert on_disk.columns(["region_x"]).column(0).to_pylist() == grown.strings("region_x")


def test_tables__of_numbers_and_of_text_are_merged_as_text(slides: Path, tmp_path: Path) -> None:
    for name, region in (("one", ["0", "1", "2"]), ("two", ["left", "1", "2"])):
        (tmp_path / name).mkdir()
        for number in range(3):
            write_pyramid(tmp_path / name / f"{name}{number}.tif", smear(260, 260, number), levels=1)
        table = pa.table({"path": [f"{name}{number}.tif" for number in range(3)], "region": region})
        reddino.embed(Manifest(table, tmp_path / name), MODEL, tmp_path / f"{name}-table", **VIEWS)
    reddino.merge_tables([tmp_path / "one-table", tmp_path / "two-table"], tmp_path / "merged")
    kinds = [
        reddino.read_embeddings(tmp_path / folder).table.schema.field("region").type
        for folder in ("one-table", "two-table", "merged")
    ]
    assert kinds == [pa.int64(), pa.string(), pa.string()]
    regions = reddino.read_embeddings(tmp_path / "merged").strings("region")
    assert sorted(set(regions)) == ["0", "1", "2", "left"]


def test_embed__a_slide_that_was_replaced_is_noticed(slides: Path, tmp_path: Path) -> None:
    reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
    file = slides / "a.tif"
    size = file.stat().st_size
    write_pyramid(file, smear(4200, 300, 2))
    assert file.stat().st_size == size
    with pytest.raises(RedDinoError, match=r"holds vectors of another picture than 'a\.tif::x0-y0"):
        reddino.embed(slides, MODEL, tmp_path / "table", **VIEWS)
