"""Whole slides are surveyed: every cell once, the same after a kill, at one scale, in the same table."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from shutil import copytree
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_slides import DrawnSlide, drawn_slide, found_cells
from scipy.spatial import cKDTree

import reddino
from reddino.embedding.embedding_pass import EmbedReport
from reddino.foundations.errors import RedDinoError
from reddino.regions.places import places_of
from reddino.regions.slide_cells import Chosen, find_all_cells
from reddino.regions.survey import survey
from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.opening import open_data


@pytest.fixture(scope="module")
def slide() -> DrawnSlide:
    return drawn_slide()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the finished survey."""
    return Path(copytree(found_cells()[1], tmp_path / "survey"))


@pytest.fixture(scope="module")
def cells() -> Manifest:
    return found_cells()[0]


def centres_of(cells: Manifest) -> npt.NDArray[np.float64]:
    return np.column_stack([np.array(cells.strings(f"level0_{axis}"), float) for axis in "xy"])


def test_cells__are_those_of_the_truth(slide: DrawnSlide, cells: Manifest) -> None:
    true, found = slide.centres()[slide.red()], centres_of(cells)
    zone, clear = slide.truth["zone"][slide.red()], slide.truth["fault"][slide.red()] == ""
    apart, nearest = (np.asarray(values) for values in cKDTree(true).query(found))
    hit = np.zeros(len(true), np.bool_)
    hit[nearest[apart < 12]] = True
    assert np.mean(hit[(zone == "monolayer") & clear]) > 0.97
    assert np.mean(hit[(zone == "feathered edge") & clear]) > 0.9
    assert np.mean(apart < 12) > 0.95


def test_cells__of_overlapping_rectangles_of_ones_own_are_those_of_one_slide(slide: DrawnSlide) -> None:
    lefts, width, height = (1900, 2500), 900, 700
    paths = [f"{slide.path.name}::x{left}-y300-w{width}-h{height}" for left in lefts]
    found = find_all_cells(Manifest(pa.table({"path": paths}), slide.path.parent))
    centres, path = centres_of(found), np.array(found.strings("path"))
    diameter = found.numbers("cell_diameter")
    assert set(path) == set(paths) and len(set(diameter)) == 1
    pairs = cKDTree(centres).query_pairs(0.5 * diameter[0], output_type="ndarray")
    assert not (path[pairs[:, 0]] != path[pairs[:, 1]]).any()
    cut = np.array([value == "true" for value in found.strings("at_border")])
    inside = (np.abs(centres[:, 0] - 2650) < 130) & (np.abs(centres[:, 1] - 650) < 320)
    assert inside.sum() > 10 and not cut[inside].any()
    # At the outer border of the rectangles, cells are cut, though the slide does not end there.
    assert cut[(centres[:, 1] < 312) | (centres[:, 0] < 1912)].mean() > 0.8


def test_cells__are_one_manifest_in_both_formats(cells: Manifest, tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        write_manifest(cells, tmp_path / name)
    read = [read_manifest(tmp_path / name) for name in ("a.csv", "a.parquet")]
    assert read[0].fingerprint() == read[1].fingerprint()
    kinds = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "a.parquet")}
    assert kinds["level0_x"] == kinds["um_per_px"] == "double" and kinds["region"] == "int64"


def test_cells__at_borders_of_regions_are_neither_doubled_nor_missed(
    slide: DrawnSlide, cells: Manifest
) -> None:
    """Of the true cells that borders of cores run through, none is missed, and none found by two regions."""
    found, regions = centres_of(cells), np.array(cells.strings("region"))
    # Half a measured diameter: in the thick part, two cells may lie nearly as close.
    pairs = cKDTree(found).query_pairs(0.5 * cells.numbers("cell_diameter")[0], output_type="ndarray")
    assert not (regions[pairs[:, 0]] != regions[pairs[:, 1]]).any()
    borders = {place.core[0] for place in places_of(open_data(slide.path)) if place.core} - {0}
    assert borders
    single = slide.red() & (slide.truth["fault"] == "") & (slide.truth["zone"] != "thick part")
    true = slide.centres()[single]
    on_border = np.min([np.abs(true[:, 0] - border) for border in borders], axis=0) < 10
    assert on_border.sum() > 8
    # Within one region, the finder may cut a cell in two there as elsewhere.
    near = cKDTree(found).query_ball_point(true[on_border], 9)
    assert np.mean([len(cells_there) > 0 for cells_there in near]) >= 0.95
    assert all(len(set(regions[cells_there])) <= 1 for cells_there in near)


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


def test_cells__say_where_their_region_lies(cells: Manifest) -> None:
    corners = np.column_stack([np.array(cells.strings(f"region_{axis}"), float) for axis in "xy"])
    inside = np.column_stack(
        [cells.numbers("x") + cells.numbers("w") / 2, cells.numbers("y") + cells.numbers("h") / 2]
    )
    np.testing.assert_allclose(corners + inside, centres_of(cells), atol=0.01)


def test_cells__of_regions_without_their_column_are_found_once(
    slide: DrawnSlide, cells: Manifest, folder: Path
) -> None:
    paths = list(dict.fromkeys(cells.strings("path")))
    bare = Manifest(pa.table({"path": paths}), slide.path.parent)
    found = find_all_cells(bare, folder=folder)
    assert np.array_equal(found.numbers("x"), cells.numbers("x"))


