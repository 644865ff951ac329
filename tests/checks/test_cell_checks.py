"""What `check` finds about cells: listed twice, at odds with their diameters, turned, outside, magnified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from small_collections import picture

from reddino.checks import frames as frame_checks
from reddino.checks.inspection import inspect_pictures, inspect_rows
from reddino.pretraining.data.image_cache import open_cache
from reddino.rbc.diameters import cell_diameters, image_diameters, source_diameters
from reddino.rbc.magnification import picture_scales
from reddino.smears.decode import ImageError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers import read_yolo
from reddino.synthetic.write import write_smears
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec


def manifest(root: Path = Path(), /, **columns: Sequence[Any]) -> Manifest:
    rows = max(len(values) for values in columns.values())
    table: dict[str, Sequence[Any]] = {"path": ["a.png"] * rows, "source": ["lab"] * rows, **columns}
    return Manifest(pa.table({name: pa.array(values) for name, values in table.items()}), root)


def boxes(sizes: dict[str, list[float]], /, **columns: Sequence[Any]) -> Manifest:
    """Square boxes of these sides in each picture."""
    paths = [name for name, sides in sizes.items() for _ in sides]
    sides = [side for several in sizes.values() for side in several]
    places = [100.0 * number for number in range(len(sides))]
    return manifest(path=paths, x=places, y=places, w=sides, h=sides, **columns)


def found(manifest: Manifest) -> dict[str, int]:
    return {finding.kind: finding.count for finding in inspect_rows(manifest)}


@pytest.mark.parametrize(
    ("diameter", "label", "kinds"),
    [
        (7.5, "RBC", ["cell diameters and boxes"]),
        (17.9, "RBC", ["cell diameters and boxes"]),
        (18.1, "RBC", []),
        (71.0, "RBC", []),
        (73.0, "RBC", ["cell diameters and boxes"]),
        (4000.0, "", ["cell diameters and boxes"]),
        (10.0, "WBC", []),
        (10.0, "neutrophil", []),
        (100.0, "Platelets", []),
    ],
)
def test_diameters__at_odds_with_the_boxes_are_counted(diameter: float, label: str, kinds: list[str]) -> None:
    cells = boxes({"a.png": [34.0, 36.0, 90.0]}, cell_diameter=[diameter] * 3, label=[label] * 3)
    assert list(found(cells)) == kinds


def test_diameters__in_micrometres_are_named() -> None:
    [boxed] = inspect_rows(boxes({"a.png": [36.0]}, cell_diameter=[7.5]))
    assert "seem to be micrometres" in boxed.message
    assert boxed.first == "a.png: cell_diameter 7.5, boxes of 36 pixels"
    [alone] = inspect_rows(manifest(cell_diameter=[0.75, 40.0, 7.5], path=["a.png", "b.png", "c.png"]))
    assert (alone.kind, alone.count) == ("cell diameters of a few pixels", 2)


def test_sizes_of_pixels__that_are_none_are_counted_and_the_first_is_named() -> None:
    texts = ["0.1", "0", "", "-0.1", "five", "250"]
    [odd] = inspect_rows(manifest(path=[f"{number}.png" for number in range(6)], um_per_px=texts))
    assert (odd.kind, odd.count) == ("sizes of pixels", 4)
    assert odd.first.endswith("um_per_px '0'")


@pytest.mark.parametrize(
    ("place", "kinds"),
    [
        ((0.5, 0.4, 0.1, 0.1), ["coordinates below a pixel"]),
        ((0.5, 0.4, np.nan, np.nan), ["coordinates below a pixel"]),
        ((20.0, 30.0, 0.0, 0.0), ["coordinates below a pixel"]),
        ((0.0, 0.0, 12.0, 12.0), []),
        ((0.0, 30.0, np.nan, np.nan), []),
    ],
)
def test_coordinates__that_are_fractions_are_counted(place: tuple[float, ...], kinds: list[str]) -> None:
    cells = manifest(path=["a.png"], **{name: [value] for name, value in zip("xywh", place, strict=True)})
    assert list(found(cells)) == kinds


def test_magnifications__in_one_source_are_found_by_class() -> None:
    large, small = [40.0, 44.0, 42.0], [17.0, 16.0, 18.0]
    mixed = boxes({"a.png": large, "b.png": large, "c.png": large, "d.png": small})
    assert found(mixed) == {"pictures of several magnifications": 1}
    np.testing.assert_allclose(picture_scales(mixed), [1, 1, 1, 17 / 42])
    classes = boxes(
        {"a.png": [40.0] * 3 + [90.0], "b.png": [42.0] * 3 + [95.0], "c.png": [90.0] * 3 + [41.0]},
        label=[*"RRRWRRRWWWWR"],
    )
    assert found(classes) == {} and set(picture_scales(classes)) == {1.0}


def test_magnifications__half_of_each_are_both_scaled() -> None:
    mixed = boxes({"a.png": [40.0] * 3, "b.png": [40.0] * 3, "c.png": [20.0] * 3, "d.png": [20.0] * 3})
    scales = picture_scales(mixed)
    assert scales[0] == scales[1] == 2 * scales[2] == 2 * scales[3]


def test_magnifications__are_not_made_of_small_cells_or_few() -> None:
    sizes = {f"{number}.png": [side] * 4 for number, side in enumerate(np.linspace(34.0, 46.0, 9))}
    natural = boxes({**sizes, "one.png": [90.0], "two.png": [15.0, 15.0]})
    assert found(natural) == {} and set(picture_scales(natural)) == {1.0}
    other = boxes({"a.png": [40.0] * 3, "b.png": [80.0] * 3}, source=["x"] * 3 + ["y"] * 3)
    assert found(other) == {} and set(picture_scales(other)) == {1.0}


def test_magnifications__of_a_class_each_are_reported_and_not_guessed() -> None:
    mixed = boxes({"a.png": [40.0] * 3, "b.png": [16.0] * 3}, label=["R"] * 3 + ["S"] * 3)
    assert found(mixed) == {"pictures of several magnifications": 1}
    assert set(picture_scales(mixed)) == {1.0}


def test_views__in_diameters_follow_the_magnification_of_their_picture() -> None:
    mixed = boxes({"a.png": [40.0] * 3, "b.png": [40.0] * 3, "c.png": [20.0] * 3})
    rows = np.arange(9)
    np.testing.assert_allclose(cell_diameters(mixed, {"lab": 38.0}, rows), [38.0] * 6 + [19.0] * 3)
    np.testing.assert_allclose(image_diameters(mixed, {"lab": 38.0}), [38.0, 38.0, 19.0])
    assert np.isnan(image_diameters(mixed, None)).all()
    partly = mixed.with_column("cell_diameter", [None] * 6 + [19.0, None, None])
    assert source_diameters(partly) == {"lab": 38.0}
    np.testing.assert_allclose(cell_diameters(partly, {"lab": 38.0}, rows), [38.0] * 6 + [19.0] * 3)


def test_source_diameters__are_measured_at_the_typical_magnification(tmp_path: Path) -> None:
    drawn = write_smears(tmp_path, sources=["lilac"], patients_per_source=3, fields_per_patient=1, seed=3)
    names, image = drawn.images()
    half = image == 2
    with Image.open(tmp_path / names[2]) as large:
        large.resize((large.width // 2, large.height // 2)).save(tmp_path / names[2])
    for name in "xywh":
        values = drawn.numbers(name)
        drawn = drawn.with_column(name, np.where(half, values / 2, values))
    drawn = drawn.with_column("cell_diameter", np.full(len(drawn), np.nan))
    [(source, measured)] = source_diameters(drawn).items()
    sides = np.sqrt(drawn.numbers("w") * drawn.numbers("h"))
    found = cell_diameters(drawn, {source: measured}, np.arange(len(drawn)))
    assert abs(np.median(sides[half] / found[half]) - np.median(sides[~half] / found[~half])) < 0.1
    assert abs(measured / np.median(sides[~half]) - 1) < 0.15


def test_pictures__turned_by_exif_are_counted_until_the_table_fits(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (60, 40), 6)
    picture(tmp_path / "b.png", (60, 40))
    turned = manifest(tmp_path, path=["a.png", "b.png"], x=[10.0, 10.0], y=[10.0, 10.0])
    [finding] = inspect_rows(turned)
    assert (finding.kind, finding.count) == ("boxes on turned pictures", 1)
    assert finding.first == "a.png (EXIF orientation 6)"
    assert found(turned.with_column("boxes_on", ["upright", None])) == {}
    assert found(manifest(tmp_path, path=["a.png"])) == {}


def test_readers__record_for_checks_that_boxes_were_turned(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (60, 40), 6)
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert found(read_yolo(tmp_path, boxes_on="stored")) == {}
    assert set(found(read_yolo(tmp_path))) == {"boxes on turned pictures"}


def test_cells__outside_their_picture_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (60, 40))
    cells = manifest(tmp_path, x=[59.0, 61.0, 10.0], y=[39.0, 10.0, -1.0])
    assert found(cells) == {"cells outside their picture": 2}
    wide = manifest(tmp_path, x=[59.0], y=[39.0], cell_diameter=[61.0])
    assert found(wide) == {"cell diameters larger than the picture": 1}


def test_boxes__that_reach_out_of_their_picture_are_counted(tmp_path: Path) -> None:
    """Corners that were taken for sides, for one; rounding at the border is nothing."""
    picture(tmp_path / "a.png")  # 100 x 50
    table: dict[str, list[Any]] = {"path": ["a.png"] * 4, "source": ["s"] * 4}
    table |= {
        "x": [-1.0, 40.0, 10, -9],
        "y": [0.0, 10, 30, 0],
        "w": [20.0, 58, 20, 20],
        "h": [20.0, 38, 30, 20],
    }
    [finding] = [one for one in inspect_rows(manifest(tmp_path, **table)) if "border" in one.kind]
    assert (finding.kind, finding.count) == ("boxes over the border", 2)
    assert finding.first == "row 3 (a.png): (10, 30, 20, 30) in 100 x 50 pixels"


def test_headers__of_many_pictures_are_sampled_and_check_reads_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_checks, "SAMPLE", 2)
    for name in "abc":
        picture(tmp_path / f"{name}.png", (60, 40), 6 if name == "b" else 1)
    cells = manifest(tmp_path, path=["a.png", "b.png", "c.png"], x=[1.0] * 3, y=[1.0] * 3)
    assert found(cells) == {}
    [finding] = inspect_pictures(cells, Failures())
    assert (finding.kind, finding.count) == ("boxes on turned pictures", 1)


def test_views__far_larger_than_their_picture_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (60, 40))
    cells = manifest(tmp_path, x=[10.0], y=[10.0], cell_diameter=[4000.0])
    spec = ViewSpec(kind="cells", side=1.6, unit="diameters", output=32)
    views, failures = ViewsByImage(cells, spec), Failures()
    assert list(views.cut_all(views.place_all(failures)[0], failures)) == []
    assert (
        "a view of 6400 pixels is too large for an image of 60 x 40"
        in dict(failures)[str(tmp_path / "a.png")]
    )
    for kind in ("cells", "random", "patches"):
        views = ViewsByImage(cells, spec.model_copy(update={"kind": kind}))
        with pytest.raises(ImageError, match=r"a view of 6400 pixels"):
            views.open(0)
    near = cells.with_column("cell_diameter", [40.0])
    assert len(ViewsByImage(near, spec).open(0).squares) == 1


def test_cache__lists_images_smaller_than_a_cell(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png", (60, 40))
    images = manifest(tmp_path, path=["a.png", "b.png"], cell_diameter=[4000.0, 40.0])
    cache = open_cache(images, max_cell_diameter=20.0)
    assert len(cache) == 1
    assert [Path(path).name for path, _ in cache.failures] == ["a.png"]


@pytest.mark.parametrize(("factor", "kinds"), [(1.0, []), (0.4, ["cell diameters and measured cells"])])
def test_check__measures_cells_against_given_diameters(
    tmp_path: Path, factor: float, kinds: list[str]
) -> None:
    drawn = write_smears(tmp_path, sources=["lilac"], patients_per_source=2, fields_per_patient=1, seed=3)
    names, codes = drawn.images()
    true = [float(np.median(drawn.numbers("cell_diameter")[codes == number])) for number in range(len(names))]
    fields = manifest(tmp_path, path=list(names), cell_diameter=[factor * one for one in true])
    assert [finding.kind for finding in inspect_pictures(fields, Failures())] == kinds


def test_check__measures_cells_where_nothing_else_decides(tmp_path: Path) -> None:
    drawn = write_smears(tmp_path, sources=["lilac"], patients_per_source=4, fields_per_patient=1, seed=3)
    names, _ = drawn.images()
    fields = manifest(tmp_path, path=list(names))
    assert inspect_pictures(fields, Failures()) == ()
    with Image.open(tmp_path / names[1]) as large:
        large.resize((large.width // 2, large.height // 2)).save(tmp_path / names[1])
    [finding] = inspect_pictures(fields, Failures())
    assert (finding.kind, finding.count) == ("measured cells of several sizes", 1)
    assert finding.first.startswith(names[1])
    assert inspect_pictures(drawn, Failures()) == ()
