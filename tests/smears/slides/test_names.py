"""The path of a part of a microscope file has one spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from reddino.smears.slides.names import SlidePart, split_slide


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("a/b.svs", SlidePart(Path("a/b.svs"))),
        ("a/b.SVS::x0-y5-w10-h20", SlidePart(Path("a/b.SVS"), None, (0, 5, 10, 20))),
        ("b.czi::s2", SlidePart(Path("b.czi"), 2)),
        ("b.czi::s0-x1-y2-w3-h4", SlidePart(Path("b.czi"), 0, (1, 2, 3, 4))),
        ("b.ome.tif::x1-y2-w3-h4", SlidePart(Path("b.ome.tif"), None, (1, 2, 3, 4))),
        ("b.zarr::s1", SlidePart(Path("b.zarr"), 1)),
    ],
)
def test_split_slide__reads_what_a_part_is_called(path: str, part: SlidePart) -> None:
    assert split_slide(path) == part
    assert str(part) == path


@pytest.mark.parametrize(
    "path",
    [
        "a.png",
        "a.tif",
        "a.png::x0-y0-w1-h1",
        "a.tar::b.svs",
        "a.tar::b.svs::x0-y0-w1-h1",
        "a.svs::",
        "a.svs::x00-y0-w1-h1",
        "a.svs::x0-y0-w0-h1",
        "a.svs::x0-y0-w1-h-1",
        "a.svs::x0-y0-w1",
        "a.svs::s01",
        "a.svs::s1x0-y0-w1-h1",
        "a.svs::-x0-y0-w1-h1",
        "a.svs::y0-x0-w1-h1",
        "a.svs::x0-y0-w1-h1 ",
        "a.svs::x٣-y0-w1-h1",
        "a.svs::x9999999999-y0-w1-h1",
    ],
)
def test_split_slide__takes_no_other_path_for_a_part(path: str) -> None:
    assert split_slide(path) is None
