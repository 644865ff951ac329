"""The online score: which cells take part, and what it says."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from reddino.errors import RedDinoError
from reddino.evaluate.baselines import ColourHistogram
from reddino.online import OnlineNeighbours
from reddino.smears.manifest import Manifest
from reddino.smears.views import ViewSpec

VIEW = ViewSpec(kind="image", output=28)


def patches(folder: Path, labels: list[str], slides: list[str]) -> Manifest:
    """Small pictures whose colour tells their label: a, b, c, ... from dark to light."""
    rng = np.random.default_rng(0)
    for i, label in enumerate(labels):
        level = 30 + 60 * "abcd".index(label)
        picture = np.clip(level + rng.normal(0, 3, (32, 32, 3)), 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{i}.png"), picture)
    columns = {"path": [f"{i}.png" for i in range(len(labels))], "label": labels, "slide": slides}
    return Manifest(pa.table(columns), folder)


def test_online__perfect_where_colour_tells_the_class(tmp_path: Path) -> None:
    labels = ["a", "b"] * 60
    manifest = patches(tmp_path, labels, [f"s{i // 2 % 6}" for i in range(120)])
    scores = OnlineNeighbours.of(manifest, VIEW)(ColourHistogram(28))
    assert scores == dict.fromkeys(scores, 1.0)
    assert "online_knn_macro_f1" in scores


def test_online__leaves_out_and_names_classes_of_one_slide(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line, which other tests run, keeps the package's lines from the root logger.
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    labels = ["a", "b"] * 60 + ["c"] * 5
    slides = [f"s{i // 2 % 6}" for i in range(120)] + ["s0"] * 5
    online = OnlineNeighbours.of(patches(tmp_path, labels, slides), VIEW)
    assert online.cells == 120
    assert "c" in caplog.text


def test_online__needs_more_cells_than_neighbours(tmp_path: Path) -> None:
    manifest = patches(tmp_path, ["a", "b"] * 10, [f"s{i}" for i in range(20)])
    with pytest.raises(RedDinoError, match="more than 20 labelled cells"):
        OnlineNeighbours.of(manifest, VIEW)


def test_online__says_why_no_cell_could_be_cut(tmp_path: Path) -> None:
    manifest = patches(tmp_path, ["a", "b"] * 15, [f"s{i}" for i in range(30)])
    for file in tmp_path.glob("*.png"):
        file.write_bytes(b"not a picture")
    with pytest.raises(RedDinoError, match="no cell to look at"):
        OnlineNeighbours.of(manifest, VIEW)
