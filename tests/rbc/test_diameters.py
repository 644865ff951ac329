"""The red-cell diameter of a source: from its manifest, else by segmentation of some of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import source_diameters
from reddino.rbc.measures import Cells
from reddino.smears.manifest import Manifest


def manifest_of(root: Path, **columns: list[Any]) -> Manifest:
    return Manifest(pa.table(columns), root)


def cells_of(diameter: float, whole: int) -> Cells:
    """Return cells of one diameter, in a row."""
    same, at = np.full(whole, diameter, np.float64), np.arange(whole, dtype=np.float64) * diameter
    return Cells(at, at, same, same, at, at, same**2, same, np.zeros(whole, np.bool_), diameter)


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stands in for the segmentation: the diameter of an image is its width; notes the image sizes."""
    asked: list[tuple[int, int]] = []

    def find_cells(image: np.ndarray) -> Cells:
        asked.append(image.shape[:2])
        width = float(image.shape[1])
        return cells_of(width if width > 20 else float("nan"), whole=5)

    monkeypatch.setattr("reddino.rbc.diameters.find_cells", find_cells)
    return asked


def test_source_diameters__takes_the_manifest_before_estimating(
    tmp_path: Path, estimates: list[tuple[int, int]]
) -> None:
    for name, size in (("a.png", (50, 70)), ("b.png", (90, 30))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / name)
    paths, sources = ["a.png", "b.png", "a.png", "b.png"], ["A", "B", "A", "B"]
    diameters = [40.0, None, 44.0, None]
    known = manifest_of(tmp_path, path=paths, source=sources, cell_diameter=diameters)
    assert source_diameters(known) == {"A": 42.0, "B": 30.0}
    assert estimates == [(90, 30)]


def test_source_diameters__samples_images_by_seed(tmp_path: Path, estimates: list[tuple[int, int]]) -> None:
    for width in range(21, 51):
        Image.fromarray(np.zeros((4, width, 3), np.uint8)).save(tmp_path / f"{width}.png")
    manifest = manifest_of(tmp_path, path=[f"{width}.png" for width in range(21, 51)])
    first = source_diameters(manifest, sample=5, seed=1)
    asked = [width for _, width in estimates]
    assert len(asked) == 5 and first == {"": float(np.median(asked))}
    assert source_diameters(manifest, sample=5, seed=1) == first
    source_diameters(manifest, sample=5, seed=2)
    assert [width for _, width in estimates[10:]] != asked


def test_source_diameters__names_a_source_without_measurable_cells(
    tmp_path: Path, estimates: list[tuple[int, int]]
) -> None:
    Image.fromarray(np.zeros((4, 10, 3), np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    manifest = manifest_of(tmp_path, path=["small.png", "broken.png"], source=["S", "S"])
    with pytest.raises(RedDinoError, match="source 'S'"):
        source_diameters(manifest)


def test_source_diameters__refuses_several_magnifications_where_asked(
    tmp_path: Path, estimates: list[tuple[int, int]]
) -> None:
    for width in (30, 31, 60):
        Image.fromarray(np.zeros((4, width, 3), np.uint8)).save(tmp_path / f"{width}.png")
    manifest = manifest_of(tmp_path, path=["30.png", "31.png", "60.png"], source=["S"] * 3)
    assert source_diameters(manifest) == {"S": 31.0}
    with pytest.raises(RedDinoError, match="source 'S' has no one scale: red cells measure 30 to 60 pixels"):
        source_diameters(manifest, refuse_mixed=True)
