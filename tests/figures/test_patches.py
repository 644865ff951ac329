"""The patches verb: which fields it takes, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

import reddino
from reddino.figures.patches import spread_images
from reddino.foundations.errors import RedDinoError
from reddino.networks.create_backbone import initialise
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers import read_folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    card = ModelCard("vit_tiny_patch14", 42, depth=2, layer_scale=1.0)
    backbone = card.create()
    initialise(backbone, 0)
    save_model_folder(tmp_path / "model", backbone, card)
    return str(tmp_path / "model")


@pytest.fixture
def smears_folder(tmp_path: Path) -> Path:
    """Two fields with dark discs, and a file that is no image."""
    folder = tmp_path / "fields"
    folder.mkdir()
    for number in range(2):
        picture = np.full((90, 120, 3), 220, np.uint8)
        for x in (25, 60, 95):
            cv2.circle(picture, (x, 30 + 20 * number), 12, (90, 60, 140), -1)
        cv2.imwrite(str(folder / f"field {number}.png"), picture)
    (folder / "torn.png").write_bytes(b"not an image")
    (folder / "folder.png").mkdir()
    return folder


def test_patches__writes_a_shared_picture_and_two_of_each_field(
    model: str, smears_folder: Path, tmp_path: Path
) -> None:
    failures = Failures()
    drawn = reddino.patches(smears_folder, model, tmp_path / "out", device="cpu", failures=failures, most=3)
    assert [path.name for path in drawn] == [
        "pca.png",
        "01-field 0-attention.png",
        "01-field 0-similarity.png",
        "02-field 1-attention.png",
        "02-field 1-similarity.png",
    ]
    assert all(cv2.imread(str(path)) is not None for path in drawn)
    assert failures.count == 2
    listed = (tmp_path / "out" / "failures.csv").read_text()
    assert "torn.png" in listed
    assert "folder.png" in listed
    record = json.loads((tmp_path / "out" / "patches.json").read_text())
    assert record["images"] == ["field 0.png", "field 1.png"]
    assert record["provenance"]["model"]


def test_patches__needs_one_readable_field(model: str, tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.png").write_bytes(b"not an image")
    with pytest.raises(RedDinoError, match="no field could be read"):
        reddino.patches(read_folder(tmp_path / "torn"), model, tmp_path / "out", device="cpu")


def test_spread_images__take_sources_in_turn_and_spread_along_each() -> None:
    paths = [f"a/{i}.png" for i in range(9)] + ["b/0.png", "b/0.png"]
    sources = ["a"] * 9 + ["b"] * 2
    empty = pa.nulls(11, pa.string())
    numbers = pa.nulls(11, pa.float64())
    columns: dict[str, Any] = dict.fromkeys(("slide", "patient", "group", "label"), empty)
    columns |= dict.fromkeys(("x", "y", "w", "h", "cell_diameter"), numbers)
    manifest = Manifest(pa.table({"path": paths, "source": sources, **columns}), Path())
    assert spread_images(manifest, 4) == ["a/2.png", "b/0.png", "a/6.png"]
    assert spread_images(manifest, 1) == ["a/4.png"]
