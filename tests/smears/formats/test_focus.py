"""A focus stack takes each pixel from the plane that is sharpest around it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import tifffile
from slide_files import smear, write_grey_czi

from reddino.smears.decode import decode_image
from reddino.smears.formats.focus import focus_stack, sharpness
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.smears.readings import Readings

SHARP = smear(200, 160)
BLURRED = np.asarray(cv2.GaussianBlur(SHARP, (0, 0), 3), np.uint8)
#: Sharp on the left, and sharp on the right.
LEFT, RIGHT = SHARP.copy(), SHARP.copy()
LEFT[:, 100:], RIGHT[:, :100] = BLURRED[:, 100:], BLURRED[:, :100]
#: Where one plane goes over into the other, either may be taken.
AWAY = np.abs(np.arange(200) - 100) > 20


def test_focus_stack__is_sharp_where_any_plane_is() -> None:
    stacked = focus_stack([BLURRED, LEFT, RIGHT])
    np.testing.assert_array_equal(stacked[:, AWAY], SHARP[:, AWAY])
    either = (stacked == LEFT).all(axis=2) | (stacked == RIGHT).all(axis=2)
    assert either.all()
    assert sharpness(stacked) > 1.5 * max(sharpness(LEFT), sharpness(RIGHT))


def test_focus_stack__of_one_plane_is_that_plane() -> None:
    np.testing.assert_array_equal(focus_stack([LEFT[:, :, 0]]), LEFT[:, :, 0])
    with pytest.raises(ValueError, match="no planes"):
        focus_stack([])


def test_decode_image__stacks_the_planes_of_a_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([LEFT, BLURRED, RIGHT]), photometric="rgb", metadata=None)
    np.testing.assert_array_equal(
        decode_image(tmp_path / "a.tif", plane=-1), focus_stack([LEFT, BLURRED, RIGHT])
    )
    manifest = open_data(Manifest(pa.table({"path": ["a.tif"], "plane": [-1.0]}), tmp_path))
    assert manifest.numbers("plane").tolist() == [-1]
    assert Readings(manifest.table).of("a.tif") == {"plane": -1}


def test_decode_image__of_a_picture_of_one_plane_its_stack_is_itself(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), SHARP)
    np.testing.assert_array_equal(
        decode_image(tmp_path / "a.png", plane=-1), decode_image(tmp_path / "a.png")
    )


def test_decode_image__stacks_the_planes_of_a_microscope_file(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed")
    planes = [np.ascontiguousarray(one[:, :, 0]) for one in (LEFT, RIGHT)]
    write_grey_czi(tmp_path / "a.czi", [planes])
    np.testing.assert_array_equal(decode_image(tmp_path / "a.czi", plane=-1)[:, :, 0], focus_stack(planes))
