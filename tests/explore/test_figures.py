"""Figures hold what they were given: points, curves, images, and no state of pyplot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_hex

from reddino.evaluate.metrics import score
from reddino.explore.figures import (
    contact_sheet,
    curve,
    map_figure,
    paired_map_figure,
    pca_2d,
    save_figure,
    training_figure,
)


def test_pca_2d__equals_the_singular_vectors_up_to_sign() -> None:
    draw = np.random.default_rng(0)
    for shape in [(80, 12), (6, 40)]:
        vectors = (draw.normal(size=shape) * np.linspace(5, 1, shape[1])).astype(np.float32)
        centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
        left, scale, _ = np.linalg.svd(centred, full_matrices=False)
        expected = left[:, :2] * scale[:2]
        found = pca_2d(vectors)
        for axis in range(2):
            sign = np.sign(found[0, axis] * expected[0, axis])
            assert found[:, axis] == pytest.approx(sign * expected[:, axis], abs=1e-6)


def test_map_figure__draws_each_class_once_with_its_own_look() -> None:
    labels = [f"class {i % 12:02d}" for i in range(60)]
    xy = np.random.default_rng(0).normal(size=(60, 2))
    (axes,) = map_figure(xy, labels, "map").axes
    looks = {
        (to_hex(drawn.get_facecolor()[0]), drawn.get_paths()[0].vertices.tobytes())
        for drawn in axes.collections
    }
    assert len(axes.collections) == len(looks) == 12
    assert sum(len(drawn.get_offsets()) for drawn in axes.collections) == 60


def test_paired_map_figure__shows_the_same_points_by_class_and_by_source() -> None:
    xy = np.random.default_rng(1).normal(size=(30, 2))
    figure = paired_map_figure(xy, ["a", "b", ""] * 10, ["lab 1"] * 20 + ["lab 2"] * 10, "both")
    left, right = figure.axes
    assert [len(axes.collections) for axes in (left, right)] == [3, 2]
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert sorted(texts) == ["a (10)", "b (10)", "no label (10)"]


def test_curve__skips_records_without_the_key_and_sorts_by_samples() -> None:
    records = [
        {"samples": 200, "loss": 2.0},
        {"samples": 100, "loss": 3.0},
        {"samples": 150, "online_knn_macro_f1": 0.4},
        {"samples": 300, "loss": float("nan")},
        {"samples": 400, "loss": None},
        {"loss": 9.0},
    ]
    samples, values = curve(records, "loss")
    assert samples.tolist() == [100, 200]
    assert values.tolist() == [3.0, 2.0]


def test_training_figure__draws_what_was_recorded_and_says_what_was_not() -> None:
    records = [{"samples": i, "loss": 5 - i, "dino_loss": 2.0, "ibot_loss": 0.0} for i in range(4)]
    loss, entropy, online = training_figure(records).axes
    assert [line.get_label() for line in loss.lines] == ["sum", "DINO"]
    assert loss.lines[0].get_xydata().tolist() == [[0, 5], [1, 4], [2, 3], [3, 2]]
    for axes in (entropy, online):
        assert [text.get_text() for text in axes.texts] == ["not recorded"]


def test_training_figure__draws_the_scores_of_the_online_neighbours() -> None:
    names = list(score(np.array([0, 1]), np.array([0, 1]), 2).as_dict())
    records = [{"samples": i, **{f"online_knn_{name}": 0.5 for name in names}} for i in range(3)]
    online = training_figure(records).axes[2]
    assert [line.get_label() for line in online.lines] == ["macro F1", "wF1", "bAcc"]


def test_training_figure__of_an_empty_run_is_a_figure() -> None:
    assert len(training_figure([]).axes) == 3


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
