"""Whole slides are surveyed: every cell once, the same after a kill, at one scale, in the same table."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from drawn_slides import DrawnSlide, drawn_slide
from scipy.spatial import cKDTree

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.regions.places import places_of
from reddino.regions.slide_cells import Chosen, find_all_cells
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data


@pytest.fixture(scope="module")
def slide() -> DrawnSlide:
    return drawn_slide()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("survey")


@pytest.fixture(scope="module")
def cells(slide: DrawnSlide, folder: Path) -> Manifest:
    return find_all_cells(open_data(slide.path), folder=folder, threads=2)


def centres_of(cells: Manifest) -> npt.NDArray[np.float64]:
    return np.column_stack([np.array(cells.strings(f"level0_{axis}"), float) for axis in "xy"])


def test_cells__are_those_of_the_truth(slide: DrawnSlide, cells: Manifest) -> None:
    true, found = slide.centres()[slide.red()], centres_of(cells)
    zone, clear = slide.truth["zone"][slide.red()], slide.truth["fault"][slide.red()] == ""
    apart, nearest = cKDTree(true).query(found)
    hit = np.zeros(len(true), np.bool_)
    hit[nearest[apart < 12]] = True
    assert np.mean(hit[(zone == "monolayer") & clear]) > 0.97
    assert np.mean(hit[(zone == "feathered edge") & clear]) > 0.95
    assert np.mean(apart < 12) > 0.95


def test_cells__at_borders_of_regions_are_neither_doubled_nor_missed(
    slide: DrawnSlide, cells: Manifest
) -> None:
    """Of the true cells that the borders of cores run through, as many are found as elsewhere, each once."""
    found, regions = centres_of(cells), np.array(cells.strings("region"))
    pairs = cKDTree(found).query_pairs(0.5 * 24, output_type="ndarray")
    assert not (regions[pairs[:, 0]] != regions[pairs[:, 1]]).any()
    borders = {place.core[0] for place in places_of(open_data(slide.path)) if place.core} - {0}
    assert borders
    single = slide.red() & (slide.truth["fault"] == "") & (slide.truth["zone"] != "thick part")
    true = slide.centres()[single]
    on_border = np.min([np.abs(true[:, 0] - border) for border in borders], axis=0) < 10
    assert on_border.sum() > 8
    near = cKDTree(found).query_ball_point(true[on_border], 9, return_length=True)
    assert np.mean(near == 1) >= 0.95 and near.max() == 1


def test_cells__say_where_they_lie(slide: DrawnSlide, cells: Manifest) -> None:
    corner = np.array([place.corner for place in places_of(open_data(slide.path))])
    names, codes = cells.images()
    order = [place.name for place in places_of(open_data(slide.path))]
    rows = np.array([order.index(name) for name in names])[codes]
    assert np.allclose(centres_of(cells), corner[rows] + cells.centres(), atol=0.006)
    assert len(np.unique(cells.numbers("cell_diameter"))) == 1
    assert cells.numbers("cell_diameter")[0] == pytest.approx(7.0 / 0.3, rel=0.12)
    assert set(cells.strings("slide")) == {"smear"}
    assert set(cells.strings("quality")) > {"good"}


def test_cells__border_of_a_region_is_not_the_border_of_the_slide(slide: DrawnSlide, cells: Manifest) -> None:
    cut = np.array(cells.strings("at_border")) == "true"
    x, y = centres_of(cells).T
    inner = (x > 30) & (y > 30) & (x < 4400 - 30) & (y < 1400 - 30)
    assert not (cut & inner).any()


def test_cells__command_writes_the_same(slide: DrawnSlide, cells: Manifest, tmp_path: Path) -> None:
    written = reddino.cells(slide.path, tmp_path / "cells.parquet")
    for name in ("x", "y", "w", "h", "cell_diameter"):
        assert np.array_equal(written.numbers(name), cells.numbers(name))
    assert written.strings("level0_x") == cells.strings("level0_x")


def test_survey__killed_continues_to_the_same_cells(
    slide: DrawnSlide, cells: Manifest, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path; from reddino.regions.slide_cells import find_all_cells; "
        "from reddino.smears.opening import open_data; "
        "find_all_cells(open_data(sys.argv[1]), folder=Path(sys.argv[2]), threads=1)"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(slide.path), str(tmp_path)])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert 0 < len(parts) < len(places_of(open_data(slide.path)))
    again = find_all_cells(open_data(slide.path), folder=tmp_path, threads=2)
    assert again.table.equals(cells.table)
    assert all(path.stat().st_mtime_ns == when for path, when in parts.items())


def test_survey__does_a_damaged_part_again(slide: DrawnSlide, cells: Manifest, folder: Path) -> None:
    part = sorted(folder.glob("*.npz"))[0]
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert find_all_cells(open_data(slide.path), folder=folder).table.equals(cells.table)


def test_chosen__come_from_the_monolayer_spread_and_seeded(slide: DrawnSlide, folder: Path) -> None:
    def taken(seed: int) -> Manifest:
        return find_all_cells(open_data(slide.path), folder=folder, chosen=Chosen("monolayer", 60, seed))

    first = taken(0)
    assert len(first) == 60
    assert first.table.equals(taken(0).table)
    assert not first.table.equals(taken(1).table)
    assert all(first.strings("monolayer"))
    x, y = (centres_of(first) / 32).astype(int).T
    assert np.mean(slide.zones[y, x] == 2) > 0.85
    assert len(set(zip((x // 12).tolist(), (y // 12).tolist(), strict=True))) >= 4


def test_chosen__usable_leaves_faults_out(slide: DrawnSlide, cells: Manifest, folder: Path) -> None:
    usable = find_all_cells(open_data(slide.path), folder=folder, chosen=Chosen("usable"))
    assert 0 < len(usable) < len(cells)
    assert not set(usable.strings("quality")) & {"out of focus", "pen mark", "air bubble or fold"}


def test_embed__rows_are_the_cells_of_the_slide(slide: DrawnSlide, cells: Manifest, tmp_path: Path) -> None:
    report = reddino.embed(slide.path, "colour", tmp_path / "all", find_cells=True)
    assert report.rows == len(cells)
    table = reddino.read_embeddings(tmp_path / "all")
    assert table.strings("level0_x") == cells.strings("level0_x")
    assert table.meta["cells"] == "found"
    again = reddino.embed(slide.path, "colour", tmp_path / "all", find_cells=True)
    assert again.resumed == again.rows == report.rows
    some = reddino.embed(
        slide.path, "colour", tmp_path / "some", find_cells=True, cells=40, cells_from="monolayer"
    )
    assert some.rows == 40


def test_embed__refuses_to_choose_among_no_found_cells(slide: DrawnSlide, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="add --find-cells"):
        reddino.embed(slide.path, "colour", tmp_path / "t", cells=10)
