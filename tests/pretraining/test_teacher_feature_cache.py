"""Cached teacher features: those of every cell, computed once before the first step."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from micro_run import draw_images, micro_recipe, run_micro, trained_weights

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.pretraining.augmentation.crops import resize_square
from reddino.pretraining.data.image_cache import ImageCache, open_cache
from reddino.pretraining.distillation import cache as feature_cache
from reddino.pretraining.distillation.cache import TeacherFeatureCache, precompute
from reddino.pretraining.distillation.teacher import DistillationTeacher, open_teacher
from reddino.pretraining.distributed.processes import ALONE
from reddino.rbc.morphology import Morphology
from reddino.smears.manifest import Manifest

HERE = Runtime(torch.device("cpu"), "fp32", 1)
ONCE = (
    "loss.dino=0",
    "loss.ibot=0",
    "model.drop_path=0",
    "data.layout=cells",
    "data.patch_side=40",
    "crops.local_count=0",
    "crops.global_scale=[0.5, 0.78]",
    "distill.teacher=untrained:test_efficientnet",
    "distill.image_size=64",
    "distill.spatial=0",
    "distill.morphology=1",
    "distill.relations=1",
    "distill.orientations=2",
    "distill.once=true",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("features") / "images")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files of six cells."""
    monkeypatch.setattr(feature_cache, "PART", 2)


def opened(images: Manifest, *more: str) -> tuple[DistillationTeacher, ImageCache]:
    teacher = open_teacher(micro_recipe([*ONCE, *more]))
    assert teacher is not None
    return teacher, open_cache(images, images.root / "cache")


def computed(images: Manifest, folder: Path) -> TeacherFeatureCache:
    teacher, cache = opened(images)
    found = precompute(teacher, cache, micro_recipe(ONCE), runtime=HERE, folder=folder, processes=ALONE)
    assert found is not None
    return found


