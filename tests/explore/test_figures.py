"""Figures hold the pictures they were given, and no state of pyplot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from reddino.explore.figures import contact_sheet, save_figure
from reddino.explore.maps import map_figure


def test_contact_sheet__shows_the_pixels_it_was_given() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    figure = contact_sheet(images, titles=["one", "two"], columns=3)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(np.stack(shown), images)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["one", "two", ""]


def test_save_figure__writes_a_readable_picture_whole(tmp_path: Path) -> None:
    xy = np.random.default_rng(1).normal(size=(30, 2))
    save_figure(map_figure(xy, ["a"] * 30, "map"), tmp_path / "new folder" / "map.png")
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["map.png"]
    picture = cv2.imread(str(tmp_path / "new folder" / "map.png"))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_figures__do_not_touch_pyplot() -> None:
    code = "import sys, reddino.explore.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_save_figure__of_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    xy = np.random.default_rng(1).normal(size=(12, 2))
    for kind in ("png", "svg", "pdf"):
        files = [tmp_path / f"{name}.{kind}" for name in ("one", "two")]
        for file in files:
            save_figure(map_figure(xy, ["a", "b"] * 6, "map"), file)
        assert files[0].read_bytes() == files[1].read_bytes()
