"""Patches in micrometres: by the column um_per_px or by files, the same as in pixels where both are known."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from pathlib import Path

import cv2
import pyarrow as pa
import pytest
import tifffile
from micro_run import draw_images, micro_recipe, run_micro, trained_weights
from slide_files import smear, write_pyramid

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import open_cache
from reddino.pretraining.data.sampling import PatchOrder, patch_spec, sample_rng
from reddino.pretraining.run.pixel_sizes import patch_pixel_sizes
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data

TEN_UM = ("data.patch_unit=um", "data.patch_side=10")
#: Micrometres of a pixel of the pictures from the two laboratories of `draw_images`.
SIZES = {"near": 0.25, "far": 0.5}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("images"))


def with_sizes(manifest: Manifest, **sizes: float) -> Manifest:
    found = [sizes.get(source) for source in manifest.strings("source")]
    return manifest.with_column("um_per_px", pa.array([None if one is None else str(one) for one in found]))


def sides(manifest: Manifest) -> dict[str, int]:
    """The side of a patch by source, in stored pixels."""
    recipe = micro_recipe(TEN_UM)
    sizes = patch_pixel_sizes(recipe, manifest)
    cache = open_cache(manifest, um_per_px=sizes)
    order = PatchOrder(cache.index, patch_spec(recipe), 0)
    found = [order.patch(number, sample_rng(0, number)) for number in range(order.samples_per_epoch)]
    return {cache.index.source_name(patch.image): patch.width for patch in found}


def test_pretrain__cuts_the_same_patches_in_pixels_and_micrometres(images: Manifest, tmp_path: Path) -> None:
    run_micro(images, tmp_path / "px")
    run_micro(with_sizes(images, near=0.25, far=0.25), tmp_path / "um", TEN_UM)
    run_micro(with_sizes(images, **SIZES), tmp_path / "other", TEN_UM)
    assert trained_weights(tmp_path / "px") == trained_weights(tmp_path / "um")
    assert trained_weights(tmp_path / "px") != trained_weights(tmp_path / "other")


def test_patches__have_the_size_of_each_pictures_pixels(
    images: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert sides(with_sizes(images, **SIZES)) == {"near": 40, "far": 20}
    assert "patches of 10 um: a pixel is 0.25 to 0.5 um, of 6 pictures by the column um_per_px" in caplog.text


def test_pretrain__refuses_pictures_without_the_size_of_a_pixel(images: Manifest, tmp_path: Path) -> None:
    for manifest in (images, with_sizes(images, near=0.25)):
        with pytest.raises(RedDinoError, match=r"patches in micrometres need .* fill column um_per_px"):
            run_micro(manifest, tmp_path / "run", TEN_UM)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_patches__take_the_size_that_files_state(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    write_pyramid(tmp_path / "lab" / "a.tif", smear(300, 200), levels=1, um=0.2)
    assert sides(open_data(tmp_path, subfolders="source")) == {"lab": 50}


def test_pack__keeps_the_size_of_a_pixel(images: Manifest, tmp_path: Path) -> None:
    packed = reddino.pack(with_sizes(images, **SIZES), tmp_path / "pack")
    assert sides(packed) == {"near": 40, "far": 20}
    tifffile.imwrite(tmp_path / "b.tif", smear(300, 200), resolution=(5e4, 5e4), resolutionunit=3)
    packed = reddino.pack(tmp_path / "b.tif", tmp_path / "of file")
    (tmp_path / "b.tif").unlink()
    assert list(sides(packed).values()) == [50]


def test_pack__of_shards_keeps_the_size_of_a_pixel(tmp_path: Path) -> None:
    png = cv2.imencode(".png", smear(90, 80))[1].tobytes()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("1.png", png), ("1.json", json.dumps({"um_per_px": 0.5}).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    packed = reddino.pack(tmp_path / "a.tar", tmp_path / "pack")
    assert list(sides(packed).values()) == [20]