def test_cache__holds_the_features_of_the_middle_of_the_patch_for_both_crops(
    images: Manifest, tmp_path: Path
) -> None:
    features = computed(images, tmp_path).read(torch.tensor([3, 0]), HERE.device)
    teacher, cache = opened(images)
    # Sources by name: the fourth image is the second of "near"; its cell lies at (46, 55), 40 px a patch.
    row = cache.index.row[3]
    x, y = (int(images.table.column(name)[row].as_py()) for name in ("x", "y"))
    half = round(40 * 0.8) // 2  # 0.64 of the area
    square = cache.image(3)[y - half : y + half, x - half : x + half]
    resized = np.asarray(resize_square(square, 64))[None]
    found = teacher.features(torch.from_numpy(resized)).pooled
    assert features.pooled is not None and features.morphology is not None and found is not None
    assert features.pooled.shape == (4, teacher.dim) and features.spatial is None
    torch.testing.assert_close(features.pooled[:1], found, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(
        features.morphology[:1], torch.from_numpy(Morphology().embed(resized)), rtol=2e-3, atol=2e-3
    )
    for part in (features.pooled, features.morphology):
        assert torch.equal(part[:2], part[2:]) and not torch.equal(part[0], part[1])


def computed_cells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cells that the teacher is shown from now on."""
    seen: list[int] = []
    squares = feature_cache._squares

    def noted(numbers: range, *rest: Any) -> Any:
        seen.extend(numbers)
        return squares(numbers, *rest)

    monkeypatch.setattr(feature_cache, "_squares", noted)
    return seen


def names(folder: Path) -> list[str]:
    """Names of the files, without the digits that depend on their content."""
    return sorted(path.name[16:] for path in folder.iterdir())


def stopped(images: Manifest, folder: Path, after: int) -> TeacherFeatureCache | None:
    """Compute, and stop when a number of parts is there."""
    teacher, cache = opened(images)
    rounds = iter(range(9))

    def stop() -> bool:
        return next(rounds) == after

    recipe = micro_recipe(ONCE)
    return precompute(teacher, cache, recipe, runtime=HERE, folder=folder, processes=ALONE, stop=stop)


def test_precompute__stopped_computes_afterwards_only_what_is_missing(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = torch.arange(6)
    whole = computed(images, tmp_path / "whole").read(everything, HERE.device)
    assert names(tmp_path / "whole") == [".npy"]
    folder = tmp_path / "cut"
    assert stopped(images, folder, 2) is None
    assert names(folder) == ["-000000.npy", "-000001.npy"]
    (folder / ".leftover.partial").touch()
    (folder / "fedcba9876543210.npy").touch()  # of other cells
    seen = computed_cells(monkeypatch)
    again = computed(images, folder).read(everything, HERE.device)
    assert seen == [4, 5] and names(folder) == [".npy"]
    computed(images, folder)
    assert seen == [4, 5]
    for one, other in ((whole.pooled, again.pooled), (whole.morphology, again.morphology)):
        assert one is not None and other is not None and torch.equal(one, other)


def test_precompute__again_where_other_cells_could_be_decoded(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed(images, tmp_path)
    teacher, cache = opened(images)
    fewer = replace(cache, index=replace(cache.index, cells=cache.index.cells[:4]))
    seen = computed_cells(monkeypatch)
    recipe = micro_recipe(ONCE)
    assert precompute(teacher, fewer, recipe, runtime=HERE, folder=tmp_path, processes=ALONE) is not None
    assert seen == [0, 1, 2, 3] and names(tmp_path) == [".npy"]


def test_precompute__of_each_cell_alone_with_or_without_consensus(images: Manifest, tmp_path: Path) -> None:
    teacher, cache = opened(images, "distill.consensus=true")
    recipe = micro_recipe(ONCE)
    agreed = precompute(teacher, cache, recipe, runtime=HERE, folder=tmp_path / "agreed", processes=ALONE)
    assert agreed is not None
    one, other = (
        found.read(torch.arange(6), HERE.device).pooled
        for found in (agreed, computed(images, tmp_path / "alone"))
    )
    assert one is not None and other is not None and torch.equal(one, other)


def test_pretrain__with_cached_features_continues_where_it_was_interrupted(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    assert run_micro(images, whole, ONCE).finished
    seen = computed_cells(monkeypatch)

    def interrupt(_numbers: range, *_rest: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return squares(_numbers, *_rest)

    squares = feature_cache._squares
    cut = tmp_path / "cut"
    with monkeypatch.context() as patched:
        patched.setattr(feature_cache, "_squares", interrupt)
        outcome = run_micro(images, cut, ONCE)  # asked to stop during the first part
    assert (outcome.steps, outcome.finished, seen) == (0, False, [0, 1])
    assert names(cut / "answers") == ["-000000.npy"]

    def stop(done: int, _planned: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_micro(images, cut, [*ONCE, "runtime.checkpoint_every=1"], progress=stop)
    assert run_micro(images, cut, ONCE).finished
    assert seen == list(range(6)) and names(cut / "answers") == [".npy"]
    assert trained_weights(cut) == trained_weights(whole)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.layout=random", "set data.layout=cells"),
        ("distill.spatial=1", "distill.once has no .* set distill.spatial=0"),
    ],
)
def test_recipe__refuses_to_precompute_what_differs_from_crop_to_crop(override: str, words: str) -> None:
    with pytest.raises(RedDinoError, match=words):
        micro_recipe([*ONCE, override])


@pytest.mark.parametrize("stage", ["parts", "whole"])
def test_precompute__again_for_features_with_a_flipped_bit(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    everything = torch.arange(6)
    right = computed(images, tmp_path / "right").read(everything, HERE.device)
    folder = tmp_path / "damaged"
    if stage == "parts":
        stopped(images, folder, 2)
    else:
        computed(images, folder)
    file = sorted(folder.glob("*.npy"))[0]
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(bytes(content))
    seen = computed_cells(monkeypatch)
    again = computed(images, folder).read(everything, HERE.device)
    assert seen == ([0, 1, 4, 5] if stage == "parts" else list(range(6)))
    for one, other in ((right.pooled, again.pooled), (right.morphology, again.morphology)):
        assert one is not None and other is not None and torch.equal(one, other)


def test_cache__damaged_while_it_is_read_is_refused(images: Manifest, tmp_path: Path) -> None:
    found = computed(images, tmp_path / "a")
    file = next((tmp_path / "a").glob("*.npy"))
    content = bytearray(file.read_bytes())
    content[200] ^= 1  # of the first row
    file.write_bytes(bytes(content))
    found = TeacherFeatureCache(file, found._dim)
    found.read(torch.tensor([3, 4]), HERE.device)
    with pytest.raises(RedDinoError, match="a row does not fit its checksum"):
        found.read(torch.tensor([4, 0]), HERE.device)


def test_precompute__refuses_features_beyond_float16(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Morphology.embed
    monkeypatch.setattr(Morphology, "embed", lambda self, squares: plain(self, squares) + np.float32(1e5))
    with pytest.raises(RedDinoError, match=r"is not finite, or beyond float16.*distill\.once=false"):
        computed(images, tmp_path / "a")
