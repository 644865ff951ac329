"""A review in a real browser: by keyboard and mouse, undo, two readers and a third, a new classifier."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsers import opened_browser
from review_tables import write_review_table

from reddino.reviewing.database import ReviewDatabase

pytestmark = pytest.mark.browser


@contextmanager
def running_review(folder: Path, *options: str, port: int = 0) -> Iterator[str]:
    """Run the command on the table in `folder`, and yield the address that it prints."""
    command = [sys.executable, "-m", "reddino", "review", str(folder / "table")]
    command += ["--images", str(folder / "images"), "--port", str(port), "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from opened_browser()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("review")
    write_review_table(made, fields=24)
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    options = ("--classes", "red", "blue", HOSTILE, "--reader", "ada", "--refit-after", "10")
    with running_review(folder, *options, "--um-per-px", "0.25") as found:
        yield found


HOSTILE = "<img src=x onerror=alert(1)>\"'"


@contextmanager
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """A page at 1280 x 800; fails where the console said anything, or anything was fetched from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator("body[data-ready]").wait_for()
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(address.partition("?")[0])] == []


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with open_page(browser, address) as opened:
        yield opened


def _until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait until an expression is true; Playwright's own way is eval, which the page's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came true: {condition}"
        page.wait_for_timeout(20)


def _here(page: Any) -> int:
    return int(page.locator(".tile.here").get_attribute("data-row"))


def _captions(page: Any, row: int) -> str:
    return str(page.locator(f"#cell-{row} .caption span").first.inner_text())


def _press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def _saved(page: Any) -> None:
    """Wait until the server has confirmed every act."""
    _until(page, "!document.querySelector('.tile.waiting')")


def _label_by_colour(page: Any, count: int) -> list[int]:
    rows = []
    for _ in range(count):
        _until(page, "document.querySelector('.tile.here:not(.given)')")
        row = _here(page)
        rows.append(row)
        _press(page, "1" if row % 2 == 0 else "2")
    _saved(page)
    return rows


def test_keyboard__labels_advances_undoes_and_redoes(page: Any, folder: Path) -> None:
    first = _here(page)
    _press(page, "1")
    _saved(page)
    assert _captions(page, first) == "red" and _here(page) != first
    second = _here(page)
    _press(page, "a")
    _saved(page)
    assert _captions(page, second) == "artefact"
    with ReviewDatabase.open_existing(_database(folder)) as database:
        assert [(event.kind, event.cells) for event in database.events()][-2:] == [
            ("label", (first,)),
            ("artefact", (second,)),
        ]
    _press(page, "z")
    _until(page, f"!document.querySelector('#cell-{second}').classList.contains('given')")
    assert _here(page) == second
    _press(page, "y")
    _until(page, f"document.querySelector('#cell-{second}').classList.contains('given')")
    assert _captions(page, second) == "artefact"


def _database(folder: Path) -> Path:
    return folder / "table.review.sqlite"


def test_selection__of_several_cells_gets_one_label_in_one_act(page: Any, folder: Path) -> None:
    _press(page, "Shift+ArrowRight", "Shift+ArrowRight")
    assert page.locator("#selection-text").inner_text() == "Class of 3 selected cells"
    rows = [int(one.get_attribute("data-row")) for one in page.locator(".tile[aria-selected=true]").all()]
    _press(page, "2")
    _saved(page)
    assert {_captions(page, row) for row in rows} == {"blue"}
    with ReviewDatabase.open_existing(_database(folder)) as database:
        assert set(database.events()[-1].cells) == set(rows)
    _press(page, "z")
    _until(page, f"!document.querySelector('#cell-{rows[0]}').classList.contains('given')")


def test_mouse__selects_labels_and_opens_the_field(page: Any) -> None:
    tiles = page.locator(".tile:not(.given)")
    rows = [int(tiles.nth(i).get_attribute("data-row")) for i in (0, 1)]
    page.locator(f"#cell-{rows[0]}").click()
    page.locator(f"#cell-{rows[1]}").click(modifiers=["Shift"])
    page.locator("#classes button", has_text="blue").click()
    _saved(page)
    assert [_captions(page, row) for row in rows] == ["blue", "blue"]
    page.locator("#undo").click()
    _until(page, f"!document.querySelector('#cell-{rows[0]}').classList.contains('given')")
    page.locator(f"#cell-{rows[0]}").dblclick()
    page.locator("#field-dialog[open]").wait_for()
    assert page.locator("#field-title").inner_text().endswith(f"field{rows[0] // 12}.png")
    before = page.evaluate("import('/static/field.js').then((field) => field.seen().scale)")
    page.locator("#field-stage").hover()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    assert page.evaluate("import('/static/field.js').then((field) => field.seen().scale)") > before
    assert "µm" in page.locator("#field-scale").inner_text()
    _press(page, "Escape")
    page.locator("#field-dialog[open]").wait_for(state="detached")


