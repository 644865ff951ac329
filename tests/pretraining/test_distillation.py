"""Distillation: the teacher's features of clean crops, the student's predictions, and what a run learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from micro_run import draw_images, last_checkpoint, micro_recipe, run_micro, trained_weights

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import PooledBackbone, Tokens
from reddino.networks.catalogue import open_backbone
from reddino.networks.create_backbone import create_backbone, initialise
from reddino.networks.folder import ModelCard, open_model_folder, read_card, read_heads, save_model_folder
from reddino.networks.graph import normalise
from reddino.networks.training_images import SeenImages, read_seen, write_seen
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.image_cache import open_cache
from reddino.pretraining.data.network_input import NetworkInput
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.dinov2 import Branch, StudentTeacher
from reddino.pretraining.distillation.feature_losses import feature_loss
from reddino.pretraining.distillation.predictor import FeaturePredictor, coarsened
from reddino.pretraining.distillation.standardiser import Standardiser
from reddino.pretraining.distillation.teacher import open_teacher
from reddino.pretraining.losses import total_loss
from reddino.pretraining.run.folder import read_metrics
from reddino.pretraining.run.recipe import Recipe
from reddino.smears.manifest import Manifest

HERE = Runtime(torch.device("cpu"), "fp32", 1)
ALONE = ("loss.dino=0", "loss.ibot=0", "crops.local_count=0", "model.drop_path=0")
CNN_TEACHER, VIT_TEACHER = "distill.teacher=untrained:test_efficientnet", "distill.teacher=untrained:test_vit"
TWO_TEACHERS = "distill.teacher=[untrained:test_efficientnet, untrained:test_vit]"
#: One that our masked forward does not know, of 160 px and no other size.
OTHER_VIT_TEACHER = "distill.teacher=untrained:test_vit3"
CNN_STUDENT = ("model.backbone=test_resnet", "model.depth=null", "model.layer_scale=null")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("distillation") / "images")


def input_of(recipe: Recipe, manifest: Manifest, networks: StudentTeacher, step: int = 0) -> NetworkInput:
    cache = open_cache(manifest, manifest.root / "cache")
    return networks.network_input(next(iter(make_stream(recipe, cache, step))), HERE)


def clean_crops(seen: NetworkInput) -> torch.Tensor:
    assert seen.distillation is not None and seen.distillation.clean_crops is not None
    return seen.distillation.clean_crops


def test_feature_loss__is_half_cosine_and_half_smooth_l1() -> None:
    rng = np.random.default_rng(0)
    targets, guesses = rng.normal(size=(2, 3, 5, 7)) * 2
    cosine = (targets * guesses).sum(-1)
    cosine /= np.linalg.norm(targets, axis=-1) * np.linalg.norm(guesses, axis=-1)
    off = np.abs(targets - guesses)
    smooth = np.where(off < 1, off**2 / 2, off - 0.5)
    found = feature_loss(torch.from_numpy(targets).float(), torch.from_numpy(guesses).float())
    assert float(found) == pytest.approx(0.5 * (1 - cosine).mean() + 0.5 * smooth.mean(), rel=1e-5)
    assert float(feature_loss(torch.ones(2, 3), torch.ones(2, 3))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("own", "side"), [(4, 4), (8, 4), (8, 7), (5, 3), (3, 1)])
def test_coarsened__averages_by_area(own: int, side: int) -> None:
    tokens = np.random.default_rng(1).normal(size=(2, own * own, 3))
    # Each place of either grid is a whole number of those of a common one.
    common = tokens.reshape(2, own, own, 3).repeat(side, axis=1).repeat(side, axis=2)
    expected = common.reshape(2, side, own, side, own, 3).mean(axis=(2, 4)).reshape(2, side * side, 3)
    found = coarsened(torch.from_numpy(tokens).float(), side)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_standardiser__is_over_everything_seen_so_far() -> None:
    rng = np.random.default_rng(2)
    batches = rng.normal(size=(4, 6, 5, 3)) * (0.1, 5.0, 1.0) + (0.0, 20.0, -3.0)
    standardise = Standardiser(3)
    for number, batch in enumerate(batches):
        found = standardise(torch.from_numpy(batch).float())
        seen = batches[: number + 1].reshape(-1, 3)
        expected = (batch - seen.mean(axis=0)) / seen.std(axis=0)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)
    assert standardise.state_dict().keys() == {"count", "total", "squares"}


def test_standardiser__does_not_blow_up_what_hardly_varies() -> None:
    rng = np.random.default_rng(3)
    values = torch.from_numpy(rng.normal(size=(50, 3)) * (1.0, 1e-6, 0.0) + 2).float()
    found = Standardiser(3)(values)
    assert float(found[:, 0].std()) == pytest.approx(1, rel=0.05)
    assert float(found[:, 1].abs().max()) < 0.01 and float(found[:, 2].abs().max()) < 0.01
    rounding = Standardiser(2)(torch.from_numpy(2 + 1e-7 * rng.normal(size=(50, 2))).float())
    assert float(rounding.abs().max()) < 0.01
    assert not torch.isnan(Standardiser(3)(values[:1])).any()


@torch.no_grad()
def test_losses__are_those_of_the_teachers_features_of_the_clean_crops(images: Manifest) -> None:
    weights = ("distill.pooled=0.5", "distill.spatial=2")
    recipe = micro_recipe([*ALONE, CNN_TEACHER, "distill.image_size=64", *weights])
    networks = build_networks(recipe)
    seen = input_of(recipe, images, networks)
    assert clean_crops(seen).shape == (8, 64, 64, 3)
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)

    teacher, card = open_backbone("untrained:test_efficientnet")
    assert isinstance(teacher, PooledBackbone)
    clean = normalise(clean_crops(seen), card.mean, card.std)
    features = teacher.eval().network.forward_features(clean)
    pooled, places = features.mean(dim=(2, 3)), features.flatten(2).transpose(1, 2)  # 2 x 2 places
    tokens = networks.student.backbone(seen.global_crops)
    assert tokens.patches is not None and features.shape[2:] == (2, 2)
    quarters = tokens.patches.reshape(8, 2, 2, 2, 2, -1).mean(dim=(2, 4)).flatten(1, 2)
    heads = networks.student.guide_heads
    assert heads is not None and heads.pooled is not None and heads.spatial is not None

    def standard(values: torch.Tensor) -> torch.Tensor:
        rows = values.flatten(0, -2)
        deviation = rows.std(dim=0, correction=0)
        return (values - rows.mean(dim=0)) / deviation.clamp_min(0.01 * deviation.square().mean().sqrt())

    expected = feature_loss(standard(pooled), heads.pooled(tokens.cls))
    torch.testing.assert_close(losses["pooled"], expected, rtol=1e-3, atol=1e-4)
    expected_places = feature_loss(standard(places), heads.spatial(quarters))
    torch.testing.assert_close(losses["spatial"], expected_places, rtol=1e-3, atol=1e-4)
    total = total_loss(losses, *recipe.loss_weights)
    torch.testing.assert_close(total, 0.5 * losses["pooled"] + 2 * losses["spatial"])


@pytest.mark.parametrize(
    ("teacher", "size", "student"),
    [
        (CNN_TEACHER, "null", ()),
        (CNN_TEACHER, "96", CNN_STUDENT),
        (VIT_TEACHER, "64", ()),
        (VIT_TEACHER, "64", CNN_STUDENT),
        (OTHER_VIT_TEACHER, "160", ()),
    ],
)
def test_run__any_teacher_teaches_any_student(
    images: Manifest, tmp_path: Path, teacher: str, size: str, student: tuple[str, ...]
) -> None:
    sizes = f"distill.image_size={size}"
    overrides = [*ALONE, *student, teacher, sizes, "runtime.log_every=1", "runtime.workers=1"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    for record in read_metrics(tmp_path / "run"):
        assert 0 < record["pooled_loss"] < 2 and 0 < record["spatial_loss"] < 2
        assert record["loss"] == pytest.approx(record["pooled_loss"] + record["spatial_loss"], rel=1e-5)
        assert record["rank"] > 1 and not record.keys() & {"target_entropy", "prototypes_used", "signs"}
    # The model is the student's network alone; the heads lie beside it, and the teacher nowhere.
    open_model_folder(tmp_path / "run" / "model")
    saved = set(read_heads(tmp_path / "run" / "model")) - {"backbone.mask_token"}
    parts = ("pooled", "spatial")
    assert saved == {f"guide_heads.{part}.{name}" for part in parts for name in ("weight", "bias")}
    name = teacher.partition("=")[2]
    backbone, card = open_backbone(name)
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    training = read_card(tmp_path / "run" / "model").training
    for content in (description, training):
        assert (content["distilled_from"], content["distilled_from_weights"]) == (name, card.weights_hash)
    networks = last_checkpoint(tmp_path / "run")["networks"]
    kept = {tuple(value.shape) for key, value in networks.items() if not key.startswith("student.backbone")}
    assert {"pooled_scale.total", "spatial_scale.total"} <= networks.keys()
    assert not any("distillation" in key for key in networks)
    assert (backbone.dim,) in kept


def test_run__without_prototypes_computes_neither_heads_nor_teacher(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Branch.forward

    def student_alone(self: Branch, inputs: NetworkInput) -> object:
        assert self.training and inputs.distillation is not None
        return forward(self, inputs)

    monkeypatch.setattr(Branch, "forward", student_alone)
    overrides = [*ALONE, CNN_TEACHER, "head.prototypes=4096", "run.samples=40", "optim.ema_start=0.9"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    assert "prototypes" not in caplog.text and "ln K" not in caplog.text
    networks = last_checkpoint(tmp_path / "run")["networks"]
    assert not any("dino_head" in name or "ibot_head" in name for name in networks)
    name = "backbone.vit.blocks.0.attn.qkv.weight"
    start = build_networks(micro_recipe(overrides)).student.state_dict()[name]
    assert (
        0
        < float((networks[f"teacher.{name}"] - start).norm())
        < float((networks[f"student.{name}"] - start).norm())
    )


def test_run__with_dino_and_ibot_has_all_losses(images: Manifest, tmp_path: Path) -> None:
    assert run_micro(images, tmp_path / "run", [CNN_TEACHER, "runtime.log_every=1"]).finished
    for record in read_metrics(tmp_path / "run"):
        terms = [record[f"{name}_loss"] for name in ("dino", "ibot", "pooled", "spatial")]
        assert min(terms) > 0 and record["loss"] == pytest.approx(sum(terms), rel=1e-5)
        assert record["prototypes_used"] > 0
    heads = read_heads(tmp_path / "run" / "model")
    assert {"dino_head.prototypes", "guide_heads.pooled.weight"} <= heads.keys()


@torch.no_grad()
def held_out_loss(networks: StudentTeacher, recipe: Recipe, manifest: Manifest) -> tuple[float, float]:
    """Pooled and spatial loss on images of which none was trained on, by the run's own statistics."""
    seen = input_of(recipe, manifest, networks)
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)
    return float(losses["pooled"]), float(losses["spatial"])


