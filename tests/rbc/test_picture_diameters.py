"""The red-cell diameter of a picture: its own where it shows one, else lent by others of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fields_of_discs import draw_discs, grid, pictures

from reddino.rbc.picture_diameters import LENDERS, PictureDiameters
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest


def draw(root: Path, name: str, diameter: float, cells: int = 12) -> None:
    centres, size = grid(diameter)
    draw_discs(root / name, diameter, centres[:cells], size)


def measure(manifest: Manifest) -> list[tuple[float, str]]:
    """Return the diameter of each picture and where it is from."""
    found = PictureDiameters(manifest)
    names = manifest.images()[0]
    each = [found.of(number, decode_image(manifest.root / name)) for number, name in enumerate(names)]
    return [(one.diameter, one.origin) for one in each]


def test_of__measures_each_picture_at_its_own_scale(tmp_path: Path) -> None:
    for name, diameter in (("a.png", 20), ("b.png", 44)):
        draw(tmp_path, name, diameter)
    found = measure(pictures(tmp_path, path=["a.png", "b.png"], source=["lab", "lab"]))
    assert [origin for _, origin in found] == ["measured", "measured"]
    np.testing.assert_allclose([diameter for diameter, _ in found], [20, 44], rtol=0.12)


def test_of__takes_what_the_manifest_gives_first(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", 20)
    rows: dict[str, Any] = {"path": ["a.png"] * 3, "x": [20.0, 60.0, 100.0], "y": [20.0] * 3}
    given = pictures(tmp_path, **rows, cell_diameter=[30.0, None, 34.0])
    assert measure(given) == [(32.0, "given")]


def test_of__takes_boxes_of_red_cells_where_too_few_cells_are_found(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", 20, cells=0)
    boxes = {"x": [40.0, 40.0, 80.0, 100.0, 0.0], "y": [30.0] * 5, "w": [22.0, 24.0, 26.0, 60.0, 9.0]}
    labels = ["RBC", "rbc", "normal", "White cell", "RBC"]
    manifest = pictures(tmp_path, path=["a.png"] * 5, **boxes, h=boxes["w"], label=labels)
    assert measure(manifest) == [(24.0, "boxes")]


def test_of__borrows_from_pictures_of_the_same_source_and_size(tmp_path: Path) -> None:
    for name, diameter, cells in (("few.png", 20, 2), ("a.png", 20, 12), ("b.png", 20, 12)):
        draw(tmp_path, name, diameter, cells)
    draw(tmp_path, "large.png", 44)
    draw(tmp_path, "foreign.png", 20)
    names = ["few.png", "a.png", "b.png", "large.png", "foreign.png"]
    manifest = pictures(tmp_path, path=names, source=["lab"] * 4 + ["other"])
    found = dict(zip(names, measure(manifest), strict=True))
    assert found["few.png"][1] == "borrowed"
    assert found["few.png"][0] == np.median([found["a.png"][0], found["b.png"][0]])
    lender = PictureDiameters(manifest)
    lender.of(0, decode_image(tmp_path / "few.png"))
    assert lender.borrowed() == ["few.png"]


def test_of__measures_few_cells_where_none_can_lend(tmp_path: Path) -> None:
    draw(tmp_path, "few.png", 20, cells=2)
    draw(tmp_path, "none.png", 20, cells=0)
    few, none = measure(pictures(tmp_path, path=["few.png", "none.png"]))
    assert few[1] == "few" and few[0] == pytest.approx(20, rel=0.15)
    assert none[1] == "unknown" and np.isnan(none[0])


def test_of__borrows_the_same_whatever_the_order_and_the_folders(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(LENDERS + 4)]
    for number, name in enumerate(names):
        for folder in ("one", "other/deep"):
            draw(tmp_path / folder, name, 20, cells=12 if number else 1)
    for folder in ("one", "other/deep"):
        centres, size = grid(20)
        for number, name in enumerate(names[1:]):
            draw_discs(tmp_path / folder / name, 17 + number / 2, centres, size)
    found = set()
    for order, folder in ((names, "one"), (names[::-1], "one"), (names, "other/deep")):
        manifest = pictures(tmp_path, path=[f"{folder}/{name}" for name in order])
        found.add(measure(manifest)[order.index("0.png")])
    assert len(found) == 1 and next(iter(found))[1] == "borrowed"


def test_find__searches_a_picture_with_few_cells_at_a_borrowed_scale(tmp_path: Path) -> None:
    for name, count in (("few.png", 2), ("a.png", 12), ("b.png", 12)):
        draw(tmp_path, name, 20, count)
    manifest = pictures(tmp_path, path=["few.png", "a.png", "b.png"])
    cells, found = PictureDiameters(manifest).find(0, decode_image(tmp_path / "few.png"))
    assert len(cells) == 2 and found.origin == "borrowed"


def test_report__names_sources_of_several_magnifications(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    draw(tmp_path, "a.png", 20)
    draw(tmp_path, "b.png", 44)
    found = PictureDiameters(pictures(tmp_path, path=["a.png", "b.png"], source=["lab", "lab"]))
    for number, name in enumerate(("a.png", "b.png")):
        found.of(number, decode_image(tmp_path / name))
    with caplog.at_level(logging.INFO, logger="reddino"):
        found.report()
        found.report()
    assert caplog.text.count("in 2 pictures of source lab") == 1
    assert "1.5 times" in caplog.text
