"""Names in every script: a font that has their letters, or a number and a list."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from drawn import legend_of
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text

from reddino.figures import lettering
from reddino.figures.canvas import blank_figure, figure_png, save_figure
from reddino.figures.lettering import Lettering, Numbers, note_numbers
from reddino.figures.maps import map_figure
from reddino.figures.score_figures import confusion_figure

#: Letters of a script that no font of a test machine has.
YI = "ꀀꀁ"


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with matplotlib's own font alone."""
    monkeypatch.setattr(lettering, "_installed", dict)


@pytest.fixture
def yi_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A font with the two letters of `YI`, each a filled square, installed for matplotlib."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", "one", "two"]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, YI), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Test Yi", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "yi.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "yi.ttf")
    monkeypatch.setattr(lettering, "_installed", lambda: {"Test Yi": str(tmp_path / "yi.ttf")})
    yield "Test Yi"
    font_manager.fontManager.ttflist[:] = before


def test_lettering__takes_an_installed_font_that_has_the_letters(yi_font: str) -> None:
    found = Lettering([f"slide {YI}"])
    assert found.families == [yi_font]
    assert found.missing == set()
    assert found.drawn(YI, Numbers()) == YI


def test_lettering__needs_no_other_font_for_letters_of_its_own() -> None:
    assert Lettering(["Übersicht n$_$ é", "µm"]).families == []


def test_save_figure__draws_letters_of_an_installed_font(yi_font: str, tmp_path: Path) -> None:
    figures = {}
    for name in ("own", "boxes"):
        figure = blank_figure(1, 1)
        figure.text(0.2, 0.2, YI)
        figures[name] = figure
    numbers = Numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = figure_png(figures["own"], 80, numbers)
        for kind in ("png", "pdf", "svg"):
            save_figure(figures["own"], tmp_path / f"figure.{kind}")
    assert len(numbers) == 0
    assert figures["own"].findobj(Text)[0].get_fontfamily()[-1] == yi_font
    assert len(drawn) > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure.pdf",
        "figure.png",
        "figure.svg",
        "yi.ttf",
    ]


@pytest.mark.usefixtures("no_fonts")
def test_save_figure__sets_numbers_for_names_that_no_font_has(tmp_path: Path) -> None:
    names = ["棘红细胞", "正常", "b"]
    figures = [
        map_figure(np.eye(3, 2), names, "正常 model"),
        confusion_figure(np.eye(3, dtype=np.int64), names),
    ]
    numbers = Numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for place, figure in enumerate(figures):
            save_figure(figure, tmp_path / f"{place}.png", numbers=numbers)
    by_name = {name: number for number, name in numbers.rows()}
    assert by_name.keys() == {"棘红细胞", "正常"}
    legend = legend_of(figures[0].axes[0])
    assert set(legend) == {f"{by_name['棘红细胞']} (1)", f"{by_name['正常']} (1)", "b (1)"}
    assert figures[0].axes[0].get_title() == f"{by_name['正常']} model"
    ticks = [text.get_text() for text in figures[1].axes[0].get_yticklabels()]
    assert ticks == [by_name["棘红细胞"], by_name["正常"], "b"]


@pytest.mark.usefixtures("no_fonts")
def test_save_figure__alone_lists_its_numbers_beside_it(tmp_path: Path) -> None:
    figure = blank_figure(1, 1)
    figure.text(0, 0, "正常 =1+1")
    save_figure(figure, tmp_path / "map.png")
    with (tmp_path / "map.names.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["number", "name"], ["#1", "正常"]]


@pytest.mark.usefixtures("no_fonts")
def test_note_numbers__says_so_in_one_sentence_and_takes_an_old_list_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = Numbers()
    Lettering(["正常"]).drawn("正常", numbers)
    with caplog.at_level(logging.WARNING):
        note_numbers(numbers, tmp_path)
    assert "no installed font has all letters of 1 names" in caplog.text
    assert (tmp_path / "names.csv").is_file()
    note_numbers(Numbers(), tmp_path)
    assert not (tmp_path / "names.csv").exists()


@pytest.mark.usefixtures("no_fonts")
def test_lettering__without_shaping_sets_numbers_for_what_runs_from_right_to_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mpl, "__version__", "3.10.0")
    numbers = Numbers()
    assert Lettering(["مرحبا a"]).drawn("مرحبا a", numbers) == "#1 a"
    monkeypatch.setattr(mpl, "__version__", "3.11.2")
    assert Lettering(["مرحبا a"]).drawn("مرحبا a", numbers) == "مرحبا a"
