"""Figures hold the pictures they were given, and no state of pyplot."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
from drawn import image_of, legend_of
from matplotlib.text import Text
from PIL import Image

from reddino.figures.canvas import contact_sheet, save_figure
from reddino.figures.maps import map_figure
from reddino.figures.score_figures import confusion_figure, source_scores_figure, transfer_figure
from reddino.foundations.visible import short_names


def test_contact_sheet__shows_the_pixels_it_was_given() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    figure = contact_sheet(images, titles=["one", "two"], columns=3)
    shown = [image_of(axes) for axes in figure.axes if axes.images]
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
    code = "import sys, reddino.figures.canvas; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_save_figure__of_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    xy = np.random.default_rng(1).normal(size=(12, 2))
    for kind in ("png", "svg", "pdf"):
        files = [tmp_path / f"{name}.{kind}" for name in ("one", "two")]
        for file in files:
            save_figure(map_figure(xy, ["a", "b"] * 6, "map"), file)
        assert files[0].read_bytes() == files[1].read_bytes()


NAMES = [
    *(
        "n$_$",
        "HbS$a$",
        r"$\frac",
        "_hidden",
        "a^b_{c}",
        "100 %",
        "{}",
        "#&~\\",
        "<script>",
        "a\tb",
        "two\nlines",
    ),
    *(
        "x" * 10_000,
        "x" * 9_999,
        "\x1b[2J",
        "nul\x00",
        "e\u0301" * 50,
        "mirror\u202e",
        "caf\udce9",
        "9" * 5000,
        "",
    ),
]


def test_save_figure__draws_names_as_they_are(tmp_path: Path) -> None:
    counts = np.arange(400, dtype=np.int64).reshape(20, 20)
    figures = [
        map_figure(np.eye(20, 2), NAMES, NAMES[0]),
        confusion_figure(counts, NAMES, NAMES[11]),
        transfer_figure(counts / 400, NAMES, NAMES, NAMES[2]),
        source_scores_figure(counts / 400, NAMES, NAMES, "F1", NAMES[13]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for place, figure in enumerate(figures):
            for kind in ("png", "pdf", "svg") if place == 0 else ("png",):
                save_figure(figure, tmp_path / f"{place}.{kind}", dpi=40)
    shown = short_names(NAMES)
    legend = {text.split("  ")[-1] for text in legend_of(figures[0].axes[0])}
    assert legend == {f"{name or 'no label'} (1)" for name in shown}
    assert len(legend) == 20
    assert not any(text.get_parse_math() for figure in figures for text in figure.findobj(Text))
    assert [tick.get_text() for tick in figures[1].axes[0].get_xticklabels()] == shown
    assert legend_of(figures[3].axes[0]) == shown
    # As wide as short names are.
    assert _size(tmp_path / "1.png")[0] < 2000


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_confusion_figure__of_very_many_classes_keeps_to_a_size_that_can_be_written() -> None:
    names = [f"class {number}" for number in range(400)]
    assert max(confusion_figure(np.eye(400, dtype=np.int64), names).get_size_inches()) < 100
