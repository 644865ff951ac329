"""The masked centre: the cell is gone, its surroundings are not, and a table records it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from reddino.embedding.baselines import ColourHistogram
from reddino.embedding.comparable import require_comparable, require_same_views
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.cutting import fill_centre
from reddino.views.spec import ViewSpec

MASKED = ViewSpec(kind="cells", side=64, unit="px", output=32, mask_centre=1.0)
PLAIN = ViewSpec(kind="cells", side=64, unit="px", output=32)
CELL = 24.0


def field(folder: Path, colour: tuple[int, int, int]) -> Manifest:
    """One image of noise with a disc of `colour`, of one cell diameter, at (60, 50)."""
    image = np.random.default_rng(0).integers(90, 160, (100, 120, 3)).astype(np.uint8)
    cv2.circle(image, (60, 50), int(CELL / 2) - 1, colour, -1)
    cv2.imwrite(str(folder / "field.png"), image)
    columns = {"path": ["field.png"], "x": [60.5], "y": [50.5], "cell_diameter": [CELL], "label": ["normal"]}
    return Manifest(pa.table(columns), folder)


def cut(manifest: Manifest, spec: ViewSpec) -> np.ndarray:
    (square,) = ViewsByImage(manifest, spec).open(0).cut(0, 1, spec.output)
    return np.asarray(square)


def distances(side: int) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    return np.asarray(np.hypot(x, y))


def test_fill_centre__fills_the_area_of_the_disc_and_nothing_else() -> None:
    square = np.zeros((64, 64, 3), np.uint8)
    fill_centre(square, 40, np.array([100.0, 50.0, 0.0]))
    assert square[..., 0].sum() / 100 == pytest.approx(np.pi * 20**2, rel=0.01)
    assert not square[distances(64) > 21].any()
    assert (square[distances(64) < 19] == (100, 50, 0)).all()


def test_mask_centre__hides_the_cell_and_keeps_its_surroundings(tmp_path: Path) -> None:
    manifest = field(tmp_path, (0, 0, 0))
    plain, masked = cut(manifest, PLAIN), cut(manifest, MASKED)
    # 24 px of a square of 64 are 12 of the 32 that come out.
    outside = distances(32) > 6 + 1
    assert np.array_equal(plain[outside], masked[outside])
    inside = distances(32) < 6 - 1
    assert plain[inside].max() < 60
    assert len(np.unique(masked[inside].reshape(-1, 3), axis=0)) == 1
    assert (np.abs(masked[inside].astype(float) - 120) < 8).all()


def test_mask_centre__is_an_error_for_views_without_a_cell(tmp_path: Path) -> None:
    spec = ViewSpec(kind="patches", side=64, output=32, mask_centre=1.0)
    with pytest.raises(RedDinoError, match="only views of kind cells do"):
        ViewsByImage(field(tmp_path, (0, 0, 0)), spec)


def test_mask_centre__needs_the_cell_diameter_even_for_views_in_pixels(tmp_path: Path) -> None:
    manifest = field(tmp_path, (0, 0, 0)).with_column("cell_diameter", [None])
    assert not PLAIN.needs_diameters
    assert MASKED.needs_diameters
    assert len(ViewsByImage(manifest, PLAIN).open(0).squares) == 1
    with pytest.raises(RedDinoError, match="cell diameter"):
        ViewsByImage(manifest, MASKED)


def test_mask_centre__tables_with_and_without_are_never_mixed(tmp_path: Path) -> None:
    manifest = field(tmp_path, (0, 0, 0))
    tables = {}
    for name, spec in (("plain", PLAIN), ("masked", MASKED)):
        embed_manifest(manifest, ColourHistogram(32), tmp_path / name, view=spec)
        tables[name] = read_embeddings(tmp_path / name)
    assert "mask_centre" not in tables["plain"].meta["view"]
    assert tables["masked"].meta["view"]["mask_centre"] == 1.0
    assert ViewSpec(**tables["masked"].meta["view"]) == MASKED
    with pytest.raises(RedDinoError, match="view"):
        require_comparable(tables["plain"], tables["masked"])
    with pytest.raises(RedDinoError, match="view"):
        require_same_views(tables)
    with pytest.raises(RedDinoError, match="another embedding table"):
        embed_manifest(manifest, ColourHistogram(32), tmp_path / "plain", view=MASKED)


def test_border_drop__is_counted_by_label_in_the_table(tmp_path: Path) -> None:
    field(tmp_path, (0, 0, 0))
    columns = {
        "path": ["field.png"] * 4,
        "x": [60.0, 5.0, 60.0, 118.0],
        "y": [50.0, 50.0, 3.0, 50.0],
        "label": ["normal", "normal", "sickle", None],
    }
    spec = ViewSpec(kind="cells", side=40, unit="px", output=32, border="drop")
    report = embed_manifest(
        Manifest(pa.table(columns), tmp_path), ColourHistogram(32), tmp_path / "t", view=spec
    )
    assert (report.rows, report.dropped) == (1, 3)
    assert read_embeddings(tmp_path / "t").meta["dropped"] == {"": 1, "normal": 1, "sickle": 1}
