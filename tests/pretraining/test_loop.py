"""The loop: what a run leaves behind, where it may start, and how it fails."""

from __future__ import annotations

import logging
import math
from functools import partialmethod
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from micro_run import draw_images, last_checkpoint, micro_recipe, run_micro, trained_weights
from one_block import head_of

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import PooledBackbone, ViTBackbone
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.folder import open_model_folder, read_card, read_heads
from reddino.networks.position import resample_positions
from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher, take_step
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.diagnostics import NAN_LIMIT
from reddino.pretraining.run.folder import read_metrics
from reddino.pretraining.run.recipe import read_recipe
from reddino.pretraining.schedules import values_at
from reddino.smears.manifest import Manifest

CNN = (
    *("model.backbone=efficientnet_lite0", "model.depth=null", "model.layer_scale=null"),
    *("loss.ibot=0", "run.samples=8"),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("loop") / "images")


@pytest.fixture(scope="module")
def finished(images: Manifest) -> Path:
    """A run of three steps that logs each of them and is scored after every step."""
    folder = images.root.parent / "finished"
    seen: list[str] = []

    def score(teacher: Encoder) -> dict[str, float]:
        seen.append(teacher.name)
        vectors = teacher.embed(np.zeros((2, 56, 56, 3), np.uint8))
        return {"online_norm": float(np.linalg.norm(vectors))}

    overrides = ["runtime.log_every=1", "online.every=4"]
    outcome = run_micro(images, folder, overrides, online_score=score)
    assert (outcome.steps, outcome.planned, outcome.finished) == (3, 3, True)
    assert outcome.model == folder / "model"
    assert seen == ["teacher"] * 4
    return folder


def test_run__leaves_the_teacher_as_a_model_folder(finished: Path, images: Manifest) -> None:
    backbone, card = open_model_folder(finished / "model")
    teacher = last_checkpoint(finished)["networks"]
    opened = backbone.state_dict()
    assert all(torch.equal(value, teacher[f"teacher.backbone.{name}"]) for name, value in opened.items()
               if name != "mask_token")  # fmt: skip
    assert torch.equal(
        read_heads(finished / "model")["dino_head.prototypes"], teacher["teacher.dino_head.prototypes"]
    )
    assert (card.backbone, card.image_size, card.depth) == ("vit_tiny_patch14", 56, 1)
    assert card.channel_order == "RGB"
    training = card.training
    assert (training["steps"], training["samples"], training["seed"]) == (3, 12, 0)
    assert training["data"] == images.fingerprint()
    assert (training["images"], training["sources"]) == (6, ["far", "near"])
    assert "runtime" not in training["recipe"]
    assert training["recipe"]["optim"]["lr"] == 2e-3


@torch.no_grad()
def test_run__leaves_a_model_that_timm_opens(finished: Path) -> None:
    network = timm.create_model(f"local-dir:{finished / 'model'}", pretrained=True).eval()
    pixels = torch.randn(1, 3, 56, 56)
    ours = open_model(finished / "model", runtime=Runtime(torch.device("cpu"), "fp32", 1)).backbone(pixels)
    torch.testing.assert_close(network(pixels), ours.cls, atol=1e-5, rtol=1e-5)


def test_run__logs_every_step_and_score(finished: Path) -> None:
    records = read_metrics(finished)
    training = [record for record in records if "lr" in record]
    scores = [record for record in records if "online_norm" in record]
    assert [record["step"] for record in training] == [1, 2, 3]
    assert [record["step"] for record in scores] == [0, 1, 2, 3]
    recipe = read_recipe(finished / "recipe.yaml")
    for number, record in enumerate(training):
        assert record["samples"] == 4 * record["step"]
        assert record["lr"] == values_at(number, recipe).lr
        assert record["loss"] == pytest.approx(record["dino_loss"] + record["ibot_loss"], rel=1e-5)
        assert 0 < record["dino_loss"] < 2 * math.log(16)
        assert 0 < record["target_entropy"] <= math.log(16) + 1e-5
        assert 0 < record["prototypes_used"] <= 0.5  # eight class tokens
        assert record["rank"] > 0
        assert record["samples_per_s"] > 0


def test_run__again_when_finished_changes_nothing(finished: Path, images: Manifest) -> None:
    before, weights = read_metrics(finished), trained_weights(finished)
    overrides = ["runtime.log_every=1", "online.every=4"]
    assert run_micro(images, finished, overrides, online_score=lambda _: {"online_norm": 0.0}).finished
    assert read_metrics(finished) == before
    assert trained_weights(finished) == weights


