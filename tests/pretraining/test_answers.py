"""What a guide says of every cell, asked once before the first step."""

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
from reddino.pretraining import train as loop
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.distillation import cache as answers
from reddino.pretraining.distillation.cache import Answers, ask_once
from reddino.pretraining.distillation.teacher import Guide, open_guide
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
    return draw_images(tmp_path_factory.mktemp("answers") / "images")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files of six cells."""
    monkeypatch.setattr(answers, "PART", 2)


def opened(images: Manifest, *more: str) -> tuple[Guide, ImageCache]:
    guide = open_guide(micro_recipe([*ONCE, *more]))
    assert guide is not None
    return guide, loop.open_cache(images, images.root / "cache")


def asked(images: Manifest, folder: Path) -> Answers:
    guide, cache = opened(images)
    found = ask_once(guide, cache, micro_recipe(ONCE), runtime=HERE, folder=folder, processes=ALONE)
    assert found is not None
    return found


def test_answers__are_the_guides_words_on_the_middle_of_the_patch_for_both_crops(
    images: Manifest, tmp_path: Path
) -> None:
    words = asked(images, tmp_path).of(torch.tensor([3, 0]), HERE.device)
    guide, cache = opened(images)
    # Sources by name: the fourth image is the second of "near"; its cell lies at (46, 55), 40 px a patch.
    row = cache.index.row[3]
    x, y = (int(images.table.column(name)[row].as_py()) for name in ("x", "y"))
    half = round(40 * 0.8) // 2  # 0.64 of the area
    square = cache.image(3)[y - half : y + half, x - half : x + half]
    resized = np.asarray(answers.resize_square(square, 64))[None]
    said = guide.says(torch.from_numpy(resized)).pooled
    assert words.pooled is not None and words.shapes is not None and said is not None
    assert words.pooled.shape == (4, guide.dim) and words.spatial is None
    torch.testing.assert_close(words.pooled[:1], said, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(
        words.shapes[:1], torch.from_numpy(Morphology().embed(resized)), rtol=2e-3, atol=2e-3
    )
    for part in (words.pooled, words.shapes):
        assert torch.equal(part[:2], part[2:]) and not torch.equal(part[0], part[1])


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cells that the guide is shown from now on."""
    seen: list[int] = []
    squares = answers._squares

    def noted(numbers: range, *rest: Any) -> Any:
        seen.extend(numbers)
        return squares(numbers, *rest)

    monkeypatch.setattr(answers, "_squares", noted)
    return seen


def names(folder: Path) -> list[str]:
    """What the files are, without the digits of what they are of."""
    return sorted(path.name[16:] for path in folder.iterdir())


def stopped(images: Manifest, folder: Path, after: int) -> Answers | None:
    """Ask, and stop when a number of parts is there."""
    guide, cache = opened(images)
    rounds = iter(range(9))

    def stop() -> bool:
        return next(rounds) == after

    recipe = micro_recipe(ONCE)
    return ask_once(guide, cache, recipe, runtime=HERE, folder=folder, processes=ALONE, stop=stop)


def test_ask_once__stopped_asks_afterwards_only_for_what_is_missing(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = torch.arange(6)
    whole = asked(images, tmp_path / "whole").of(everything, HERE.device)
    assert names(tmp_path / "whole") == [".npy"]
    folder = tmp_path / "cut"
    assert stopped(images, folder, 2) is None
    assert names(folder) == ["-000000.npy", "-000001.npy"]
    (folder / ".leftover.partial").touch()
    (folder / "fedcba9876543210.npy").touch()  # of other cells
    seen = looked_at(monkeypatch)
    again = asked(images, folder).of(everything, HERE.device)
    assert seen == [4, 5] and names(folder) == [".npy"]
    asked(images, folder)
    assert seen == [4, 5]
    for one, other in ((whole.pooled, again.pooled), (whole.shapes, again.shapes)):
        assert one is not None and other is not None and torch.equal(one, other)


def test_ask_once__asks_anew_where_other_cells_could_be_decoded(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(images, tmp_path)
    guide, cache = opened(images)
    fewer = replace(cache, index=replace(cache.index, cells=cache.index.cells[:4]))
    seen = looked_at(monkeypatch)
    recipe = micro_recipe(ONCE)
    assert ask_once(guide, fewer, recipe, runtime=HERE, folder=tmp_path, processes=ALONE) is not None
    assert seen == [0, 1, 2, 3] and names(tmp_path) == [".npy"]


def test_ask_once__takes_each_cell_for_itself_whether_or_not_crops_have_to_agree(
    images: Manifest, tmp_path: Path
) -> None:
    guide, cache = opened(images, "distill.consensus=true")
    recipe = micro_recipe(ONCE)
    agreed = ask_once(guide, cache, recipe, runtime=HERE, folder=tmp_path / "agreed", processes=ALONE)
    assert agreed is not None
    one, other = (
        found.of(torch.arange(6), HERE.device).pooled for found in (agreed, asked(images, tmp_path / "alone"))
    )
    assert one is not None and other is not None and torch.equal(one, other)


def test_pretrain__asked_once_goes_on_where_it_was_interrupted(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    assert run_micro(images, whole, ONCE).finished
    seen = looked_at(monkeypatch)

    def interrupt(_numbers: range, *_rest: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return squares(_numbers, *_rest)

    squares = answers._squares
    cut = tmp_path / "cut"
    with monkeypatch.context() as patched:
        patched.setattr(answers, "_squares", interrupt)
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
def test_recipe__refuses_to_ask_once_what_differs_from_crop_to_crop(override: str, words: str) -> None:
    with pytest.raises(RedDinoError, match=words):
        micro_recipe([*ONCE, override])


@pytest.mark.parametrize("stage", ["parts", "whole"])
def test_ask_once__asks_again_for_answers_with_a_flipped_bit(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    everything = torch.arange(6)
    right = asked(images, tmp_path / "right").of(everything, HERE.device)
    folder = tmp_path / "damaged"
    if stage == "parts":
        stopped(images, folder, 2)
    else:
        asked(images, folder)
    file = sorted(folder.glob("*.npy"))[0]
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(bytes(content))
    seen = looked_at(monkeypatch)
    again = asked(images, folder).of(everything, HERE.device)
    assert seen == ([0, 1, 4, 5] if stage == "parts" else list(range(6)))
    for one, other in ((right.pooled, again.pooled), (right.shapes, again.shapes)):
        assert one is not None and other is not None and torch.equal(one, other)


def test_answers__damaged_while_they_are_read_are_refused(images: Manifest, tmp_path: Path) -> None:
    found = asked(images, tmp_path / "a")
    file = next((tmp_path / "a").glob("*.npy"))
    content = bytearray(file.read_bytes())
    content[200] ^= 1  # of the first row
    file.write_bytes(bytes(content))
    found = Answers(file, found._dim)
    found.of(torch.tensor([3, 4]), HERE.device)
    with pytest.raises(RedDinoError, match="a row does not fit its checksum"):
        found.of(torch.tensor([4, 0]), HERE.device)


def test_ask_once__refuses_answers_beyond_float16(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Morphology.embed
    monkeypatch.setattr(Morphology, "embed", lambda self, squares: plain(self, squares) + np.float32(1e5))
    with pytest.raises(RedDinoError, match=r"is not finite, or beyond float16.*distill\.once=false"):
        asked(images, tmp_path / "a")
