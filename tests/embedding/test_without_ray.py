"""Ray is an extra: what happens without it, and where nothing listens."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from square_tables import write_table

import reddino
from reddino.embedding.ray_cluster import last_line, ray_cluster
from reddino.foundations.errors import RedDinoError


def test_embed__names_the_extra_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RedDinoError, match=r"pip install 'reddino\[ray\]'"):
        reddino.embed("absent", "reddino-tiny", tmp_path / "t", ray=True)


def test_predict_and_cells__name_the_extra_without_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RedDinoError, match=r"pip install 'reddino\[ray\]'"):
        reddino.cells("absent", tmp_path / "cells.csv", ray=True)
    with pytest.raises(RedDinoError, match=r"pip install 'reddino\[ray\]'"):
        reddino.predict("absent", "absent", tmp_path / "p.csv", ray=True)


def test_predict__refuses_ray_where_nothing_would_be_embedded_or_kept(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    with pytest.raises(RedDinoError, match="is an embedding table, of which nothing is embedded: leave"):
        reddino.predict("absent", table, tmp_path / "p.csv", ray=True)
    with pytest.raises(RedDinoError, match="so that a stopped call continues: give out"):
        reddino.predict("absent", "absent", ray=True)


def test_embed__refuses_a_number_of_workers_without_ray(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="give --ray"):
        reddino.embed("absent", "reddino-tiny", tmp_path / "t", ray_workers=2)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_ray_cluster__refuses_an_address_where_nothing_listens(address: str) -> None:
    absent = SimpleNamespace(is_initialized=lambda: False)
    with (
        pytest.raises(RedDinoError, match=f"no Ray cluster at '{address}'"),
        ray_cluster(absent, address, 2, 0),
    ):
        pass


def test_last_line__is_the_cause_without_colours() -> None:
    error = RuntimeError("\x1b[36mray::RunWorker\x1b[39m died\n\nModuleNotFoundError: No module named 'x'\n")
    assert last_line(error) == "ModuleNotFoundError: No module named 'x'"
