"""Views: where squares lie, and that what is cut from there is what stands there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import ValidationError

from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import source_diameters
from reddino.smears.decode import Failures, ImageError, decode_image
from reddino.smears.manifest import Manifest, read_manifest
from reddino.views.cutting import cut_square
from reddino.views.spec import ImageViews, Views, ViewSpec, plan_views

NOISE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def waves(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """A smooth pattern as a function of continuous coordinates: the truth that a cut is measured against."""
    across, down = 2 * np.pi * x / period, 2 * np.pi * y / period
    return np.stack(
        [128 + 80 * np.sin(across), 128 + 80 * np.cos(down), 128 + 60 * np.sin(across + down)], axis=-1
    )


def wave_image(width: int, height: int, period: float) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.rint(waves(x, y, period)).astype(np.uint8)


def manifest_of(root: Path, **columns: list[object]) -> Manifest:
    return Manifest(pa.table(columns), root)


@pytest.fixture
def collection(tmp_path: Path) -> Manifest:
    """Two fields (70x50 and 30x90) with four cells and a whole-image row each way."""
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    Image.fromarray(NOISE[:30, :30].repeat(3, axis=0)).save(tmp_path / "b.png")
    return manifest_of(
        tmp_path,
        path=["a.png", "b.png", "a.png", "b.png", "a.png"],
        source=["A", "B", "A", "B", "A"],
        x=[10.0, None, 35.0, 15.0, 66.0],
        y=[12.0, None, 25.0, 45.0, 25.0],
        w=[8.0, None, None, 10.0, None],
        h=[6.0, None, None, 4.0, None],
    )


# ---- the square itself


def test_cut_square__copies_whole_pixels_of_the_right_size() -> None:
    np.testing.assert_array_equal(cut_square(NOISE, 30, 20, 16, 16), NOISE[12:28, 22:38])
    np.testing.assert_array_equal(cut_square(NOISE, 30.5, 20.5, 17, 17), NOISE[12:29, 22:39])


@pytest.mark.parametrize(
    ("side", "output"), [(24, 60), (24.7, 60), (40, 40), (40.6, 24), (64, 24), (90.3, 20)]
)
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.9])
def test_cut_square__is_exact_to_fractions_of_a_pixel(side: float, output: int, shift: float) -> None:
    period = 48.0
    image = wave_image(200, 160, period)
    cx, cy = 100 + shift, 80 - shift / 2
    along = (np.arange(output) + 0.5) * side / output - side / 2
    x, y = np.meshgrid(cx + along, cy + along)
    expected = waves(x, y, period)
    cut = cut_square(image, cx, cy, side, output).astype(float)
    # A shift by a tenth of a pixel would show as 80 * 2 pi / 48 * 0.1 = 1 grey level on average.
    interior = slice(1, -1)
    bias = (cut - expected)[interior, interior]
    smoothing = 6.0 if side > output else 0.0  # the widened kernel flattens waves a little
    assert np.abs(bias).max() < 1.5 + smoothing
    gradient = np.gradient(expected, axis=1)[interior, interior]
    displacement = (bias * gradient).sum() / (gradient**2).sum() * side / output
    assert abs(displacement) < 0.05


@pytest.mark.parametrize("period", [2, 3, 5, 7])
def test_cut_square__aliases_no_more_than_area_interpolation(period: int) -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::period] = 255
    cut = cut_square(stripes, 128.3, 128.3, 200, 25).astype(float)
    area = cv2.resize(stripes[28:228, 28:228], (25, 25), interpolation=cv2.INTER_AREA).astype(float)
    assert abs(cut.mean() - 255 / period) < 3
    assert cut.std() <= area.std() + 3  # plain sampling leaves 80 to 127


@pytest.mark.parametrize(
    ("cx", "cy", "side"),
    [(0, 0, 20), (70, 50, 20), (35, 0, 30), (2, 49, 36), (35, 25, 120), (10, 25, 230), (69, 1, 51)],
)
def test_cut_square__mirrors_past_the_border(cx: float, cy: float, side: int) -> None:
    def mirrored(index: int, length: int) -> int:
        while not 0 <= index < length:
            index = -index if index < 0 else 2 * (length - 1) - index
        return index

    half = side / 2
    left, top = cx - half, cy - half
    if not (left.is_integer() and top.is_integer()):
        cx, cy, left, top = cx + 0.5, cy + 0.5, left + 0.5, top + 0.5
    rows = [mirrored(int(top) + i, 50) for i in range(side)]
    columns = [mirrored(int(left) + i, 70) for i in range(side)]
    np.testing.assert_array_equal(cut_square(NOISE, cx, cy, side, side), NOISE[rows][:, columns])


def test_cut_square__takes_an_image_of_one_pixel() -> None:
    image = np.full((1, 1, 3), 77, dtype=np.uint8)
    assert (cut_square(image, 0.5, 0.5, 1, 8) == 77).all()


# ---- where squares lie


def test_plan_views__centres_squares_on_cells_image_by_image(collection: Manifest) -> None:
    views = plan_views(collection, ViewSpec(kind="cells", side=20, output=32))
    assert views.row.tolist() == [0, 2, 4, 3]
    np.testing.assert_array_equal(views.cx, [14, 35, 66, 20])
    np.testing.assert_array_equal(views.cy, [15, 25, 25, 47])
    assert (views.side == 20).all() and views.output == 32 and views.dropped.sum() == 0


def test_plan_views__drops_squares_that_leave_the_image(collection: Manifest) -> None:
    views = plan_views(collection, ViewSpec(kind="cells", side=20, border="drop"))
    assert views.row.tolist() == [0, 2, 3]  # the cell at x = 66 of 70 goes; x = 20 of 30 just fits
    assert views.dropped.tolist() == [0, 0, 0, 0, 1]
    assert plan_views(collection, ViewSpec(kind="cells", side=20.1, border="drop")).row.tolist() == [0, 2]


def test_plan_views__keeps_a_whole_image_unstretched(collection: Manifest) -> None:
    padded = plan_views(collection, ViewSpec(kind="image"))
    assert padded.row.tolist() == [0, 1]
    assert list(zip(padded.cx, padded.cy, padded.side, strict=True)) == [(35, 25, 70), (15, 45, 90)]
    assert plan_views(collection, ViewSpec(kind="image", border="drop")).side.tolist() == [50, 30]


def test_plan_views__lays_patches_side_by_side_inside(collection: Manifest) -> None:
    views = plan_views(collection, ViewSpec(kind="patches", side=15, border="drop"))
    for row, (width, height), count in ((0, (70, 50), 4 * 3), (1, (30, 90), 2 * 6)):
        mine = views.row == row
        assert mine.sum() == count
        covered = np.zeros((height, width), dtype=int)
        for cx, cy in zip(views.cx[mine], views.cy[mine], strict=True):
            left, top = cx - 7.5, cy - 7.5
            assert left.is_integer() and top.is_integer() and left >= 0 and top >= 0
            covered[int(top) : int(top) + 15, int(left) : int(left) + 15] += 1
        assert covered.max() == 1 and covered.sum() == count * 15 * 15


def test_plan_views__handles_images_smaller_than_a_patch(collection: Manifest) -> None:
    padded = plan_views(collection, ViewSpec(kind="patches", side=60))
    assert padded.row.tolist() == [0, 1]
    assert (padded.cx[1], padded.cy[1]) == (15, 45)
    dropped = plan_views(collection, ViewSpec(kind="patches", side=40, border="drop"))
    assert dropped.row.tolist() == [0] and dropped.dropped.tolist() == [0, 1, 0, 0, 0]


def test_plan_views__random_squares_lie_inside_and_follow_from_the_seed(collection: Manifest) -> None:
    spec = ViewSpec(kind="random", side=21, per_image=200, seed=3)
    views = plan_views(collection, spec)
    assert len(views) == 400
    for row, (width, height) in ((0, (70, 50)), (1, (30, 90))):
        mine = views.row == row
        left, top = views.cx[mine] - 10.5, views.cy[mine] - 10.5
        assert left.min() == 0 and left.max() == width - 21
        assert top.min() <= 1 and top.max() >= height - 22 and (top >= 0).all() and (top <= height - 21).all()
        assert abs(np.corrcoef(left, top)[0, 1]) < 0.2
    again = plan_views(collection, spec)
    np.testing.assert_array_equal(views.cx, again.cx)
    assert not np.array_equal(
        views.cx, plan_views(collection, ViewSpec(**{**spec.model_dump(), "seed": 4})).cx
    )


def test_plan_views__a_random_square_depends_on_its_own_row_and_index_alone(collection: Manifest) -> None:
    many = plan_views(collection, ViewSpec(kind="random", side=10, per_image=5))
    few = plan_views(collection.select([0, 1]), ViewSpec(kind="random", side=10, per_image=2))
    for row in (0, 1):
        np.testing.assert_array_equal(many.cx[many.row == row][:2], few.cx[few.row == row])


def test_plan_views__measures_in_cell_diameters(collection: Manifest) -> None:
    own = collection.with_column("cell_diameter", [10.0, None, None, 12.0, None])
    views = plan_views(own, ViewSpec(side=1.5, unit="diameters"), diameters={"A": 8.0})
    assert dict(zip(views.row.tolist(), views.side.tolist(), strict=True)) == {0: 15, 2: 12, 4: 12, 3: 18}
    with pytest.raises(RedDinoError, match=r"source 'A'.*row 1"):
        plan_views(collection, ViewSpec(side=1.5, unit="diameters"), diameters={"B": 8.0})


def test_plan_views__says_when_there_are_no_cells(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="no cells"):
        plan_views(manifest_of(tmp_path, path=["a.png"]), ViewSpec(kind="cells"))


def test_plan_views__goes_on_without_unreadable_images(collection: Manifest) -> None:
    (collection.root / "b.png").write_bytes(b"no image")
    for spec in (ViewSpec(kind="patches", side=20), ViewSpec(side=20, border="drop")):
        failures = Failures()
        assert set(plan_views(collection, spec, failures=failures).row.tolist()) <= {0, 2, 4}
        assert failures.count == 1
        with pytest.raises(ImageError):
            plan_views(collection, spec)


def test_view_spec__refuses_nonsense_and_survives_metadata() -> None:
    with pytest.raises(ValidationError):
        ViewSpec(side=-1)
    with pytest.raises(ValidationError):
        ViewSpec(**{"zoom": 2})
    for spec in (
        ViewSpec(kind="image"),
        ViewSpec(side=2.5, unit="diameters"),
        ViewSpec(kind="random", seed=9),
    ):
        assert ViewSpec(**spec.metadata()) == spec
    assert ViewSpec(kind="cells", seed=1).metadata() == ViewSpec(kind="cells", seed=2).metadata()


# ---- the pass over the images


def test_image_views__cuts_every_view_once(collection: Manifest) -> None:
    views = plan_views(collection, ViewSpec(side=20, output=16))
    image_views = ImageViews(collection, views)
    assert [path.name for path in image_views.paths] == ["a.png", "b.png"]
    seen = {}
    for numbers, squares in image_views:
        for view, square in zip(numbers.tolist(), squares, strict=True):
            image = decode_image(collection.paths()[views.row[view]])
            np.testing.assert_array_equal(square, cut_square(image, views.cx[view], views.cy[view], 20, 16))
            seen[view] = square
    assert sorted(seen) == list(range(len(views)))
    numbers, squares = image_views[1]
    assert squares.shape == (1, 16, 16, 3) and np.array_equal(squares[0], seen[int(numbers[0])])


def test_image_views__decodes_each_image_once_and_bounds_the_stack(
    collection: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counting(path: Path) -> np.ndarray:
        decoded.append(path.name)
        return decode_image(path)

    monkeypatch.setattr("reddino.views.cutting.decode_image", counting)
    views = plan_views(collection, ViewSpec(kind="random", side=20, per_image=10, output=8))
    stacks = [len(squares) for _, squares in ImageViews(collection, views, at_most=4)]
    assert stacks == [4, 4, 2, 4, 4, 2]
    assert decoded == ["a.png", "b.png"]


def test_image_views__goes_on_after_a_broken_image_and_reports_it(collection: Manifest) -> None:
    views = plan_views(collection, ViewSpec(side=20, output=8))
    (collection.root / "a.png").write_bytes(b"broken")
    failures = Failures()
    numbers = np.concatenate([n for n, _ in ImageViews(collection, views, failures)])
    assert views.row[numbers].tolist() == [3]
    assert [Path(path).name for path, _ in failures] == ["a.png"]
    with pytest.raises(ImageError):
        ImageViews(collection, views)[0]


def test_image_views__refuses_cells_outside_their_image(collection: Manifest) -> None:
    moved = collection.with_column("x", [10.0, None, 35.0, 40.0, 66.0])
    failures = Failures()
    list(ImageViews(moved, plan_views(moved, ViewSpec(side=20, output=8)), failures))
    assert [reason for _, reason in failures] == ["a cell at (45, 47) lies outside the image of 30 x 90"]


def test_image_views__of_nothing_is_empty(collection: Manifest) -> None:
    none = plan_views(collection, ViewSpec(side=20)).select(np.zeros(4, dtype=bool))
    assert isinstance(none, Views) and len(none) == 0
    assert list(ImageViews(collection, none)) == []


# ---- diameters


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stands in for the segmentation: the diameter of an image is its width; notes what it was asked for."""
    asked: list[tuple[int, int]] = []

    def estimate_diameter(image: np.ndarray) -> float:
        asked.append(image.shape[:2])
        return float(image.shape[1]) if image.shape[1] > 20 else float("nan")

    module = ModuleType("reddino.rbc.finding")
    module.estimate_diameter = estimate_diameter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reddino.rbc.finding", module)
    return asked


def test_source_diameters__takes_the_manifest_before_estimating(
    collection: Manifest, estimates: list[tuple[int, int]]
) -> None:
    known = collection.with_column("cell_diameter", [40.0, None, 44.0, None, None])
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


def test_source_diameters__says_when_nothing_can_be_measured(
    tmp_path: Path, estimates: list[tuple[int, int]]
) -> None:
    Image.fromarray(np.zeros((4, 10, 3), np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    manifest = manifest_of(tmp_path, path=["small.png", "broken.png"], source=["S", "S"])
    with pytest.raises(RedDinoError, match="source 'S'"):
        source_diameters(manifest)


@pytest.mark.smears
def test_plan_views__cuts_real_cells(smears: Path) -> None:
    manifest = read_manifest(smears / "chula_rbc12" / "manifest.csv").select(np.arange(300))
    views = plan_views(manifest, ViewSpec(side=64, output=64))
    assert len(views) == np.isfinite(manifest.numbers("x")).sum()
    squares = np.concatenate([squares for _, squares in ImageViews(manifest, views)])
    assert squares.shape == (len(views), 64, 64, 3)
    # Cells are darker than what surrounds them.
    assert squares[:, 24:40, 24:40, 1].mean() < squares[:, :8, :8, 1].mean()
