"""Tables on a screen: within a hundred columns, no number cut, no row lost."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from rich.table import Table

from reddino.classification.domain import UnitVerdict, Verdict
from reddino.classification.domain_report import DomainReport
from reddino.cli import tables, terminal
from reddino.cli.domain_table import domain_table
from reddino.cli.summaries import prediction_table


def _wide(numbers: int, name: str = "reddino-tiny") -> Table:
    table = Table(title="scores", caption="One sentence on all of it.")
    table.add_column("classifier", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for place in range(numbers):
        table.add_column(f"class {place}", justify="right", no_wrap=True)
    table.add_row("probe", name, *(f"{place}.125 ± 0.050" for place in range(numbers)))
    table.add_section()
    table.add_row("20-NN", name, *(f"{place}.250 ± 0.050" for place in range(numbers)))
    return table


def _printed(table: Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(terminal, "OUT", Console(file=io.StringIO(), width=80))
    terminal.show_tables([table])
    return capsys.readouterr().out


@pytest.mark.parametrize("numbers", [1, 4, 5, 14, 40])
def test_show_tables__fit_a_hundred_columns_with_every_number(
    numbers: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _printed(_wide(numbers), monkeypatch, capsys)
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    for place in range(numbers):
        assert text.count(f" {place}.125 ± 0.050") == 1
        assert text.count(f" {place}.250 ± 0.050") == 1
    assert text.count("scores") == text.count("One sentence on all of it.") == 1


def test_show_tables__name_the_row_in_every_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _printed(_wide(14), monkeypatch, capsys)
    lines = [line for line in text.splitlines() if ".125" in line]
    assert len(lines) > 1
    assert all("probe" in line and "reddino-tiny" in line for line in lines)


def test_show_tables__break_long_names_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _printed(_wide(6, "a-model-of-a-long-name-" * 4), monkeypatch, capsys)
    assert max(map(len, text.splitlines())) <= tables.WIDTH
    assert all(f" {place}.125 ± 0.050" in text for place in range(6))


def test_table_width__is_that_of_the_terminal() -> None:
    assert tables.table_width(Console(file=io.StringIO(), width=80, force_terminal=True)) == 80
    assert tables.table_width(Console(file=io.StringIO(), width=80)) == 100
    assert tables.table_width(Console(file=io.StringIO(), width=180)) == 180


def _unit(slide: str, cells: int, verdict: Verdict) -> UnitVerdict:
    return UnitVerdict("lab", slide, cells, verdict, "a sentence", 0.1, 0.5, None, {})


def test_domain_table__lists_sources_and_slides_that_are_not_within() -> None:
    within = [_unit(f"slide {n}", 10, "within") for n in range(8)]
    units = (_unit("", 90, "within"), *within, _unit("slide 8", 10, "outside"))
    table = domain_table(DomainReport(units, ""), 100)
    assert list(table.columns[0].cells) == ["lab", "lab, slide 8", "8 slides"]
    assert list(table.columns[2].cells) == ["within", "outside", "within"]


def test_prediction_table__names_the_source_of_slides_of_one_name() -> None:
    counts = pa.table(
        {
            "source": ["lab a", "lab b", "lab b"],
            "slide": ["1", "1", "2"],
            "path": ["", "", ""],
            "cells": [3, 4, 5],
            "n_burr": [3, 4, 4],
        }
    )
    made: Any = SimpleNamespace(counts=lambda: counts, classes=("burr",), abstains=False, unadjusted=None)
    table = prediction_table(made)
    assert [column.header for column in table.columns] == ["", "1 (lab a)", "1 (lab b)", "2", "all"]
    assert [list(column.cells) for column in table.columns[::4]] == [["cells", "burr"], ["12", "11"]]


def test_prediction_table__of_many_images_counts_by_source() -> None:
    of = ["lab a"] * 3 + ["lab b", "lab c", "lab d"]
    images = [f"/smears/{name}/{i}.png" for i, name in enumerate(of)]
    counts = pa.table(
        {"source": of, "slide": [""] * 6, "path": images, "cells": range(6), "n_burr": range(6)}
    )
    made: Any = SimpleNamespace(counts=lambda: counts, classes=("burr",), abstains=False, unadjusted=None)
    few = prediction_table(made, most=6)
    assert [column.header for column in few.columns][1:3] == ["0.png", "1.png"]
    table = prediction_table(made, most=3)
    names = ["lab a (3 images)", "lab b (1 image)", "(2 more)", "all"]
    assert [column.header for column in table.columns][1:] == names
    assert [next(iter(column.cells)) for column in table.columns][1:] == ["3", "3", "9", "15"]
