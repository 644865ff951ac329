"""The scale of views: of their own picture, or of its source; and which cells the border cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fields_of_discs import draw_discs, grid, pictures

from reddino.foundations.errors import RedDinoError
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.smears.column_names import AT_BORDER
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.scales import at_border, view_diameters
from reddino.views.spec import ViewSpec

OWN = ViewSpec(kind="cells", side=1.6, unit="diameters", scale="picture", output=8)
OF_SOURCE = OWN.model_copy(update={"scale": "source"})


def two_magnifications(root: Path) -> Manifest:
    """Two pictures of one source, one of twice the magnification, whose cells are listed by their centres."""
    rows: list[tuple[str, float, float]] = []
    for name, diameter in (("a.png", 20.0), ("b.png", 44.0)):
        centres, size = grid(diameter)
        draw_discs(root / name, diameter, centres, size)
        rows += [(name, x, y) for x, y in centres]
    path, x, y = (list(column) for column in zip(*rows, strict=True))
    return pictures(root, path=path, x=x, y=y, source=["lab"] * len(rows))


def test_view_spec__names_its_scale_only_where_views_follow_the_picture() -> None:
    assert OWN.metadata()["scale"] == "picture" and ViewSpec(**OWN.metadata()) == OWN
    assert "scale" not in OF_SOURCE.metadata()
    assert ViewSpec(**OF_SOURCE.metadata()).scale == "source"
    pixels = ViewSpec(kind="cells", side=64, scale="picture")
    assert "scale" not in pixels.metadata()
    assert "scale" not in ViewSpec(kind="image", unit="diameters", scale="picture").metadata()
    assert ViewSpec(kind="cells", side=64, mask_centre=1.2, scale="picture").metadata()["scale"] == "picture"


def test_views__are_cut_at_the_scale_of_their_picture(tmp_path: Path) -> None:
    manifest = two_magnifications(tmp_path)
    views = ViewsByImage(manifest, OWN, diameters=view_diameters(manifest, OWN))
    placed, _ = views.place_all(Failures())
    opened = np.concatenate([views.open(number).squares for number in range(2)])
    assert placed.tobytes() == opened.tobytes()
    np.testing.assert_allclose(placed["cell_diameter"], np.repeat([20, 44], 12), rtol=0.12)
    np.testing.assert_allclose(placed["side"], 1.6 * placed["cell_diameter"])


def test_views__of_a_picture_are_the_same_without_the_others(tmp_path: Path) -> None:
    manifest = two_magnifications(tmp_path)
    together = ViewsByImage(manifest, OWN).open(1).squares
    alone = ViewsByImage(manifest.select(np.arange(12, 24)), OWN).open(0).squares
    several = ViewsByImage(manifest.select(np.arange(14, 24)), OWN).open(0).squares
    for name in ("cx", "cy", "side", "cell_diameter", AT_BORDER):
        np.testing.assert_array_equal(together[name], alone[name])
        np.testing.assert_array_equal(together[name][2:], several[name])


def test_view_diameters__refuse_a_source_of_several_magnifications_at_one_scale(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"'lab' has no one scale: red cells measure 2. to 4. pixels"):
        view_diameters(two_magnifications(tmp_path), OF_SOURCE)


def test_view_diameters__of_patches_follow_the_picture_too(tmp_path: Path) -> None:
    manifest = two_magnifications(tmp_path)
    patches = ViewSpec(kind="patches", side=2, unit="diameters", scale="picture", output=8)
    views = ViewsByImage(manifest, patches, diameters=view_diameters(manifest, patches))
    placed, _ = views.place_all(Failures())
    sides = [set(placed["side"][placed["image"] == number].tolist()) for number in range(2)]
    np.testing.assert_allclose([side for of_one in sides for side in of_one], [40, 88], rtol=0.12)
    for number in range(2):
        assert views.open(number).squares.tobytes() == placed[placed["image"] == number].tobytes()


def test_view_diameters__measure_cells_of_views_in_pixels(tmp_path: Path) -> None:
    manifest = two_magnifications(tmp_path)
    pixels = ViewSpec(kind="cells", side=30, unit="px", output=8)
    placed, _ = ViewsByImage(manifest, pixels, diameters=view_diameters(manifest, pixels)).place_all(
        Failures()
    )
    assert set(placed["side"]) == {30.0}
    np.testing.assert_allclose(placed["cell_diameter"], np.repeat([20, 44], 12), rtol=0.12)


def test_views__list_a_picture_that_nothing_can_be_measured_in(tmp_path: Path) -> None:
    draw_discs(tmp_path / "blank.png", 20, [], (160, 120))
    manifest = pictures(tmp_path, path=["blank.png"], x=[50.0], y=[50.0])
    failures = Failures()
    squares, _ = ViewsByImage(manifest, OWN).place_all(failures)
    assert len(squares) == 0 and "no red cells could be measured" in failures.summary()
    pixels = ViewSpec(kind="cells", side=30, unit="px", output=8)
    found, _ = ViewsByImage(manifest, pixels, diameters=PictureDiameters(manifest)).place_all(Failures())
    assert len(found) == 1 and np.isnan(found["cell_diameter"]).all() and np.isnan(found[AT_BORDER]).all()


def test_at_border__is_what_reaches_past_the_picture_or_touches_it() -> None:
    size = np.array([100.0, 80.0])
    boxes = np.array([[10, 10, 20, 20], [0.5, 10, 20, 20], [85, 10, 15, 20], [10, 65, 20, 20], [-3, 5, 9, 9]])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    unknown = np.full(len(boxes), np.nan)
    assert at_border(boxes.astype(float), centres, unknown, size).tolist() == [0, 1, 1, 1, 1]


def test_at_border__of_a_centre_is_that_of_a_typical_cell_around_it() -> None:
    centres = np.array([[50.0, 40.0], [9.0, 40.0], [50.0, 72.0], [50.0, 40.0]])
    diameter = np.array([20.0, 20.0, 20.0, np.nan])
    found = at_border(np.full((4, 4), np.nan), centres, diameter, np.array([100.0, 80.0]))
    np.testing.assert_array_equal(found, [0, 1, 1, np.nan])


def test_at_border__spares_the_picture_of_one_cell() -> None:
    box = np.array([[0.0, 0.0, 40.0, 40.0]])
    found = at_border(box, np.array([[20.0, 20.0]]), np.array([np.nan]), np.array([40.0, 40.0]))
    assert found.tolist() == [0]


def test_views__of_whole_cells_stay_where_the_view_reaches_past_the_border(tmp_path: Path) -> None:
    centres, size = grid(20.0)
    near = [(12.0, 20.0), *centres[1:], (size[0] - 3.0, 20.0)]
    draw_discs(tmp_path / "a.png", 20, near, size)
    x, y = ([place[axis] for place in near] for axis in (0, 1))
    manifest = pictures(tmp_path, path=["a.png"] * len(near), x=x, y=y)
    squares = ViewsByImage(manifest, OWN).open(0).squares
    assert len(squares) == len(near)
    assert squares["cx"][0] - squares["side"][0] / 2 < 0 and squares[AT_BORDER][0] == 0
    assert squares[AT_BORDER].tolist() == [0.0] * 12 + [1.0]