def test_student__learns_to_predict_the_teachers_features_of_images_never_seen(
    images: Manifest, tmp_path: Path
) -> None:
    overrides = [*ALONE, CNN_TEACHER, "run.batch=16", "run.samples=800", "optim.lr=4e-3"]
    overrides += ["augmentation.operations=[Blur, MultiplicativeNoise]", "augmentation.probability=0.5"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    recipe, others = micro_recipe(overrides), draw_images(tmp_path / "others", seed=1)
    networks = build_networks(recipe)
    trained = last_checkpoint(tmp_path / "run")["networks"]
    scales = {name: value for name, value in trained.items() if "scale." in name}
    networks.load_state_dict(scales, strict=False)
    before = held_out_loss(networks, recipe, others)
    networks.load_state_dict(trained)
    after = held_out_loss(networks, recipe, others)
    assert after[0] < 0.85 * before[0] and after[1] < 0.85 * before[1], (before, after)


def saved_teacher(folder: Path, seed: int, **changes: Any) -> Path:
    backbone = create_backbone("test_efficientnet")
    initialise(backbone, seed)
    save_model_folder(folder, backbone, replace(ModelCard("test_efficientnet", 64), **changes))
    return folder


def test_resume__with_another_teacher_of_the_same_name_is_refused(images: Manifest, tmp_path: Path) -> None:
    overrides = [*ALONE, f"distill.teacher={saved_teacher(tmp_path / 'teacher', 1)}", "run.samples=8"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    weights = trained_weights(tmp_path / "run")
    saved_teacher(tmp_path / "teacher", 2)
    with pytest.raises(
        RedDinoError, match=r"learns from .*teacher with the weights \w{16}, which are now \w{16}"
    ):
        run_micro(images, tmp_path / "run", overrides)
    saved_teacher(tmp_path / "teacher", 1)
    assert run_micro(images, tmp_path / "run", overrides).finished
    assert trained_weights(tmp_path / "run") == weights


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["distill.teacher=nowhere"], "model 'nowhere' is neither a folder, a weights file nor a known name"),
        ([VIT_TEACHER], r"56 px are not a multiple of the patch size 16.* distill\.image_size=64"),
        (
            [OTHER_VIT_TEACHER],
            r"of crops of 56 px \(Input height \(56\) doesn't match model \(160\)\).*distill.image_size",
        ),
        ([CNN_TEACHER, "distill.pooled=0", "distill.spatial=0"], "all weights of distill are 0"),
        ([CNN_TEACHER, "distill.guide=x"], "distill.guide: unknown key"),
        ([TWO_TEACHERS], "no feature map in common: set distill.spatial=0"),
        ([TWO_TEACHERS, "distill.spatial=0", "distill.image_size=[56, 56, 56]"], "as many sizes as teachers"),
        (["distill.teacher=[]"], "at least one teacher"),
        ([CNN_TEACHER, "distill.image_size=0"], r"distill\.image_size\.0: Input should be greater"),
        (["distill.teacher=3"], r"distill\.teacher\.0: Input should be a valid string"),
    ],
)
def test_teacher__that_does_not_fit_is_refused_in_a_sentence_before_anything_is_written(
    images: Manifest, tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(RedDinoError, match=words) as refused:
        run_micro(images, tmp_path / "run", [*ALONE, *overrides])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_recipe__without_any_loss_is_refused() -> None:
    with pytest.raises(RedDinoError, match="there is nothing to learn"):
        micro_recipe(ALONE)


@torch.no_grad()
def test_teacher__normalises_clean_crops_as_its_network_needs_them(images: Manifest, tmp_path: Path) -> None:
    changes = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.4, 0.3), "channel_order": "BGR"}
    folder = saved_teacher(tmp_path / "teacher", 1, **changes)
    recipe = micro_recipe([*ALONE, f"distill.teacher={folder}"])
    networks = build_networks(recipe)
    seen = input_of(recipe, images, networks)
    assert networks.distillation is not None
    pixels = clean_crops(seen).flip(-1).float() / 255
    expected = (pixels - torch.tensor((0.1, 0.2, 0.3))) / torch.tensor((0.5, 0.4, 0.3))
    backbone, _ = open_model_folder(folder)
    found, wanted = (
        networks.distillation.teacher.features(clean_crops(seen)).pooled,
        backbone.eval()(expected.permute(0, 3, 1, 2)).cls,
    )
    assert found is not None
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_teacher__stays_as_it_is(images: Manifest, tmp_path: Path) -> None:
    recipe = micro_recipe([*ALONE, CNN_TEACHER])
    networks = build_networks(recipe)
    assert networks.distillation is not None
    seen, teacher = input_of(recipe, images, networks), networks.distillation.teacher
    first = teacher.features(clean_crops(seen))
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)
    total_loss(losses, *recipe.loss_weights).backward()
    again = teacher.features(clean_crops(seen))
    assert first.pooled is not None and first.spatial is not None
    assert again.pooled is not None and again.spatial is not None
    assert not first.pooled.requires_grad and not first.spatial.requires_grad
    assert torch.equal(first.pooled, again.pooled) and torch.equal(first.spatial, again.spatial)
    learning = {name for name, p in networks.student.named_parameters() if p.grad is not None}
    assert {"guide_heads.pooled.weight", "guide_heads.spatial.bias", "backbone.vit.cls_token"} <= learning


