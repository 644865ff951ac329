"""The interactive map in a real browser: it draws, zooms, shows pictures and exports the rows of a lasso."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from browsers import HOSTILE
from row_colours import colour_of

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.figures.overview import Overview
from reddino.figures.page.table_report import table_report

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any, report_file: Path) -> Iterator[Any]:
    """A report, opened; fails if anything was said on the console or fetched from elsewhere."""
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report_file.as_uri())
    opened.locator("#map[data-drawn]").wait_for()
    opened.locator("#map").scroll_into_view_if_needed()
    yield opened
    opened.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def _place(page: Any, row: int) -> tuple[float, float]:
    x, y = page.evaluate(f"reddinoMap.place({row})")
    return x, y


def _wait_for_frame(page: Any, action: Any) -> None:
    before = page.evaluate("document.getElementById('map').dataset.frames")
    action()
    page.locator(f"#map:not([data-frames='{before}'])").wait_for()


def _colours(page: Any) -> int:
    """How many pixels of the canvas are not white."""
    count: int = page.evaluate(
        """() => { const c = document.getElementById('map');
        const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 0; i < p.length; i += 4) if (p[i] + p[i + 1] + p[i + 2] < 765) n++;
        return n; }"""
    )
    return count


def test_map__draws_its_points_and_zooms_at_the_cursor(page: Any) -> None:
    assert _colours(page) > 48
    x, y = _place(page, 5)
    page.mouse.move(x, y)
    _wait_for_frame(page, lambda: page.mouse.wheel(0, -500))
    assert float(page.evaluate("document.getElementById('map').dataset.zoom")) > 1.5
    # The point under the cursor stays there.
    assert _place(page, 5) == pytest.approx((x, y), abs=2)
    assert _place(page, 20) != pytest.approx(_place(page, 5), abs=3)


def test_map__drags_and_comes_back(page: Any) -> None:
    start = _place(page, 5)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 60, start[1] + 25)
    page.mouse.up()
    assert _place(page, 5) == pytest.approx((start[0] + 60, start[1] + 25), abs=1)
    page.get_by_role("button", name="whole map").click()
    assert _place(page, 5) == pytest.approx(start, abs=1)


def test_hover__shows_the_rows_picture_and_what_is_known_of_it(page: Any) -> None:
    for row in (7, 40):
        page.mouse.move(*_place(page, row))
        tip = page.locator("#tip")
        tip.wait_for(state="visible")
        shown = int(tip.get_attribute("data-row"))
        assert _place(page, shown) == pytest.approx(_place(page, row), abs=2)
        assert f"p{shown // 12}" in tip.inner_text()
        box = tip.locator(".picture").bounding_box()
        middle = {"x": box["x"] + 22, "y": box["y"] + 22, "width": 20, "height": 20}
        assert _mean_colour(page.screenshot(clip=middle)) == pytest.approx(colour_of(shown), abs=6)
    page.mouse.move(5, 5)
    page.locator("#tip").wait_for(state="hidden")


def _mean_colour(png: bytes) -> list[float]:
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return [float(value) for value in pixels[..., ::-1].mean(axis=(0, 1))]


def test_lasso__exports_exactly_the_rows_inside(page: Any, tmp_path: Path, embeddings: Any) -> None:
    places = [_place(page, row) for row in range(48)]
    chosen = sorted(range(48), key=lambda row: places[row][0])[:15]
    edge = (places[chosen[-1]][0] + sorted(place[0] for place in places)[15]) / 2
    board = page.locator("#map").bounding_box()
    left, top = board["x"] + 2, board["y"] + 2
    bottom = min(board["y"] + board["height"], 898) - 2
    assert all(top < y < bottom for _, y in places)
    page.get_by_role("button", name="lasso", exact=True).click()
    page.mouse.move(left, top)
    page.mouse.down()
    for corner in ((edge, top), (edge, bottom), (left, bottom)):
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    assert page.locator("#count").inner_text() == "15 of 48 rows in the lasso"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV of the lasso").click()
    waiting.value.save_as(tmp_path / "lasso.csv")
    with (tmp_path / "lasso.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["row"]) for row in rows) == sorted(chosen)
    for row in rows:
        number = int(row["row"])
        assert row["label"] == embeddings.strings("label")[number]
        assert row["path"] == embeddings.strings("path")[number]
        assert float(row["view_x"]) == embeddings.numbers("view_x")[number]
        assert float(row["diameter"]) == pytest.approx(number / 3, rel=1e-5)
    page.get_by_role("button", name="clear").click()
    assert page.locator("#count").inner_text() == ""


def test_legend__lets_one_class_stand_out_and_columns_can_be_chosen(page: Any) -> None:
    names = page.locator("#legend button span:nth-child(2)").all_inner_texts()
    assert names == ["none given", "round, large", "sickle"]
    _wait_for_frame(page, lambda: page.locator("#legend button").nth(2).click())
    assert page.locator("#legend button").nth(2).get_attribute("aria-pressed") == "true"
    # Only what stands out answers to the cursor.
    page.mouse.move(*_place(page, 1))
    assert "sickle" in page.locator("#tip").inner_text()
    _wait_for_frame(page, lambda: page.select_option("#colour", "outlier"))
    assert page.locator("#legend .ramp").count() == 1


def test_print__leaves_controls_out_and_keeps_pictures(page: Any) -> None:
    page.emulate_media(media="print")
    assert not page.locator("#map").is_visible()
    assert page.locator("figure img").count() == 4
    assert page.locator("figure img").first.is_visible()
    page.emulate_media(media="screen")


@pytest.fixture
def hostile_page(browser: Any, table_folder: Path) -> Iterator[Any]:
    """A report whose labels are code, and whose vectors are equal but for eight."""
    table = read_embeddings(table_folder)
    labels = [HOSTILE[row % len(HOSTILE)] for row in range(48)]
    place = table.table.column_names.index("label")
    vectors = table.vectors.copy()
    vectors[:40] = 3
    vectors[40:] += 100 * np.eye(8, 6, dtype=np.float32)
    changed = table.table.set_column(place, "label", pa.array(labels))
    overview = Overview.of(Embeddings(vectors, changed, table.meta), method="pca")
    file = table_folder.parent / "hostile.html"
    file.write_text(table_report(overview, {"command": "<script>alert(1)</script>", "seed": 0}), "utf-8")
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.goto(file.as_uri())
    opened.locator("#map[data-drawn]").wait_for()
    opened.locator("#map").scroll_into_view_if_needed()
    yield opened
    opened.close()
    assert said == []


def test_map__shows_labels_that_are_code_as_text(hostile_page: Any) -> None:
    names = hostile_page.locator("#legend button span:nth-child(2)").all_inner_texts()
    assert sorted(names) == sorted(HOSTILE)
    assert hostile_page.locator("img[src='x']").count() == 0


def test_map__paints_infinite_outlier_scores_as_the_highest(hostile_page: Any) -> None:
    _wait_for_frame(hostile_page, lambda: hostile_page.select_option("#colour", "outlier"))
    x, y = _place(hostile_page, 47)
    clip = {"x": x - 1, "y": y - 1, "width": 2, "height": 2}
    # The last colour of viridis, a little of the white behind it.
    assert _mean_colour(hostile_page.screenshot(clip=clip)) == pytest.approx([253, 231, 37], abs=40)
    hostile_page.mouse.move(x, y)
    assert "inf" in hostile_page.locator("#tip").inner_text()


def test_lasso__exports_cells_that_no_spreadsheet_computes(hostile_page: Any, tmp_path: Path) -> None:
    board = hostile_page.locator("#map").bounding_box()
    left, top = board["x"] + 2, board["y"] + 2
    right, bottom = board["x"] + board["width"] - 2, min(board["y"] + board["height"], 898) - 2
    hostile_page.get_by_role("button", name="lasso", exact=True).click()
    hostile_page.mouse.move(left, top)
    hostile_page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom)):
        hostile_page.mouse.move(*corner, steps=5)
    hostile_page.mouse.up()
    with hostile_page.expect_download() as waiting:
        hostile_page.get_by_role("button", name="CSV of the lasso").click()
    waiting.value.save_as(tmp_path / "lasso.csv")
    with (tmp_path / "lasso.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["label"] for row in csv.DictReader(file)}
    assert labels == {*HOSTILE, "'=1+1"} - {"=1+1"}
