"""A window of sample values: one for a source, measured by percentiles, and cut where it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import open_packed_cache
from reddino.smears.decode import ImageError, decode_bytes, decode_image
from reddino.smears.manifest import read_manifest
from reddino.smears.opening import open_data
from reddino.smears.packs import read_pack
from reddino.smears.readings import Readings
from reddino.smears.windows import WINDOW, with_windows

Array = np.ndarray[Any, Any]


def _dim(seed: int, shape: tuple[int, ...] = (50, 60, 3)) -> Array:
    """A picture of a 16-bit camera that uses a small part of its depth."""
    return np.random.default_rng(seed).normal(3000, 400, shape).clip(0, 65535).astype(np.uint16)


def _save(path: Path, values: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        cv2.imwrite(str(path), values[..., ::-1])
    else:
        tifffile.imwrite(path, values, photometric="rgb", metadata=None)
    return path


def _scaled(values: Array, black: int, white: int) -> Array:
    return np.rint(np.clip((values.astype(float) - black) * 255 / (white - black), 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_decode__by_a_window_is_linear_between_its_levels(tmp_path: Path, name: str) -> None:
    values = _dim(0)
    path = _save(tmp_path / name, values)
    found = decode_image(path, black_level=2500, white_level=3600)
    assert np.array_equal(found, _scaled(values, 2500, 3600))
    assert np.array_equal(decode_bytes(name, path.read_bytes(), black_level=2500, white_level=3600), found)


def test_decode__by_a_window_of_a_region_of_a_microscope_file(tmp_path: Path) -> None:
    values = _dim(1, (90, 80, 3))
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="rgb", tile=(32, 32))
    part = decode_image(f"{tmp_path}/a.ome.tif::x10-y20-w30-h40", black_level=2500, white_level=3600)
    assert np.array_equal(part, _scaled(values[20:60, 10:40], 2500, 3600))


def test_decode__refuses_a_window_of_other_samples_or_half_of_one(tmp_path: Path) -> None:
    grey = _dim(0).astype(np.uint8)
    for name in ("a.png", "a.tif", "a.jpg", "a.bmp"):
        path = tmp_path / name
        if name == "a.tif":
            tifffile.imwrite(path, grey, photometric="rgb", metadata=None)
        else:
            cv2.imwrite(str(path), grey)
        with pytest.raises(ImageError, match="has 8-bit samples"):
            decode_image(path, black_level=1, white_level=9)
    deep = _save(tmp_path / "deep.png", _dim(0))
    for levels in ({"black_level": 5}, {"white_level": 5}, {"black_level": 5, "white_level": 5}):
        with pytest.raises(ImageError, match="needs a black_level and a white_level above it"):
            decode_image(deep, **levels)


def test_window__is_that_of_the_percentiles_of_all_samples_of_a_source(tmp_path: Path) -> None:
    pictures = {"dim": [_dim(0), _dim(1), _dim(2) + 500], "bright": [_dim(3) * 5]}
    for source, several in pictures.items():
        for number, values in enumerate(several):
            _save(tmp_path / source / f"{number}.tif", values)
    cv2.imwrite(str(tmp_path / "dim" / "eight.png"), _dim(4).astype(np.uint8))
    made = reddino.manifest("folder", tmp_path, tmp_path / "m.csv", subfolders="source", window=(1.0, 99.5))
    assert [(one.count, one.harmless) for one in made.findings if one.kind == WINDOW] == [
        (1, True),
        (3, True),
        (1, False),
    ]
    opened = open_data(tmp_path / "m.csv")
    readings = Readings(opened.table)
    for source, several in pictures.items():
        together = np.concatenate([values.reshape(-1) for values in several])
        black, white = np.percentile(together, [1.0, 99.5], method="inverted_cdf").tolist()
        for number, values in enumerate(several):
            options = readings.of(f"{source}/{number}.tif")
            assert options == {"black_level": black, "white_level": white}
            found = decode_image(tmp_path / source / f"{number}.tif", **options)
            assert np.array_equal(found, _scaled(values, black, white))
    assert readings.of("dim/eight.png") == {}


def test_window__is_kept_by_packs(tmp_path: Path) -> None:
    _save(tmp_path / "in" / "a.tif", _dim(0))
    reddino.manifest("folder", tmp_path / "in", tmp_path / "m.csv", window=(1.0, 99.0))
    options = Readings(open_data(tmp_path / "m.csv").table).of("in/a.tif")
    assert options.keys() == {"black_level", "white_level"}
    reddino.pack(tmp_path / "m.csv", tmp_path / "pack")
    cache = open_packed_cache(read_pack(tmp_path / "pack"), None)
    assert np.array_equal(cache.image(0), decode_image(tmp_path / "in" / "a.tif", **options))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("1.tif,a,5,\n", "must be given together with black_level"),
        ("1.tif,a,,9\n", "must be given together with black_level"),
        ("1.tif,a,9,9\n", "must be above its black_level"),
        ("1.tif,a,1.5,9\n", "must be a whole number from 0 to"),
    ],
)
def test_manifest__with_half_a_window_is_refused_by_row(tmp_path: Path, rows: str, sentence: str) -> None:
    (tmp_path / "m.csv").write_text(f"path,source,black_level,white_level\n{rows}")
    with pytest.raises(RedDinoError, match=sentence):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("second", ["2.tif,a,1,10\n", "2.tif,a,,\n"])
def test_source__has_one_window(tmp_path: Path, second: str) -> None:
    for name in ("1.tif", "2.tif"):
        _save(tmp_path / name, _dim(0))
    (tmp_path / "m.csv").write_text(f"path,source,black_level,white_level\n1.tif,a,1,9\n{second}")
    with pytest.raises(RedDinoError, match="source 'a' has several windows"):
        open_data(tmp_path / "m.csv")


def test_window__refuses_what_has_none(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "m.csv").write_text("path\na.png\n")
    manifest = read_manifest(tmp_path / "m.csv")
    with pytest.raises(RedDinoError, match="for pictures of more than 8 bits, and there are none"):
        with_windows(manifest, 1, 99)
    with pytest.raises(RedDinoError, match="two percentiles from 0 to 100"):
        with_windows(manifest, 99, 1)
    _save(tmp_path / "a.png", np.full((9, 9, 3), 700, np.uint16))
    with pytest.raises(RedDinoError, match="the value 700 at both percentiles"):
        with_windows(manifest, 1, 99)


def test_window__of_percentile_0_begins_at_the_smallest_sample(tmp_path: Path) -> None:
    values = _dim(0)
    _save(tmp_path / "in" / "a.tif", values)
    reddino.manifest("folder", tmp_path / "in", tmp_path / "m.csv", window=(0.0, 100.0))
    options = Readings(open_data(tmp_path / "m.csv").table).of("in/a.tif")
    assert options == {"black_level": values.min(), "white_level": values.max()}


def _twelve(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).normal(800, 100, (50, 60)).astype(np.uint16)
    tifffile.imwrite(path, grey, photometric="minisblack", bitspersample=12, metadata=None)
    return path


def test_window__is_refused_for_a_source_of_several_depths(tmp_path: Path) -> None:
    _twelve(tmp_path / "in" / "a.tif", 0)
    _save(tmp_path / "in" / "b.tif", _dim(1) * 8)
    with pytest.raises(RedDinoError, match=r"pictures of 12 bits \(a.tif\), 16 bits \(b.tif\)"):
        reddino.manifest("folder", tmp_path / "in", tmp_path / "m.csv", window=(1.0, 99.0))
    rows = "path,source,black_level,white_level\nin/a.tif,s,1,9\nin/b.tif,s,1,9\n"
    (tmp_path / "m.csv").write_text(rows)
    with pytest.raises(RedDinoError, match="for which no one window is right"):
        open_data(tmp_path / "m.csv")


@pytest.mark.parametrize("second", ["2.tif,a,1,10\n", "2.tif,a,,\n"])
def test_source_of_12_bits__has_one_window(tmp_path: Path, second: str) -> None:
    for name in ("1.tif", "2.tif"):
        _twelve(tmp_path / name, 0)
    (tmp_path / "m.csv").write_text(f"path,source,black_level,white_level\n1.tif,a,1,9\n{second}")
    with pytest.raises(RedDinoError, match="source 'a' has several windows"):
        open_data(tmp_path / "m.csv")


def test_decode__refuses_a_window_above_all_samples(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.tif", _dim(0))
    with pytest.raises(ImageError, match="all of them black by the black_level 70000"):
        decode_image(path, black_level=70000, white_level=80000)


def test_merge__refuses_a_source_that_was_read_by_two_windows(tmp_path: Path) -> None:
    tables = []
    for name, white in (("a", 3900), ("b", 3000)):
        _save(tmp_path / f"{name}.tif", _dim(0))
        rows = f"path,source,black_level,white_level\n{name}.tif,s,2000,{white}\n"
        (tmp_path / f"{name}.csv").write_text(rows)
        tables.append(tmp_path / f"table-{name}")
        reddino.embed(tmp_path / f"{name}.csv", "colour-histogram", tables[-1], view="image")
    with pytest.raises(RedDinoError, match="read by the window 2000 to 3900 and by the window 2000 to 3000"):
        reddino.merge_tables(tables, tmp_path / "merged")


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_window__leaves_pictures_of_fewer_bits_alone_and_names_them(tmp_path: Path, mode: str) -> None:
    _save(tmp_path / "deep.png", _dim(0))
    grey = np.random.default_rng(1).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "shallow.png")
    (tmp_path / "m.csv").write_text("path\ndeep.png\nshallow.png\n")
    made = with_windows(read_manifest(tmp_path / "m.csv"), 0.1, 99.9)
    assert np.isnan(made.numbers("black_level")).tolist() == [False, True]
    assert [one.first for one in made.findings if one.kind == WINDOW] == ["deep.png", "shallow.png"]
