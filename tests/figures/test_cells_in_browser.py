"""Table, search, fields and legend of a report in a real browser: each follows what is picked in another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import HOSTILE
from prediction_files import write_prediction_file
from square_tables import write_table

import reddino

pytestmark = pytest.mark.browser

CLASSES = tuple(f"class {number:02d}" for number in range(14))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_table(tmp_path_factory.mktemp("cells")).parent
    predictions = write_prediction_file(folder, classes=CLASSES)
    return reddino.report(
        folder / "table", folder / "r.html", images=folder / "images", method="pca", predictions=predictions
    )


@pytest.fixture(params=[(1280, 800), (390, 844)], ids=["1280", "390"])
def page(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    opened = browser.new_page(viewport=dict(zip(("width", "height"), request.param, strict=True)))
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(file.as_uri())
    opened.locator("#map[data-drawn]").wait_for()
    yield opened
    opened.close()
    # The browser remarks on tests that read the canvas back.
    assert [text for text in said if not text.startswith("Canvas2D")] == []


def _picked(page: Any) -> int:
    return int(page.evaluate("reddinoMap.picked()"))


def _ring(page: Any) -> list[float]:
    ring = page.locator("#field circle.picked")
    return [float(ring.get_attribute(name)) for name in ("cx", "cy")]


def test_page__fits_the_width_of_the_screen(page: Any) -> None:
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1]
    assert page.locator("h2").first.inner_text() == "Finding"
    assert page.locator("figure.field circle").count() == 48


def test_map__a_click_opens_the_cell_in_its_field(page: Any) -> None:
    page.locator("#map").scroll_into_view_if_needed()
    assert page.locator("#viewer").is_hidden()
    page.mouse.click(*page.evaluate("reddinoMap.place(17)"))
    row = _picked(page)
    # Row 17 is the sixth square of the second image.
    assert row == 17
    assert _ring(page) == [30, 30]
    assert page.locator("#field image").get_attribute("href").startswith("data:image/jpeg")
    assert "lab-1/1.png" in page.locator("#fieldnote").inner_text()
    assert "p1" in page.locator("#details").inner_text()
    page.locator("#field").scroll_into_view_if_needed()
    page.locator("#field circle[data-row='20']").click()
    assert _picked(page) == 20 and _ring(page) == [10, 50]
    page.get_by_role("button", name="whole field").click()
    assert page.locator("#field").get_attribute("viewBox") != "0 0 80 60"
    page.get_by_role("button", name="close").click()
    assert _picked(page) == -1 and page.locator("#viewer").is_hidden()


def test_table__a_line_picks_and_the_map_picks_a_line(page: Any) -> None:
    page.locator("#cells tbody tr[data-row='30']").click()
    assert _picked(page) == 30 and _ring(page) == [50, 30]
    assert page.locator("#cells tr.picked").get_attribute("data-row") == "30"
    page.evaluate("reddinoMap.pick(8)")
    assert page.locator("#cells tr.picked").get_attribute("data-row") == "8"
    page.locator("#cells tbody tr[data-row='9']").focus()
    page.keyboard.press("Enter")
    assert _picked(page) == 9


def test_table__sorts_by_a_column_and_back(page: Any) -> None:
    head = page.locator("#cells thead button", has_text="row")
    rows = "[...document.querySelectorAll('#cells tbody tr')].map((tr) => Number(tr.dataset.row))"
    head.click()
    assert page.evaluate(rows) == list(range(47, -1, -1))
    head.click()
    assert page.evaluate(rows) == list(range(48))


def test_search__narrows_map_and_table(page: Any) -> None:
    page.locator("#search").fill("CLASS 03 lab-1")
    page.locator("#listed", has_text="2 of 48").wait_for()
    rows = "[...document.querySelectorAll('#cells tbody tr')].map((tr) => Number(tr.dataset.row)).sort()"
    assert page.evaluate(rows) == [17, 45]
    page.locator("#search").fill("row:12")
    page.locator("#listed", has_text="1 of 48").wait_for()
    assert page.evaluate(rows) == [12]
    page.locator("#search").fill("nothing of that name")
    page.locator("#listed", has_text="0 of 48").wait_for()
    page.locator("#search").fill("")
    page.locator("#listed", has_text="48 of 48").wait_for()


def test_legend__tells_fourteen_classes_apart(page: Any) -> None:
    page.select_option("#colour", "predicted")
    names = page.locator("#legend button span").all_inner_texts()
    assert names == list(CLASSES)
    swatches = page.evaluate("[...document.querySelectorAll('#legend canvas')].map((c) => c.toDataURL())")
    assert len(set(swatches)) == 14
    styles = page.evaluate("[...Array(14).keys()].map((row) => JSON.stringify(reddinoMap.styleOf(row)))")
    assert len(set(styles)) == 14


def test_legend__pointing_at_a_name_lets_it_stand_out(page: Any) -> None:
    page.select_option("#colour", "predicted")
    page.locator("#legend").scroll_into_view_if_needed()
    coloured = """() => { const c = document.getElementById('map');
      const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
      for (let i = 0; i < p.length; i += 4) n += Math.max(p[i], p[i + 1], p[i + 2])
        - Math.min(p[i], p[i + 1], p[i + 2]) > 40;
      return n; }"""
    every = page.evaluate(coloured)
    page.locator("#legend button").nth(1).hover()
    page.wait_for_timeout(100)
    assert 0 < page.evaluate(coloured) < every / 4
    page.mouse.move(0, 0)
    page.wait_for_timeout(100)
    assert page.evaluate(coloured) == every


def test_page__shows_classes_slides_and_verdicts_that_are_code_as_text(
    browser: Any, table_folder: Path
) -> None:
    folder = table_folder.parent
    units = [{"source": "lab-0", "slide": "", "verdict": HOSTILE[1], "sentence": HOSTILE[0]}]
    units += [{"source": "lab-1", "slide": "", "verdict": "outside", "sentence": HOSTILE[0]}]
    predictions = write_prediction_file(folder, classes=HOSTILE, units=units)
    made = reddino.report(predictions, folder / "h.html", images=folder / "images", method="pca")
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.goto(made.as_uri())
    opened.locator("#map[data-drawn]").wait_for()
    opened.evaluate("reddinoMap.pick(3)")
    assert opened.locator("img[src='x']").count() == 0
    assert HOSTILE[0] in opened.locator("section").first.inner_text()
    opened.close()
    assert said == []
