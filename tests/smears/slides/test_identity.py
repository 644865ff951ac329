"""One slide under two names: links and copies are found, and refused where its cells would count twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from slide_files import smear, write_pyramid, write_zarr

import reddino
from reddino.checks.inspection import inspect_rows
from reddino.foundations.errors import RedDinoError
from reddino.regions.slide_cells import find_all_cells
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.smears.slides.identity import same_slides, whole_and_in_parts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slide with regions, another of the same size in bytes, and a small one."""
    (tmp_path / "lab").mkdir()
    pixels = smear(4500, 600)
    write_pyramid(tmp_path / "lab" / "a.tif", pixels, levels=2)
    write_pyramid(tmp_path / "lab" / "other.tif", pixels[::-1], levels=2)
    return tmp_path / "lab"


def as_copy(slide: Path, other: Path) -> None:
    shutil.copyfile(slide, other)


def as_link(slide: Path, other: Path) -> None:
    other.symlink_to(slide)


WAYS: dict[str, Callable[[Path, Path], None]] = {"copy": as_copy, "link": as_link, "hard link": os.link}


@pytest.mark.parametrize("way", WAYS)
def test_a_slide_under_two_names__is_found(folder: Path, way: str) -> None:
    data = open_data(folder, subfolders="none")
    assert same_slides(data) == []
    WAYS[way](folder / "a.tif", folder / "b.tif")
    data = open_data(folder, subfolders="none")
    assert same_slides(data) == [("a.tif", "b.tif")]
    found = [one for one in inspect_rows(data) if one.kind == "slide under several names"]
    assert [(one.count, one.first) for one in found] == [(1, "b.tif, as a.tif")]


def test_a_slide_under_two_names__is_refused_where_cells_are_found(folder: Path, tmp_path: Path) -> None:
    (folder / "below").mkdir()
    as_copy(folder / "a.tif", folder / "below" / "same.tif")
    sentence = r"below/same\.tif is the slide a\.tif under another name, and its cells would count twice"
    for share in (None, "1/3"):
        with pytest.raises(RedDinoError, match=sentence):
            reddino.cells(folder, tmp_path / "cells.csv", share=share, subfolders="none")
        with pytest.raises(RedDinoError, match=sentence):
            reddino.embed(
                folder, "morphology", tmp_path / "table", find_cells=True, share=share, subfolders="none"
            )
    with pytest.raises(RedDinoError, match=sentence):
        reddino.quality(folder, tmp_path / "quality", subfolders="none")
    assert not (tmp_path / "cells.csv").exists()


def test_a_slide_under_two_names__is_found_among_several_data(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tif").symlink_to(folder / "a.tif")
    data = open_data([folder / "a.tif", tmp_path / "b.tif", folder / "other.tif"])
    assert same_slides(data) == [("lab/a.tif", "b.tif")]
    with pytest.raises(RedDinoError, match="under another name"):
        find_all_cells(data)


def test_folders_of_slides__are_compared_by_all_of_their_bytes(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    write_zarr(tmp_path / "a.zarr", smear(4500, 300), levels=1)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    data = open_data([tmp_path / "a.zarr", tmp_path / "b.zarr"])
    assert same_slides(data) == [("a.zarr", "b.zarr")]
    changed = max(
        (tmp_path / "b.zarr").rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0
    )
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert same_slides(data) == []


def test_pictures_and_missing_files__are_passed_over(tmp_path: Path) -> None:
    paths = ["a.png", "b.png", "gone.svs::x0-y0-w9-h9", "gone2.svs::x0-y0-w9-h9", "photo.heic"]
    assert same_slides(Manifest(pa.table({"path": paths}), tmp_path)) == []


def listed(root: Path, *names: str) -> Manifest:
    return Manifest(pa.table({"path": list(names)}), root)


def test_a_copy__is_found_by_another_suffix_and_as_a_whole_picture(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", smear(500, 300), levels=1)
    as_copy(tmp_path / "a.tif", tmp_path / "b.tiff")
    part = "::x0-y0-w200-h200"
    assert same_slides(listed(tmp_path, "a.tif", "b.tiff")) == []  # plain pictures, as others
    for other in ("b.tiff", f"b.tiff{part}"):
        assert same_slides(listed(tmp_path, f"a.tif{part}", other)) == [("a.tif", "b.tiff")]
    assert same_slides(listed(tmp_path, "b.tiff", f"a.tif{part}")) == [("a.tif", "b.tiff")]


def test_small_microscope_files_and_empty_ones__are_compared_by_their_bytes(tmp_path: Path) -> None:
    for name, content in {
        "a.nd2": b"one",
        "b.nd2": b"one",
        "c.nd2": b"two",
        "d.nd2": b"",
        "e.nd2": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    assert same_slides(listed(tmp_path, *(f"{letter}.nd2" for letter in "abcde"))) == [("a.nd2", "b.nd2")]


def test_a_picture_whole_and_in_parts__is_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", smear(500, 300), levels=1)
    data = listed(tmp_path, "a.tif", "a.tif::x0-y0-w200-h200", "a.tif::x200-y0-w200-h200")
    assert whole_and_in_parts(data) == ["a.tif"]
    assert [one.first for one in inspect_rows(data) if one.kind == "picture whole and in parts"] == ["a.tif"]
    with pytest.raises(RedDinoError, match=r"a\.tif is in the data whole and by rectangles of it"):
        find_all_cells(data)
    assert whole_and_in_parts(listed(tmp_path, "a.czi::s0", "a.czi::s1-x0-y0-w9-h9")) == []


def test_tables_of_a_slide_under_two_names__are_not_merged(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", smear(300, 200), levels=1)
    as_copy(tmp_path / "a.tif", tmp_path / "b.tif")
    for name in ("a", "b"):
        part = listed(tmp_path, f"{name}.tif::x0-y0-w200-h200")
        reddino.embed(part, "colour-histogram", tmp_path / name, view="image")
    with pytest.raises(RedDinoError, match=r"b\.tif is the slide a\.tif under another name"):
        reddino.merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
