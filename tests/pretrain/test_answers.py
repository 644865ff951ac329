"""What a guide says of every cell, asked once before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from micro_run import draw_images, micro_recipe, run_micro, trained_weights

from reddino.errors import RedDinoError
from reddino.pretrain import answers, loop
from reddino.pretrain.answers import Answers, ask_once
from reddino.pretrain.distribution import ALONE, Processes
from reddino.pretrain.guide import Guide, open_guide
from reddino.pretrain.image_cache import ImageCache
from reddino.runtime import Runtime
from reddino.smears.manifest import Manifest
from reddino.smears.morphology import Morphology

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


def opened(images: Manifest) -> tuple[Guide, ImageCache]:
    guide = open_guide(micro_recipe(ONCE))
    assert guide is not None
    return guide, loop.open_cache(images, images.root / "cache")


def asked(images: Manifest, folder: Path, processes: Processes = ALONE) -> Answers:
    guide, cache = opened(images)
    found = ask_once(guide, cache, micro_recipe(ONCE), runtime=HERE, folder=folder, processes=processes)
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


def test_ask_once__shares_the_work_and_asks_only_for_what_is_missing(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second(Processes):
        rank, count = 1, 2

        def wait(self) -> None:
            """What the first one does lies there already."""
            asked(images, tmp_path)

    everything = torch.arange(6)
    alone = asked(images, tmp_path / "alone").of(everything, HERE.device)
    both = asked(images, tmp_path, Second()).of(everything, HERE.device)
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == [f"00000{n}.npy" for n in range(3)]
    for one, other in ((alone.pooled, both.pooled), (alone.shapes, both.shapes)):
        assert one is not None and other is not None and torch.equal(one, other)

    looked_at: list[int] = []
    squares = answers._squares

    def counted(numbers: range, *rest: object) -> object:
        looked_at.extend(numbers)
        return squares(numbers, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(answers, "_squares", counted)
    (tmp_path / "000001.npy").unlink()
    again = asked(images, tmp_path).of(everything, HERE.device)
    assert looked_at == [2, 3]
    assert again.pooled is not None and alone.pooled is not None and torch.equal(again.pooled, alone.pooled)


def test_pretrain__asked_once_goes_on_where_it_was_interrupted(images: Manifest, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert run_micro(images, whole, ONCE).finished
    asked_of = sorted((whole / "answers").iterdir())
    assert [path.name for path in asked_of] == [f"00000{n}.npy" for n in range(3)]

    def stop(done: int, _planned: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run_micro(images, cut, [*ONCE, "runtime.checkpoint_every=1"], progress=stop)
    assert run_micro(images, cut, ONCE).finished
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
