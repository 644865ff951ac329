"""Views one image at a time: the same squares and pixels as those placed by headers, and cut later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec

SIZES = ((60, 80), (31, 47), (50, 50), (90, 33))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Images of several sizes: with cells, with a row of its own and cells, and without cells."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [{"path": "1.png", "cell_diameter": 20.0}]
    for i, (height, width) in enumerate(SIZES):
        cv2.imwrite(str(tmp_path / f"{i}.png"), draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
    for _ in range(5):
        for i in (0, 1, 3):
            height, width = SIZES[i]
            x, y = draw.uniform(0, width - 6), draw.uniform(0, height - 6)
            rows.append({"path": f"{i}.png", "x": x, "y": y, "w": 6.0, "h": 5.0, "cell_diameter": 10.0 + i})
    rows.append({"path": "2.png", "cell_diameter": 11.0})
    names = ("path", "x", "y", "w", "h", "cell_diameter")
    return Manifest(pa.table({name: [row.get(name) for row in rows] for name in names}), tmp_path)


@pytest.mark.parametrize("kind", ["cells", "image", "patches", "random"])
@pytest.mark.parametrize("border", ["pad", "drop"])
@pytest.mark.parametrize(
    "square", [(17, "px", 0.0), (1.3, "diameters", 0.0), (40, "px", 0.0), (17, "px", 0.5)]
)
def test_views_by_image__are_those_placed_by_headers(
    manifest: Manifest, kind: Any, border: Any, square: tuple[float, Any, float]
) -> None:
    side, unit, mask = square
    options: dict[str, Any] = {"per_image": 3, "seed": 4, "mask_centre": mask if kind == "cells" else 0.0}
    spec = ViewSpec(kind=kind, side=side, unit=unit, output=9, border=border, **options)
    views, failures = ViewsByImage(manifest, spec), Failures()
    opened = [views.open(number) for number in range(len(views))]
    squares, dropped = views.place_all(failures)
    assert len(squares) and squares.tobytes() == np.concatenate([image.squares for image in opened]).tobytes()
    assert sorted(dropped.tolist()) == sorted(row for image in opened for row in image.dropped.tolist())
    assert np.array_equal(squares["image"], manifest.images()[1][squares["row"]])
    pixels = np.zeros((len(squares), 9, 9, 3), np.uint8)
    for numbers, stack in views.cut_all(squares, failures, at_most=4):
        pixels[numbers] = stack
    assert np.array_equal(pixels, np.concatenate([image.cut(0, len(image.squares), 9) for image in opened]))
    assert failures.count == 0


@pytest.mark.parametrize(("kind", "expected"), [("cells", []), ("image", [1] * 4), ("random", [3] * 4)])
def test_views_by_image__count_the_views_to_expect(
    manifest: Manifest, kind: Any, expected: list[int]
) -> None:
    views = ViewsByImage(manifest, ViewSpec(kind=kind, side=10, per_image=3))
    found = views.expected()
    assert found is not None
    if kind == "cells":
        names = manifest.images()[0]
        assert dict(zip(names, found.tolist(), strict=True)) == {
            "0.png": 5,
            "1.png": 5,
            "2.png": 0,
            "3.png": 5,
        }
    else:
        assert found.tolist() == expected
    assert views.images_to_open() == (3 if kind == "cells" else 4)


def test_views_by_image__read_no_file_before_its_turn(manifest: Manifest) -> None:
    for name in manifest.images()[0]:
        (manifest.root / name).unlink()
    views = ViewsByImage(manifest, ViewSpec(kind="patches", side=10))
    assert views.expected() is None
    with pytest.raises(ImageError, match=r"1\.png: the file does not exist"):
        views.open(0)
    # An image that lists no cells is not read where cells are cut.
    cells = ViewsByImage(manifest, ViewSpec(kind="cells", side=10, unit="px"))
    assert len(cells.open(cells.names.index("2.png")).squares) == 0


def test_views_by_image__refuse_an_image_whose_cells_lie_outside(manifest: Manifest) -> None:
    cv2.imwrite(str(manifest.root / "3.png"), np.zeros((8, 8, 3), np.uint8))
    views = ViewsByImage(manifest, ViewSpec(kind="cells", side=10))
    with pytest.raises(ImageError, match="lies outside the image of 8 x 8"):
        views.open(views.names.index("3.png"))


def test_views_by_image__mask_no_centre_where_there_is_no_cell(manifest: Manifest) -> None:
    with pytest.raises(RedDinoError, match="only views of kind cells do"):
        ViewsByImage(manifest, ViewSpec(kind="patches", mask_centre=1.0))


def test_views_by_image__refuse_a_manifest_without_cells(manifest: Manifest) -> None:
    images = manifest.select(~manifest.is_cell())
    with pytest.raises(RedDinoError, match=r"lists no cells .* \(--find-cells\)"):
        ViewsByImage(images, ViewSpec(kind="cells"))


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (40, 40), (3, 3)])
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
def test_views_by_image__finding_cells_in_odd_images_fails_by_image(
    tmp_path: Path, shape: tuple[int, int], fill: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels = {"black": noise * 0, "white": noise * 0 + 255, "noise": noise}[fill]
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    images = Manifest(pa.table({"path": ["a.png"]}), tmp_path)
    views = ViewsByImage(images, ViewSpec(kind="cells", side=1.6, unit="diameters"), find_cells=True)
    try:
        found = views.open(0)
    except ImageError as error:
        assert "no red cells" in error.reason
    else:
        assert len(found.squares) > 0 and fill == "noise"
