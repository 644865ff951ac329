"""A picture as a query: embedded as the table was, a cell of it named and never guessed."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from fields_of_discs import draw_discs, grid

import reddino
from reddino.foundations.errors import RedDinoError

MODEL = "colour-histogram"


def rows_of(hits: reddino.Hits) -> list[int]:
    return [int(str(row)) for row in hits.table.column("row").to_pylist()]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Three pictures of a dozen cells each, and a table of those that are found in them."""
    places, size = grid(24.0)
    for number in range(3):
        draw_discs(tmp_path / "fields" / f"f{number}.png", 24.0, places, size)
        image = tmp_path / "fields" / f"f{number}.png"
        pixels = np.asarray(cv2.imread(str(image)), np.int64) + 3 * number
        cv2.imwrite(str(image), np.clip(pixels, 0, 255).astype(np.uint8))
    return tmp_path / "fields"


@pytest.fixture
def table(fields: Path, tmp_path: Path) -> Path:
    reddino.embed(fields, MODEL, tmp_path / "t", find_cells=True, subfolders="none")
    return tmp_path / "t"


def test_picture__of_several_cells_needs_a_place(table: Path, fields: Path) -> None:
    with pytest.raises(RedDinoError, match=r"shows 12 cells: name one with --at X,Y"):
        reddino.search(table, fields / "f0.png")


def test_picture__that_is_a_manifest_is_refused(table: Path, fields: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,x,y\n{fields}/f0.png,20,20\n{fields}/f0.png,70,20\n")
    with pytest.raises(RedDinoError, match=r"is no single picture: embed it to a table"):
        reddino.search(table, tmp_path / "m.csv", at=(20, 20))


def test_picture__is_embedded_as_the_table_was(table: Path, fields: Path, tmp_path: Path) -> None:
    read = reddino.read_embeddings(table)
    row = 5
    place = (float(read.numbers("view_x")[row]), float(read.numbers("view_y")[row]))
    (tmp_path / "elsewhere").mkdir()
    new = tmp_path / "elsewhere" / "new.bmp"
    cv2.imwrite(str(new), np.asarray(cv2.imread(str(fields / "f0.png"))))
    hits = reddino.search(table, new, at=place, top=36)
    assert len(hits) == 36
    assert hits.table.column("distance").to_pylist()[0] == pytest.approx(0, abs=1e-4)
    own = rows_of(hits).index(row)
    assert hits.table.column("distance").to_pylist()[own] == pytest.approx(0, abs=1e-4)


def test_picture__of_the_table_is_not_its_own_hit(table: Path, fields: Path, tmp_path: Path) -> None:
    read = reddino.read_embeddings(table)
    place = (float(read.numbers("view_x")[5]), float(read.numbers("view_y")[5]))
    shutil.copy(fields / "f0.png", tmp_path / "copy.png")
    hits = reddino.search(table, tmp_path / "copy.png", at=place, top=36)
    assert sorted(rows_of(hits)) == [row for row in range(36) if row != 5]
    others = reddino.search(table, tmp_path / "copy.png", at=place, top=36, exclude_same="field")
    assert sorted(rows_of(others)) == list(range(12, 36))
    with pytest.raises(RedDinoError, match="column 'slide'"):
        reddino.search(table, tmp_path / "copy.png", at=place, exclude_same="slide")


def test_picture__of_whole_pictures_has_no_place(fields: Path, tmp_path: Path) -> None:
    reddino.embed(fields, MODEL, tmp_path / "t", view="image", subfolders="none")
    hits = reddino.search(tmp_path / "t", fields / "f0.png", tmp_path / "h.csv", images=fields)
    assert hits.table.column("path").to_pylist() == ["f1.png", "f2.png"]
    with pytest.raises(RedDinoError, match="leave --at out"):
        reddino.search(tmp_path / "t", fields / "f0.png", at=(3, 4))


def test_picture__with_one_cell_is_that_cell_and_it_is_said(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_discs(tmp_path / "one.png", 24.0, [(60.0, 60.0)], (120, 120))
    hits = reddino.search(table, tmp_path / "one.png", top=3)
    assert "shows one cell, at 6" in caplog.text
    assert len(hits) == 3


def test_picture__with_squares_is_the_one_that_holds_the_place(fields: Path, tmp_path: Path) -> None:
    options = {"view": "patches", "side": 32.0, "unit": "px", "subfolders": "none"}
    reddino.embed(fields, MODEL, tmp_path / "t", **options)  # type: ignore[arg-type]
    with pytest.raises(RedDinoError, match="squares: name one with --at"):
        reddino.search(tmp_path / "t", fields / "f0.png")
    assert len(reddino.search(tmp_path / "t", fields / "f0.png", at=(40.0, 40.0), top=5)) == 5


def test_picture__with_another_model_is_refused(table: Path, fields: Path) -> None:
    with pytest.raises(RedDinoError, match=r"was embedded with weights .*: give --model its own"):
        reddino.search(table, fields / "f0.png", at=(3, 4), model="morphology")


def test_page__needs_nothing_else_and_shows_queries_and_hits(
    table: Path, fields: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "hits.csv"
    reddino.search(table, 3, out, images=fields, sheet=True, top=5)
    page = out.with_suffix(".html").read_text()
    assert page.count("data:image/") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "cosine" in page
    assert sorted(path.name for path in out.parent.iterdir()) == ["hits.csv", "hits.html", "hits.png"]
    reddino.search(table, table, tmp_path / "all" / "hits.csv", images=fields, sheet=True, top=2)
    assert len(list((tmp_path / "all").glob("hits-*.png"))) == 36