def test_seen__of_the_teacher_is_seen_by_the_student(images: Manifest, tmp_path: Path) -> None:
    teacher = saved_teacher(tmp_path / "teacher", 1)
    write_seen(teacher, SeenImages(("elsewhere",), np.array([[5, 7]], np.uint64)))
    overrides = [*ALONE, f"distill.teacher={teacher}", "run.samples=4"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    seen = read_seen(tmp_path / "run" / "model")
    assert seen is not None and seen.complete
    assert set(seen.sources) == {"elsewhere", "near", "far"} and [5, 7] in seen.hashes.tolist()


def test_start__from_a_distilled_model_continues_with_dino_and_ibot(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_micro(images, tmp_path / "run", [*ALONE, CNN_TEACHER, "crops.global_size=84"]).finished
    start = f"model.start={tmp_path / 'run' / 'model'}"
    assert run_micro(images, tmp_path / "on", [start, "run.samples=4", "optim.lr=1e-12"]).finished
    assert "projection heads that fit" in caplog.text and "heads of a distillation" not in caplog.text
    before, after = (open_model_folder(tmp_path / run / "model")[0].state_dict() for run in ("run", "on"))
    name = "vit.blocks.0.attn.qkv.weight"
    torch.testing.assert_close(after[name], before[name], rtol=1e-5, atol=1e-6)


def test_start__takes_each_kind_of_heads_where_they_fit(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_micro(images, tmp_path / "run", ["run.samples=4"]).finished
    start = f"model.start={tmp_path / 'run' / 'model'}"
    student = build_networks(micro_recipe([start, CNN_TEACHER])).student
    saved = read_heads(tmp_path / "run" / "model")
    assert torch.equal(student.state_dict()["dino_head.prototypes"], saved["dino_head.prototypes"])
    assert "no heads of a distillation" in caplog.text and "projection heads" not in caplog.text


def test_heads__of_what_has_no_weight_are_not_made() -> None:
    tokens = Tokens(torch.ones(2, 192), torch.ones(2, 16, 192))
    for part, other in (("pooled", "spatial"), ("spatial", "pooled")):
        recipe = micro_recipe([*ALONE, CNN_TEACHER, f"distill.{other}=0"])
        teacher = open_teacher(recipe)
        assert teacher is not None
        predictions = FeaturePredictor(teacher, 192, 4, 192)(tokens)
        assert getattr(predictions, part) is not None and getattr(predictions, other) is None


def test_run__learns_from_two_networks_and_records_them(images: Manifest, tmp_path: Path) -> None:
    overrides = [*ALONE, TWO_TEACHERS, "distill.image_size=[56, 64]", "distill.spatial=0"]
    outcome = run_micro(images, tmp_path / "run", overrides)
    assert outcome.finished
    card = read_card(outcome.model)
    assert card.training["distilled_from"] == "untrained:test_efficientnet + untrained:test_vit"
    hashes = [
        open_backbone(f"untrained:{name}")[1].weights_hash for name in ("test_efficientnet", "test_vit")
    ]
    assert card.training["distilled_from_weights"] == " + ".join(hashes)
    dims = [open_backbone(f"untrained:{name}")[0].dim for name in ("test_efficientnet", "test_vit")]
    assert read_heads(outcome.model)["guide_heads.pooled.weight"].shape[0] == sum(dims)
