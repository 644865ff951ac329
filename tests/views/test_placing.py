"""Squares that are placed by the headers of their images, and cut later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest, read_manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.cutting import cut_square
from reddino.views.placing import Squares
from reddino.views.spec import ViewSpec

NOISE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


@pytest.fixture
def collection(tmp_path: Path) -> Manifest:
    """Two fields (70x50 and 30x90) with four cells and a whole-image row each way."""
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    Image.fromarray(NOISE[:30, :30].repeat(3, axis=0)).save(tmp_path / "b.png")
    return Manifest(
        pa.table(
            {
                "path": ["a.png", "b.png", "a.png", "b.png", "a.png"],
                "source": ["A", "B", "A", "B", "A"],
                "x": [10.0, None, 35.0, 15.0, 66.0],
                "y": [12.0, None, 25.0, 45.0, 25.0],
                "w": [8.0, None, None, 10.0, None],
                "h": [6.0, None, None, 4.0, None],
            }
        ),
        tmp_path,
    )


def placed(manifest: Manifest, spec: ViewSpec, **options: Any) -> Squares:
    return ViewsByImage(manifest, spec, **options).place_all(Failures())[0]


def dropped(manifest: Manifest, spec: ViewSpec) -> list[int]:
    rows: list[int] = ViewsByImage(manifest, spec).place_all(Failures())[1].tolist()
    return rows


def test_place_all__centres_squares_on_cells_image_by_image(collection: Manifest) -> None:
    views = placed(collection, ViewSpec(kind="cells", side=20, output=32))
    assert views["row"].tolist() == [0, 2, 4, 3]
    np.testing.assert_array_equal(views["cx"], [14, 35, 66, 20])
    np.testing.assert_array_equal(views["cy"], [15, 25, 25, 47])
    assert (views["side"] == 20).all()
    assert len(dropped(collection, ViewSpec(kind="cells", side=20))) == 0


def test_place_all__drops_squares_that_leave_the_image(collection: Manifest) -> None:
    views = placed(collection, ViewSpec(kind="cells", side=20, border="drop"))
    assert views["row"].tolist() == [0, 2, 3]  # the cell at x = 66 of 70 goes; x = 20 of 30 just fits
    assert dropped(collection, ViewSpec(kind="cells", side=20, border="drop")) == [4]
    assert placed(collection, ViewSpec(kind="cells", side=20.1, border="drop"))["row"].tolist() == [0, 2]


def test_place_all__keeps_a_whole_image_unstretched(collection: Manifest) -> None:
    padded = placed(collection, ViewSpec(kind="image"))
    assert padded["row"].tolist() == [0, 1]
    assert list(zip(padded["cx"], padded["cy"], padded["side"], strict=True)) == [(35, 25, 70), (15, 45, 90)]
    assert placed(collection, ViewSpec(kind="image", border="drop"))["side"].tolist() == [50, 30]


def test_place_all__lays_patches_side_by_side_inside(collection: Manifest) -> None:
    views = placed(collection, ViewSpec(kind="patches", side=15, border="drop"))
    for row, (width, height), count in ((0, (70, 50), 4 * 3), (1, (30, 90), 2 * 6)):
        mine = views["row"] == row
        assert mine.sum() == count
        covered = np.zeros((height, width), dtype=int)
        for cx, cy in zip(views["cx"][mine], views["cy"][mine], strict=True):
            left, top = cx - 7.5, cy - 7.5
            assert left.is_integer() and top.is_integer() and left >= 0 and top >= 0
            covered[int(top) : int(top) + 15, int(left) : int(left) + 15] += 1
        assert covered.max() == 1 and covered.sum() == count * 15 * 15


def test_place_all__handles_images_smaller_than_a_patch(collection: Manifest) -> None:
    padded = placed(collection, ViewSpec(kind="patches", side=60))
    assert padded["row"].tolist() == [0, 1]
    assert (padded["cx"][1], padded["cy"][1]) == (15, 45)
    spec = ViewSpec(kind="patches", side=40, border="drop")
    assert placed(collection, spec)["row"].tolist() == [0] and dropped(collection, spec) == [1]


def test_place_all__random_squares_lie_inside_and_follow_from_the_seed(collection: Manifest) -> None:
    spec = ViewSpec(kind="random", side=21, per_image=200, seed=3)
    views = placed(collection, spec)
    assert len(views) == 400
    for row, (width, height) in ((0, (70, 50)), (1, (30, 90))):
        mine = views["row"] == row
        left, top = views["cx"][mine] - 10.5, views["cy"][mine] - 10.5
        assert left.min() == 0 and left.max() == width - 21
        assert top.min() <= 1 and top.max() >= height - 22 and (top >= 0).all() and (top <= height - 21).all()
        assert abs(np.corrcoef(left, top)[0, 1]) < 0.2
    again = placed(collection, spec)
    np.testing.assert_array_equal(views["cx"], again["cx"])
    assert not np.array_equal(
        views["cx"], placed(collection, ViewSpec(**{**spec.model_dump(), "seed": 4}))["cx"]
    )


def test_place_all__a_random_square_depends_on_its_own_row_and_index_alone(collection: Manifest) -> None:
    many = placed(collection, ViewSpec(kind="random", side=10, per_image=5))
    few = placed(collection.select([0, 1]), ViewSpec(kind="random", side=10, per_image=2))
    for row in (0, 1):
        np.testing.assert_array_equal(many["cx"][many["row"] == row][:2], few["cx"][few["row"] == row])


def test_place_all__measures_in_cell_diameters(collection: Manifest) -> None:
    own = collection.with_column("cell_diameter", [10.0, None, None, 12.0, None])
    views = placed(own, ViewSpec(side=1.5, unit="diameters"), diameters={"A": 8.0})
    assert dict(zip(views["row"].tolist(), views["side"].tolist(), strict=True)) == {
        0: 15,
        2: 12,
        4: 12,
        3: 18,
    }
    with pytest.raises(RedDinoError, match=r"source 'A'.*row 1"):
        placed(collection, ViewSpec(side=1.5, unit="diameters"), diameters={"B": 8.0})


def test_place_all__continues_without_unreadable_images(collection: Manifest) -> None:
    (collection.root / "b.png").write_bytes(b"no image")
    for spec in (ViewSpec(kind="patches", side=20), ViewSpec(side=20, border="drop")):
        failures = Failures()
        squares, _ = ViewsByImage(collection, spec).place_all(failures)
        assert set(squares["row"].tolist()) <= {0, 2, 4}
        assert [Path(path).name for path, _ in failures] == ["b.png"]


def test_place_all__lists_pictures_whose_header_cannot_be_read(collection: Manifest) -> None:
    views = ViewsByImage(collection, ViewSpec(side=20))
    assert views.place_all(Failures())[0]["row"].tolist() == [0, 2, 4, 3]
    (collection.root / "b.png").write_bytes(b"no image")
    failures = Failures()
    squares, _ = views.place_all(failures)
    assert squares["row"].tolist() == [0, 2, 4] and [Path(path).name for path, _ in failures] == ["b.png"]


def test_place_all__refuses_cells_that_are_to_be_found(collection: Manifest) -> None:
    images = collection.select(~collection.is_cell())
    with pytest.raises(ValueError, match="to be found"):
        ViewsByImage(images, ViewSpec(side=20), find_cells=True).place_all(Failures())


# ---- the pixels of squares that were placed before


def test_cut_all__cuts_every_view_once(collection: Manifest) -> None:
    views = ViewsByImage(collection, ViewSpec(side=20, output=16))
    squares, _ = views.place_all(Failures())
    seen = {}
    for numbers, pixels in views.cut_all(squares, Failures()):
        for view, square in zip(numbers.tolist(), pixels, strict=True):
            row, cx, cy = (squares[name][view] for name in ("row", "cx", "cy"))
            expected = cut_square(decode_image(collection.paths()[row]), cx, cy, 20, 16)
            np.testing.assert_array_equal(square, expected)
            seen[view] = square
    assert sorted(seen) == list(range(len(squares)))
    [(numbers, pixels)] = views.cut_all(squares[3:], Failures())
    assert numbers.tolist() == [0] and np.array_equal(pixels[0], seen[3])


def test_cut_all__decodes_each_image_once_and_bounds_the_stack(
    collection: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counting(path: Path) -> np.ndarray:
        decoded.append(path.name)
        return decode_image(path)

    monkeypatch.setattr("reddino.views.by_image.decode_image", counting)
    views = ViewsByImage(collection, ViewSpec(kind="random", side=20, per_image=10, output=8))
    squares, _ = views.place_all(Failures())
    stacks = [len(pixels) for _, pixels in views.cut_all(squares, Failures(), at_most=4)]
    assert stacks == [4, 4, 2, 4, 4, 2]
    assert decoded == ["a.png", "b.png"]


def test_cut_all__continues_after_a_broken_image_and_lists_it(collection: Manifest) -> None:
    views = ViewsByImage(collection, ViewSpec(side=20, output=8))
    squares, _ = views.place_all(Failures())
    (collection.root / "a.png").write_bytes(b"broken")
    failures = Failures()
    numbers = np.concatenate([numbers for numbers, _ in views.cut_all(squares, failures)])
    assert squares["row"][numbers].tolist() == [3]
    assert [Path(path).name for path, _ in failures] == ["a.png"]
    with pytest.raises(ImageError):
        views.open(0)


def test_cut_all__refuses_cells_outside_their_image(collection: Manifest) -> None:
    moved = collection.with_column("x", [10.0, None, 35.0, 40.0, 66.0])
    views, failures = ViewsByImage(moved, ViewSpec(side=20, output=8)), Failures()
    list(views.cut_all(views.place_all(failures)[0], failures))
    assert [reason for _, reason in failures] == ["a cell at (45, 47) lies outside the image of 30 x 90"]


def test_cut_all__shows_each_image_that_it_opens(collection: Manifest) -> None:
    views = ViewsByImage(collection, ViewSpec(side=20, output=8))
    shown: list[tuple[int, tuple[int, ...]]] = []
    squares, _ = views.place_all(Failures())
    list(views.cut_all(squares, Failures(), see=lambda number, pixels: shown.append((number, pixels.shape))))
    assert shown == [(0, (50, 70, 3)), (1, (90, 30, 3))]


def test_cut_all__of_nothing_is_empty(collection: Manifest) -> None:
    views = ViewsByImage(collection, ViewSpec(side=20))
    assert list(views.cut_all(views.place_all(Failures())[0][:0], Failures())) == []


@pytest.mark.smears
def test_cut_all__cuts_real_cells(smears: Path) -> None:
    manifest = read_manifest(smears / "chula_rbc12" / "manifest.csv").select(np.arange(300))
    views = ViewsByImage(manifest, ViewSpec(side=64, output=64))
    squares, _ = views.place_all(Failures())
    assert len(squares) == np.isfinite(manifest.numbers("x")).sum()
    pixels = np.concatenate([stack for _, stack in views.cut_all(squares, Failures())])
    assert pixels.shape == (len(squares), 64, 64, 3)
    # Cells are darker than their surroundings.
    assert pixels[:, 24:40, 24:40, 1].mean() < pixels[:, :8, :8, 1].mean()
