"""Views in micrometres: slides of different scanners meet at one scale."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from fields_of_discs import draw_discs, grid
from slide_files import smear, write_pyramid

from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.views import scales
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """One field photographed twice: at 0.1 and at 0.2 um a pixel."""
    fine = cv2.GaussianBlur(smear(400, 320), (0, 0), 4)
    coarse = cv2.resize(fine, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "fine.png"), fine)
    cv2.imwrite(str(tmp_path / "coarse.png"), coarse)
    table = {
        "path": ["fine.png", "coarse.png", "fine.png", "coarse.png"],
        "x": [200.0, 100.0, 120.0, 60.0],
        "y": [160.0, 80.0, 100.0, 50.0],
        "um_per_px": ["0.1", "0.2", "0.1", "0.2"],
    }
    return Manifest(pa.table(table), tmp_path)


@pytest.mark.parametrize("kind", ["cells", "patches", "random"])
def test_views__have_the_side_of_their_scale(manifest: Manifest, kind: Any) -> None:
    spec = ViewSpec(kind=kind, side=8.0, unit="um", output=32)
    views, failures = ViewsByImage(manifest, spec), Failures()
    squares, _ = views.place_all(failures)
    assert not failures.count
    names = [views.names[number] for number in squares["image"]]
    assert {(name, side) for name, side in zip(names, squares["side"].tolist(), strict=True)} == {
        ("fine.png", 80.0),
        ("coarse.png", 40.0),
    }
    opened = np.concatenate([views.open(number).squares for number in range(len(views))])
    assert opened.tobytes() == squares.tobytes()


def test_views__of_two_scanners_show_the_same(manifest: Manifest) -> None:
    spec = ViewSpec(kind="cells", side=8.0, unit="um", output=32)
    views = ViewsByImage(manifest, spec)
    fine, coarse = (views.open(number).cut(0, 2, 32).astype(float) for number in range(2))
    assert np.abs(fine - coarse).mean() < 3
    unlike = ViewsByImage(manifest, ViewSpec(kind="cells", side=80, output=32))
    in_pixels = [unlike.open(number).cut(0, 2, 32).astype(float) for number in range(2)]
    assert np.abs(in_pixels[0] - in_pixels[1]).mean() > 5


def test_views__of_found_cells_too(tmp_path: Path) -> None:
    draw_discs(tmp_path / "a.png", 30, *grid(30))
    manifest = Manifest(pa.table({"path": ["a.png"], "um_per_px": ["0.25"]}), tmp_path)
    opened = ViewsByImage(manifest, ViewSpec(side=12.0, unit="um"), find_cells=True).open(0)
    assert len(opened.squares) > 3
    assert set(opened.squares["side"].tolist()) == {48.0}


def test_views__need_the_size_of_a_pixel_of_every_picture(manifest: Manifest) -> None:
    without = manifest.with_column("um_per_px", pa.array(["0.1", None, "0.1", None], pa.string()))
    with pytest.raises(RedDinoError, match=r"coarse\.png has none: fill column um_per_px"):
        ViewsByImage(without, ViewSpec(side=8.0, unit="um"))
    ViewsByImage(without, ViewSpec(side=8.0, unit="px"))
    ViewsByImage(without, ViewSpec(kind="image", side=8.0, unit="um"))


def test_views__say_which_scale_they_use_and_why(
    tmp_path: Path, manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    scales._logged.clear()
    spec = ViewSpec(kind="patches", side=9.0, unit="um")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            ViewsByImage(manifest, spec)
    expected = "views of 9 um: a pixel is 0.1 to 0.2 um, of 2 pictures by the column um_per_px"
    assert [record.getMessage() for record in caplog.records] == [expected]
    write_pyramid(tmp_path / "slide.tif", smear(4200, 200), levels=2)
    caplog.clear()
    ViewsByImage(open_data(tmp_path / "slide.tif"), spec)
    assert "a pixel is 0.25 um, of 3 pictures by their files" in caplog.text


def test_metadata__name_the_unit(manifest: Manifest) -> None:
    spec = ViewSpec(side=8.0, unit="um")
    assert spec.metadata()["unit"] == "um"
    assert ViewSpec(**spec.metadata()) == spec
    assert not spec.needs_diameters