def test_run__student_and_teacher_have_moved_apart(finished: Path) -> None:
    networks = last_checkpoint(finished)["networks"]
    start = build_networks(micro_recipe()).student.state_dict()
    name = "backbone.vit.blocks.0.attn.qkv.weight"
    student, teacher = networks[f"student.{name}"], networks[f"teacher.{name}"]
    from_start, apart = (student - start[name]).norm(), (student - teacher).norm()
    assert float(from_start) > 0
    # An EMA with momentum 0.99 and more stays near the start.
    assert float((teacher - start[name]).norm()) < 0.1 * float(from_start) < float(apart)


def test_progress__is_told_at_the_start_and_after_each_step(images: Manifest, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_micro(images, tmp_path / "run", progress=lambda done, planned: told.append((done, planned)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_start__from_a_model_folder_at_another_size(images: Manifest, finished: Path, tmp_path: Path) -> None:
    overrides = [
        f"model.start={finished / 'model'}",
        "crops.global_size=84",
        "optim.lr=1e-12",
        "run.samples=4",
    ]
    assert run_micro(images, tmp_path / "run", overrides).finished
    before, _ = open_model_folder(finished / "model")
    after, card = open_model_folder(tmp_path / "run" / "model")
    assert isinstance(before, ViTBackbone) and isinstance(after, ViTBackbone)
    assert card.image_size == 84
    expected = resample_positions(before.vit.pos_embed, (6, 6))
    torch.testing.assert_close(after.vit.pos_embed, expected, atol=1e-6, rtol=1e-6)
    said, start = card.training["started_from"], read_card(finished / "model")
    assert (said["weights"], said["samples"]) == (start.weights_hash, start.training["samples"])


def test_start__a_cnn_from_scratch(images: Manifest, tmp_path: Path) -> None:
    assert run_micro(images, tmp_path / "run", CNN).finished
    backbone, _ = open_model_folder(tmp_path / "run" / "model")
    assert isinstance(backbone, PooledBackbone)
    assert run_micro(images, tmp_path / "again", CNN).finished
    assert trained_weights(tmp_path / "run") == trained_weights(tmp_path / "again")


def test_start__a_cnn_with_ibot_says_what_to_do(images: Manifest, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"no patch tokens, which the iBOT loss needs.*; set loss\.ibot=0"):
        run_micro(images, tmp_path / "run", [*CNN, "loss.ibot=1"])


def test_accumulate__with_a_moving_centre_and_no_batch_statistics_equals_the_whole_batch(
    images: Manifest, tmp_path: Path
) -> None:
    # Sinkhorn-Knopp, KoLeo, a centred head and drop path see the micro-batch; without them only the centre,
    # which moves twice a step, can differ: with momentum 1 it stays where it is.
    alone = (
        "run.batch=8", "run.samples=8", "loss.centering=moving-average", "loss.center_momentum=1.0",
        "head.center_output=false", "model.drop_path=0", "optim.weight_decay=0", "optim.weight_decay_end=0",
    )  # fmt: skip
    networks = []
    for accumulate in (1, 2):
        folder = tmp_path / str(accumulate)
        run_micro(images, folder, [*alone, f"run.accumulate={accumulate}"])
        networks.append(last_checkpoint(folder))
    moments = [[state["exp_avg"] for state in one["optimizer"]["state"].values()] for one in networks]
    for whole, parts in zip(*moments, strict=True):
        torch.testing.assert_close(whole, parts, atol=2e-7, rtol=1e-4)


def test_accumulate__sinkhorn_knopp_sees_the_micro_batch(images: Manifest, tmp_path: Path) -> None:
    for accumulate in (1, 2):
        run_micro(images, tmp_path / str(accumulate), ["run.batch=8", f"run.accumulate={accumulate}"])
    assert trained_weights(tmp_path / "1") != trained_weights(tmp_path / "2")


@pytest.mark.parametrize("how", ["runtime.pack_crops=true", "runtime.compile=true"])
def test_run__packed_or_compiled_computes_the_same_gradients(
    images: Manifest, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without code generation, which takes minutes and is torch's to test.
    compile_plainly = partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", compile_plainly)
    for name, overrides in (("plain", []), ("other", [how])):
        run_micro(images, tmp_path / name, ["run.samples=4", *overrides])
    moments = [
        [state["exp_avg"] for state in last_checkpoint(tmp_path / name)["optimizer"]["state"].values()]
        for name in ("plain", "other")
    ]
    for plain, other in zip(*moments, strict=True):
        torch.testing.assert_close(other, plain, atol=2e-7, rtol=1e-3)


@pytest.mark.parametrize("key", ["pack_crops", "activation_checkpointing"])
def test_run__what_is_for_transformers_is_refused_for_a_cnn(
    images: Manifest, tmp_path: Path, key: str
) -> None:
    with pytest.raises(RedDinoError, match=rf"runtime\.{key} is for Vision Transformers"):
        run_micro(images, tmp_path / "run", [*CNN, f"runtime.{key}=true"])


def test_nan__an_enormous_rate_ends_in_a_sentence(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = ["optim.lr=1e37", "run.samples=80", "runtime.log_every=1"]
    with pytest.raises(RedDinoError, match=rf"not finite for {NAN_LIMIT} steps in a row .*lower optim\.lr"):
        run_micro(images, tmp_path / "run", overrides)
    assert "gave no finite loss and were skipped" in caplog.text
    assert "skipped_steps" in read_metrics(tmp_path / "run")[-1]


def test_nan__in_the_gradient_alone_ends_in_a_sentence_too(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_numbers(networks: StudentTeacher, *_: object) -> StudentTeacher:
        head_of(networks.student).prototypes.register_hook(lambda gradient: gradient * math.nan)
        return networks

    monkeypatch.setattr(StudentTeacher, "to", without_numbers)
    with pytest.raises(RedDinoError, match="its gradient was not finite for 10 steps"):
        run_micro(images, tmp_path / "run", ["run.samples=80"])


def test_take_step__skips_and_leaves_the_weights_alone_without_a_finite_loss() -> None:
    recipe = micro_recipe()
    networks = build_networks(recipe)
    optimizer = make_optimizer(networks.student, recipe.optim)
    before = {name: value.clone() for name, value in networks.student.state_dict().items()}
    for parameter in networks.student.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert not take_step(networks, optimizer, finite=False)
    head_of(networks.student).prototypes.grad = torch.full_like(
        head_of(networks.student).prototypes, math.inf
    )
    assert not take_step(networks, optimizer, finite=True)
    after = networks.student.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_take_step__clips_backbone_and_head_each_by_itself() -> None:
    recipe = micro_recipe(["optim.clip_gradient=0.5"])
    networks = build_networks(recipe)
    optimizer = make_optimizer(networks.student, recipe.optim)
    for part, size in zip(networks.student.children(), (10.0, 1e-6), strict=True):
        for parameter in part.parameters():
            parameter.grad = torch.full_like(parameter, size)
    assert take_step(networks, optimizer, finite=True)
    norms = [
        math.sqrt(sum(float(p.grad.square().sum()) for p in part.parameters() if p.grad is not None))
        for part in networks.student.children()
    ]
    assert norms[0] == pytest.approx(0.5, rel=1e-4)
    count = sum(p.numel() for p in head_of(networks.student).parameters())
    assert norms[1] == pytest.approx(1e-6 * math.sqrt(count), rel=1e-3)


def test_warnings__too_many_prototypes_for_the_batch_are_warned_of_at_once(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_micro(images, tmp_path / "run", ["head.prototypes=4096", "run.samples=4"])
    assert "head.prototypes=4096 is many for 8 class tokens" in caplog.text


def test_pretrain__does_not_continue_with_pictures_that_were_replaced_by_others_of_their_size(
    tmp_path: Path,
) -> None:
    images = draw_images(tmp_path / "images")
    names = [Path(name).with_suffix(".bmp").name for name in images.strings("path")]
    for path, name in zip(images.paths(), names, strict=True):
        cv2.imwrite(str(path.with_name(name)), cv2.imread(str(path)))
    bitmaps = images.with_column("path", names)
    whole = run_micro(bitmaps, tmp_path / "run", ["runtime.checkpoint_every=1"])
    first = bitmaps.paths()[0]
    before = first.read_bytes()
    pixels = cv2.imread(str(first))
    assert pixels is not None
    cv2.imwrite(str(first), 255 - pixels)
    assert len(before) == first.stat().st_size
    with pytest.raises(
        RedDinoError, match="holds a run on other pictures: files of the same names and sizes"
    ):
        run_micro(bitmaps, tmp_path / "run", ["runtime.checkpoint_every=1"])
    first.write_bytes(before)  # with another date, as a copy has
    assert run_micro(bitmaps, tmp_path / "run", ["runtime.checkpoint_every=1"]).steps == whole.steps