def test_focus__is_visible_and_every_control_is_reached_by_tab(page: Any) -> None:
    reached = set()
    for _ in range(60):
        _press(page, "Tab")
        reached.add(page.evaluate("document.activeElement.id"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
    assert any(name.startswith("cell-") for name in reached)
    for name in (
        "order",
        "filter-slide",
        "filter-status",
        "size",
        "brightness",
        "refit",
        "undo",
        "open-help",
    ):
        assert name in reached, name
    _press(page, "o")
    page.locator("#order").focus()
    _press(page, "Escape")
    assert page.evaluate("document.activeElement.classList.contains('tile')")


def _shown(page: Any) -> list[str]:
    rows: list[str] = page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.row)")
    return rows


def test_pages__go_on_without_the_cells_put_off_and_back_to_them(page: Any) -> None:
    first = _shown(page)
    _press(page, "PageDown")
    _until(page, f"!document.getElementById('cell-{first[0]}')")
    assert not set(first) & set(_shown(page))
    _press(page, "PageUp")
    page.locator(f"#cell-{first[0]}").wait_for()
    assert _shown(page) == first


def test_looks__change_what_is_seen_and_more_cells_fit_when_they_are_smaller(page: Any) -> None:
    image = page.locator(".tile img").first
    _press(page, "]", "]", "{")
    assert image.evaluate("image => getComputedStyle(image).filter") == "brightness(1.1) contrast(0.95)"
    _press(page, "\\")
    assert image.evaluate("image => getComputedStyle(image).filter") == "brightness(1) contrast(1)"
    before = len(_shown(page))
    _press(page, "-")
    _until(page, f"document.querySelectorAll('.tile').length > {before}")
    page.select_option("#around", "4")
    _until(page, "document.querySelector('.tile img').src.includes('around=4')")


def test_note__with_keys_of_classes_in_it_labels_nothing_and_is_shown_as_text(page: Any) -> None:
    row = _here(page)
    _press(page, "n")
    page.locator("#note-text").fill("1 ring? <script>alert(1)</script>")
    _press(page, "Control+Enter")
    page.locator(f"#cell-{row} .noted").wait_for()
    assert "<script>alert(1)</script>" in page.locator("#facts").inner_text()
    assert not page.locator(f"#cell-{row}").evaluate("tile => tile.classList.contains('given')")


def test_class__whose_name_is_code_is_shown_as_text(page: Any) -> None:
    assert page.locator("#classes .name").all_inner_texts()[2] == HOSTILE
    row = _here(page)
    _press(page, "3")
    _saved(page)
    assert _captions(page, row) == HOSTILE and page.locator("img[src=x]").count() == 0
    _press(page, "z")
    _until(page, f"!document.querySelector('#cell-{row}').classList.contains('given')")


def test_session__fits_suggests_filters_and_keeps_the_place(page: Any) -> None:
    _label_by_colour(page, 24)
    page.locator("#model", has_text="label").wait_for()
    _until(page, "document.querySelector('.tile:not(.given) .sure')?.textContent.includes('%')")
    shown = _shown(page)
    here = _here(page)
    _press(page, "g")
    page.wait_for_timeout(1500)
    assert _shown(page) == shown
    assert _here(page) == here
    suggested = _captions(page, here)
    _press(page, "Enter")
    _saved(page)
    assert _captions(page, here) == suggested
    page.select_option("#filter-slide", "s3")
    _until(
        page,
        "[...document.querySelectorAll('.tile')].every((tile) => Math.floor(tile.dataset.row / 24) === 3)",
    )
    page.locator("#clear-filters").click()
    _until(
        page,
        "new Set([...document.querySelectorAll('.tile')].map((t) => t.dataset.row / 24 | 0)).size > 1",
    )
    row = _here(page)
    _press(page, "l")
    page.locator("#batch-text", has_text=f"Most like cell {row}").wait_for()
    _press(page, "Escape")
    page.locator("#batch-text", has_text="left").wait_for()


def test_readers__differ_and_a_third_decides(browser: Any, address: str, folder: Path) -> None:
    with open_page(browser, address) as page:
        row = _here(page)
        _press(page, "1")
        _saved(page)
    for reader, key in (("bob", "2"), ("cid", "")):
        with open_page(browser, address) as page:
            _press(page, "d")
            page.locator("#reader-name").fill(reader)
            _press(page, "Enter")
            _until(page, f"document.getElementById('open-second').textContent.startsWith('You: {reader}')")
            if key:
                _press(page, "Escape")
                page.select_option("#filter-status", "second")
                page.locator(f"#cell-{row}").click()
                _press(page, key)
                _saved(page)
            else:
                page.locator(f".dispute[data-row='{row}']").wait_for()
                page.locator(f".dispute[data-row='{row}'] button").first.click()
                page.locator(f".dispute[data-row='{row}']").wait_for(state="detached")
    with ReviewDatabase.open_existing(_database(folder)) as database:
        assert database.state().consensus(row).standing == "decided"


def test_second_reading__without_a_cell_left_says_so_with_either_database(
    browser: Any, tmp_path: Path, database_url: str
) -> None:
    write_review_table(tmp_path)
    options = ("--classes", "red", "blue", "--database", database_url)
    with running_review(tmp_path, *options) as found, open_page(browser, found) as page:
        rows = _label_by_colour(page, 3)
        _press(page, "z")
        _until(page, f"!document.querySelector('#cell-{rows[-1]}').classList.contains('given')")
        page.select_option("#filter-status", "second")
        page.locator("#empty", has_text="you have read all that others have").wait_for()


def test_narrow__screen_cuts_nothing_off_and_labels_by_touch(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.locator("body[data-ready]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    row = _here(page)
    page.locator("#classes button", has_text="red").tap()
    _saved(page)
    assert _captions(page, row) == "red"
    context.close()


def test_tune__opens_by_its_key_and_the_keys_go_on_after_it(page: Any) -> None:
    _press(page, "t")
    page.locator("#tune-dialog[open]").wait_for()
    assert page.locator("#tune-stop").is_disabled() and page.locator("#tune-start").is_enabled()
    _press(page, "Escape")
    row = _here(page)
    _press(page, "1")
    _saved(page)
    assert _captions(page, row) == "red"


def test_picture__that_cannot_be_read_is_said_in_its_tile(browser: Any, tmp_path: Path) -> None:
    write_review_table(tmp_path)
    (tmp_path / "images/slide0/field0.png").write_bytes(b"no picture")
    with running_review(tmp_path, "--classes", "red") as found:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(found)
        page.locator("body[data-ready]").wait_for()
        page.select_option("#filter-slide", "s0")
        page.select_option("#order", "table")
        page.locator("#cell-0.missing").wait_for()
        page.locator("#cell-12:not(.missing)").wait_for()
        context.close()


def test_server__that_was_killed_and_started_again_goes_on_with_the_open_page(
    browser: Any, tmp_path: Path
) -> None:
    write_review_table(tmp_path)
    port = _free_port()
    with running_review(tmp_path, "--classes", "red", "blue", port=port) as found:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(found)
        page.locator("body[data-ready]").wait_for()
        first = _label_by_colour(page, 3)
    _press(page, "1")
    page.locator("#problem", has_text="does not answer").wait_for()
    row = _here(page)
    with running_review(tmp_path, port=port):
        page.locator("#problem").wait_for(state="hidden")
        _press(page, "2")
        _saved(page)
        assert _captions(page, row) == "blue"
        with ReviewDatabase.open_existing(_database(tmp_path)) as database:
            assert set(database.state().labels()) == {*first, row}
        context.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.slow
def test_session__by_keys_and_by_mouse_reads_every_cell_as_it_is(browser: Any, tmp_path: Path) -> None:
    write_review_table(tmp_path, fields=24)
    options = ("--classes", "red", "blue", "--reader", "ada", "--goal", "60", "--refit-after", "20")
    with running_review(tmp_path, *options) as found, open_page(browser, found) as page:
        rows = _label_by_colour(page, 45)
        while len(rows) < 60:
            _until(page, "document.querySelector('.tile.here:not(.given)')")
            row = _here(page)
            rows.append(row)
            page.locator("#classes button", has_text="red" if row % 2 == 0 else "blue").click()
            _until(page, f"!document.querySelector('#cell-{row}.here')")
        _saved(page)
        page.locator("#progress-text", has_text="60 of 60").wait_for()
        page.locator("#model", has_text="of 2 of 2 classes, on groups held out").wait_for(timeout=60_000)
        assert len(set(rows)) == 60
    with ReviewDatabase.open_existing(tmp_path / "table.review.sqlite") as database:
        labels = database.state().labels()
    assert labels == {row: "red" if row % 2 == 0 else "blue" for row in rows}
