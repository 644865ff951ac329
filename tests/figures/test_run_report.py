"""The report of a run: its curves, what it said, and the very crops that its network saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn import image_of

import reddino
from reddino.figures.run_report import crops_figure, find_cache, first_crops, run_report
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import open_cache, read_cache
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.run.folder import RunFolder
from reddino.pretraining.run.recipe import read_recipe
from reddino.smears.manifest import Manifest
from reddino.smears.readers import read_folder

OVERRIDES = (
    "run.samples=64",
    "run.batch=8",
    "runtime.workers=0",
    "data.patch_side=64",
    "data.patch_unit=px",
    "data.max_cell_diameter=null",
)


@pytest.fixture
def images(tmp_path: Path) -> Manifest:
    draw = np.random.default_rng(0)
    for number in range(3):
        file = tmp_path / "images" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        coarse = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(file), cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC))
    return read_folder(tmp_path / "images")


@pytest.fixture
def run(tmp_path: Path, images: Manifest) -> Path:
    """A run folder as a run leaves it, without the hours of training."""
    recipe = read_recipe("vit-tiny-scratch", OVERRIDES)
    folder = RunFolder(tmp_path / "first run")
    folder.begin(recipe, images.fingerprint(), threads=1)
    open_cache(images, tmp_path / "first run" / "cache")
    folder.log({"step": 4, "samples": 32, "loss": 5.0, "rank": 3.0, "samples_per_s": 10.0})
    folder.log(
        {"step": 8, "samples": 64, "loss": 4.0, "rank": 2.0, "samples_per_s": 30.0, "signs": ["flat: 2.5"]}
    )
    return tmp_path / "first run"


def test_report__of_a_run_shows_what_was_recorded_and_said(run: Path) -> None:
    page = reddino.report(run).read_text(encoding="utf-8")
    assert (run / "report.html").is_file()
    assert "Pretraining: first run" in page
    assert f"8 of {64 // 8}" in page
    assert "20.0 samples a second" in page
    assert "flat: 2.5" in page
    assert page.count("data:image/") == 4


def test_report__of_a_distillation_shows_nothing_of_prototypes(tmp_path: Path, images: Manifest) -> None:
    recipe = read_recipe("reddino-tiny", ("run.samples=64", "run.batch=64"))
    folder = RunFolder(tmp_path / "pure")
    folder.begin(recipe, images.fingerprint(), threads=1)
    folder.log({"step": 1, "samples": 64, "loss": 2.0, "pooled_loss": 1.0, "rank": 9.0, "samples_per_s": 9.0})
    page = run_report(tmp_path / "pure", {})
    assert "entropy" not in page and "prototypes are" not in page
    assert "effective rank of the student" in page


@pytest.mark.parametrize("option", ["images", "scores", "batch_effect", "method", "label", "seed"])
def test_report__of_a_run_refuses_what_bears_on_a_table(run: Path, option: str) -> None:
    values: dict[str, Any] = {"scores": ["s.json"], "method": "pca", "seed": 3}
    with pytest.raises(RedDinoError, match=f"the report of a run takes no {option},"):
        reddino.report(run, **{option: values.get(option, "x.csv")})
    assert not (run / "report.html").exists()


def test_first_crops__are_those_that_the_network_was_given(run: Path, images: Manifest) -> None:
    recipe, cache = read_recipe(run / "recipe.yaml"), find_cache(run)
    assert cache is not None
    found = first_crops(recipe, cache, samples=5)
    batch = next(iter(make_stream(recipe, open_cache(images))))
    assert np.array_equal(found[0], batch.global_crops[:, :5].numpy())
    assert np.array_equal(found[1], batch.local_crops[:, :5].numpy())


def test_report__without_the_runs_images_says_so(run: Path) -> None:
    next((run / "cache").glob("*.pixels")).unlink()
    page = run_report(run, {})
    assert "decoded images are not in its folder any more" in page
    assert page.count("data:image/") == 3


def test_report__of_a_run_whose_images_another_version_decoded_goes_without_them(run: Path) -> None:
    (index,) = (run / "cache").glob("*.npz")
    with np.load(index) as columns:
        kept = {name: columns[name] for name in columns.files if name != "cells"}
    np.savez(index, **kept)
    with pytest.raises(RedDinoError, match=r"another version of RedDino \(it lacks cells\)"):
        read_cache(index)
    assert "decoded images are not in its folder any more" in run_report(run, {})


def test_crops_figure__shows_global_crops_in_their_place() -> None:
    draw = np.random.default_rng(0)
    global_crops = draw.integers(0, 256, (2, 3, 96, 96, 3), dtype=np.uint8)
    local_crops = draw.integers(0, 256, (4, 3, 48, 48, 3), dtype=np.uint8)
    (axes,) = crops_figure(global_crops, local_crops).axes
    shown = image_of(axes)
    assert np.array_equal(shown[102:198, 102:198], global_crops[1, 1])
    assert np.array_equal(shown[204:250, 204:252], local_crops[0, 2][:-2])


def test_report__refuses_a_folder_that_is_neither(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({}))
    with pytest.raises(RedDinoError, match="no embedding table"):
        reddino.report(tmp_path)