def test_cells__never_take_the_place_of_a_column_of_the_user(tmp_path: Path) -> None:
    manifest = Manifest(pa.table({"path": ["a.png"], "quality": ["fine"]}), tmp_path)
    with pytest.raises(RedDinoError, match="has a column 'quality', which a survey of slides uses itself"):
        find_all_cells(manifest, chosen=Chosen(cells=10))


def test_cells__command_writes_the_same(slide: DrawnSlide, cells: Manifest, tmp_path: Path) -> None:
    written = reddino.cells(slide.path, tmp_path / "cells.parquet")
    for name in ("x", "y", "w", "h", "cell_diameter"):
        assert np.array_equal(written.numbers(name), cells.numbers(name))
    assert written.strings("level0_x") == cells.strings("level0_x")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.parquet"]


def test_cells__stopped_during_a_slide_continue_and_leave_nothing(
    slide: DrawnSlide, cells: Manifest, tmp_path: Path
) -> None:
    def stop(now: int, _: int) -> None:
        if now == 2:
            raise KeyboardInterrupt

    out = tmp_path / "cells.parquet"
    with pytest.raises(KeyboardInterrupt):
        reddino.cells(slide.path, out, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == [".cells.parquet.survey"]
    assert any((tmp_path / ".cells.parquet.survey").iterdir())
    written = reddino.cells(slide.path, out)
    assert np.array_equal(written.numbers("x"), cells.numbers("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["cells.parquet"]


def test_survey__does_a_damaged_part_again(slide: DrawnSlide, cells: Manifest, folder: Path) -> None:
    part = sorted(folder.glob("*.npz"))[0]
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert find_all_cells(open_data(slide.path), folder=folder).table.equals(cells.table)


def test_survey__does_a_part_again_that_is_read_or_scaled_otherwise(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((80, 80, 3), 230, np.uint8))
    keys = []
    for column in ({}, {"cell_diameter": [30.0]}, {"cell_diameter": [40.0]}, {"bit_depth": [8]}):
        manifest = Manifest(pa.table({"path": ["a.png"], **column}), tmp_path)
        with ExitStack() as kept:
            keys.append(survey(manifest, tmp_path / "survey", kept)._keys[0])
    assert len(set(keys)) == 4


def test_chosen__come_from_the_monolayer_spread_and_seeded(slide: DrawnSlide, folder: Path) -> None:
    def taken(seed: int) -> Manifest:
        return find_all_cells(open_data(slide.path), folder=folder, chosen=Chosen("monolayer", 60, seed))

    first = taken(0)
    assert len(first) == 60
    assert first.table.equals(taken(0).table)
    assert not first.table.equals(taken(1).table)
    assert all(first.strings("monolayer"))
    x, y = (centres_of(first) / 32).astype(int).T
    assert np.mean(slide.zones[y, x] == 2) > 0.8
    assert len(set(zip((x // 12).tolist(), (y // 12).tolist(), strict=True))) >= 4


def test_chosen__usable_leaves_faults_out(slide: DrawnSlide, cells: Manifest, folder: Path) -> None:
    usable = find_all_cells(open_data(slide.path), folder=folder, chosen=Chosen("usable"))
    assert 0 < len(usable) < len(cells)
    assert not set(usable.strings("quality")) & {"out of focus", "pen mark", "air bubble or fold"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables") / "all"
    copytree(found_cells()[1], out / "_survey")
    embed(out)
    return out


def embed(out: Path, **options: Any) -> EmbedReport:
    return reddino.embed(
        drawn_slide().path, "colour-histogram", out, find_cells=True, image_size=32, **options
    )


def test_embed__rows_are_the_cells_of_the_slide(cells: Manifest, table: Path, folder: Path) -> None:
    rows = reddino.read_embeddings(table)
    assert rows.numbers("level0_x").tolist() == centres_of(cells)[:, 0].tolist()
    kinds = {field.name: str(field.type) for field in rows.table.schema}
    whole, real = ("region", "region_x", "region_y", "monolayer"), ("um_per_px", "level0_x", "level0_y")
    assert {name: kinds[name] for name in whole} == dict.fromkeys(whole, "int64")
    assert {name: kinds[name] for name in real} == dict.fromkeys(real, "double")
    assert kinds["quality"] == "string"
    assert rows.manifest().strings("level0_x") == cells.strings("level0_x")
    assert rows.meta["cells"] == "found"
    again = embed(table)
    assert again.resumed == again.rows == len(cells)
    copytree(folder, folder.parent / "some" / "_survey")
    assert embed(folder.parent / "some", cells=40, cells_from="monolayer").rows == 40


def test_embed__killed_during_a_slide_continues_to_the_same_table(table: Path, tmp_path: Path) -> None:
    script = (
        "import sys, reddino; "
        "reddino.embed(sys.argv[1], 'colour-histogram', sys.argv[2], find_cells=True, image_size=32)"
    )
    out = tmp_path / "killed"
    killed = subprocess.Popen([sys.executable, "-c", script, str(drawn_slide().path), str(out)])
    deadline = time.monotonic() + 240
    while not list(out.glob("_survey/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    parts = {path: path.stat().st_mtime_ns for path in out.glob("_survey/*.npz")}
    assert 0 < len(parts) < 3
    embed(out)
    assert all(path.stat().st_mtime_ns == when for path, when in parts.items())
    whole, continued = reddino.read_embeddings(table), reddino.read_embeddings(out)
    assert continued.table.equals(whole.table)
    assert np.array_equal(continued.vectors, whole.vectors)


def test_embed__refuses_to_choose_among_no_found_cells(slide: DrawnSlide, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="add --find-cells"):
        reddino.embed(slide.path, "colour-histogram", tmp_path / "t", cells=10)
