"""Distillation: what the guide says of clean crops, what the student guesses, and what a run makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from micro_run import draw_images, last_checkpoint, micro_recipe, run_micro, trained_weights

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.backbone import Tokens, create_backbone, initialise
from reddino.networks.catalogue import open_backbone
from reddino.networks.folder import ModelCard, open_model_folder, read_card, read_heads, save_model_folder
from reddino.networks.graph import normalise
from reddino.networks.seen import SeenImages, read_seen, write_seen
from reddino.pretraining import train as loop
from reddino.pretraining.branch import Branch
from reddino.pretraining.data.views import Views, make_views
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distillation.heads import GuideHeads, Standardiser, coarsened, guide_loss
from reddino.pretraining.distillation.teacher import open_guide
from reddino.pretraining.run.folder import read_metrics
from reddino.pretraining.run.recipe import Recipe
from reddino.smears.manifest import Manifest

HERE = Runtime(torch.device("cpu"), "fp32", 1)
ALONE = ("loss.dino=0", "loss.ibot=0", "crops.local_count=0", "model.drop_path=0")
CNN_GUIDE, VIT_GUIDE = "distill.teacher=untrained:test_efficientnet", "distill.teacher=untrained:test_vit"
TWO_GUIDES = "distill.teacher=[untrained:test_efficientnet, untrained:test_vit]"
#: One that our masked forward does not know, of 160 px and no other size.
OTHER_VIT_GUIDE = "distill.teacher=untrained:test_vit3"
CNN_STUDENT = ("model.backbone=test_resnet", "model.depth=null", "model.layer_scale=null")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("distillation") / "images")


def views_of(recipe: Recipe, manifest: Manifest, networks: StudentTeacher, step: int = 0) -> Views:
    cache = loop.open_cache(manifest, manifest.root / "cache")
    batch = next(iter(loop.make_stream(recipe, cache, step)))
    return make_views(batch, recipe, networks.student.backbone, networks.card, HERE)


def test_guide_loss__is_half_cosine_and_half_smooth_l1() -> None:
    rng = np.random.default_rng(0)
    targets, guesses = rng.normal(size=(2, 3, 5, 7)) * 2
    cosine = (targets * guesses).sum(-1)
    cosine /= np.linalg.norm(targets, axis=-1) * np.linalg.norm(guesses, axis=-1)
    off = np.abs(targets - guesses)
    smooth = np.where(off < 1, off**2 / 2, off - 0.5)
    found = guide_loss(torch.from_numpy(targets).float(), torch.from_numpy(guesses).float())
    assert float(found) == pytest.approx(0.5 * (1 - cosine).mean() + 0.5 * smooth.mean(), rel=1e-5)
    assert float(guide_loss(torch.ones(2, 3), torch.ones(2, 3))) == pytest.approx(0, abs=1e-6)


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
def test_losses__are_those_of_the_guides_words_on_the_clean_crops(images: Manifest) -> None:
    weights = ("distill.pooled=0.5", "distill.spatial=2")
    recipe = micro_recipe([*ALONE, CNN_GUIDE, "distill.image_size=64", *weights])
    networks = StudentTeacher(recipe)
    seen = views_of(recipe, images, networks)
    assert seen.clean_crops is not None and seen.clean_crops.shape == (8, 64, 64, 3)
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)

    guide, card = open_backbone("untrained:test_efficientnet")
    clean = normalise(seen.clean_crops, card.mean, card.std)
    features = guide.eval().network.forward_features(clean)
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

    expected = guide_loss(standard(pooled), heads.pooled(tokens.cls))
    torch.testing.assert_close(losses.guided["pooled"], expected, rtol=1e-3, atol=1e-4)
    expected_places = guide_loss(standard(places), heads.spatial(quarters))
    torch.testing.assert_close(losses.guided["spatial"], expected_places, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(losses.total, 0.5 * losses.guided["pooled"] + 2 * losses.guided["spatial"])


@pytest.mark.parametrize(
    ("guide", "size", "student"),
    [
        (CNN_GUIDE, "null", ()),
        (CNN_GUIDE, "96", CNN_STUDENT),
        (VIT_GUIDE, "64", ()),
        (VIT_GUIDE, "64", CNN_STUDENT),
        (OTHER_VIT_GUIDE, "160", ()),
    ],
)
def test_run__any_guide_teaches_any_student(
    images: Manifest, tmp_path: Path, guide: str, size: str, student: tuple[str, ...]
) -> None:
    sizes = f"distill.image_size={size}"
    overrides = [*ALONE, *student, guide, sizes, "runtime.log_every=1", "runtime.workers=1"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    for record in read_metrics(tmp_path / "run"):
        assert 0 < record["pooled_loss"] < 2 and 0 < record["spatial_loss"] < 2
        assert record["loss"] == pytest.approx(record["pooled_loss"] + record["spatial_loss"], rel=1e-5)
        assert record["rank"] > 1 and not record.keys() & {"target_entropy", "prototypes_used", "signs"}
    # The model is the student's network alone; the heads lie beside it, and the guide nowhere.
    open_model_folder(tmp_path / "run" / "model")
    saved = set(read_heads(tmp_path / "run" / "model")) - {"backbone.mask_token"}
    parts = ("pooled", "spatial")
    assert saved == {f"guide_heads.{part}.{name}" for part in parts for name in ("weight", "bias")}
    name = guide.partition("=")[2]
    backbone, card = open_backbone(name)
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    training = read_card(tmp_path / "run" / "model").training
    for content in (description, training):
        assert (content["distilled_from"], content["distilled_from_weights"]) == (name, card.weights_hash)
    networks = last_checkpoint(tmp_path / "run")["networks"]
    kept = {tuple(value.shape) for key, value in networks.items() if not key.startswith("student.backbone")}
    assert {"pooled_scale.total", "spatial_scale.total"} <= networks.keys()
    assert not any("guide." in key for key in networks)
    assert (backbone.dim,) in kept


def test_run__without_prototypes_computes_neither_heads_nor_teacher(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Branch.forward

    def student_alone(self: Branch, views: Views) -> object:
        assert self.training and views.clean_crops is not None
        return forward(self, views)

    monkeypatch.setattr(Branch, "forward", student_alone)
    overrides = [*ALONE, CNN_GUIDE, "head.prototypes=4096", "run.samples=40", "optim.ema_start=0.9"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    assert "prototypes" not in caplog.text and "ln K" not in caplog.text
    networks = last_checkpoint(tmp_path / "run")["networks"]
    assert not any("dino_head" in name or "ibot_head" in name for name in networks)
    name = "backbone.vit.blocks.0.attn.qkv.weight"
    start = StudentTeacher(micro_recipe(overrides)).student.state_dict()[name]
    assert (
        0
        < float((networks[f"teacher.{name}"] - start).norm())
        < float((networks[f"student.{name}"] - start).norm())
    )


def test_run__with_dino_and_ibot_has_all_losses(images: Manifest, tmp_path: Path) -> None:
    assert run_micro(images, tmp_path / "run", [CNN_GUIDE, "runtime.log_every=1"]).finished
    for record in read_metrics(tmp_path / "run"):
        terms = [record[f"{name}_loss"] for name in ("dino", "ibot", "pooled", "spatial")]
        assert min(terms) > 0 and record["loss"] == pytest.approx(sum(terms), rel=1e-5)
        assert record["prototypes_used"] > 0
    heads = read_heads(tmp_path / "run" / "model")
    assert {"dino_head.prototypes", "guide_heads.pooled.weight"} <= heads.keys()


@torch.no_grad()
def held_out_loss(networks: StudentTeacher, recipe: Recipe, manifest: Manifest) -> tuple[float, float]:
    """Pooled and spatial loss on images of which none was trained on, by the run's own statistics."""
    seen = views_of(recipe, manifest, networks)
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)
    return float(losses.guided["pooled"]), float(losses.guided["spatial"])


def test_student__comes_to_say_what_the_guide_says_of_images_never_seen(
    images: Manifest, tmp_path: Path
) -> None:
    overrides = [*ALONE, CNN_GUIDE, "run.batch=16", "run.samples=800", "optim.lr=4e-3"]
    overrides += ["augmentation.operations=[Blur, MultiplicativeNoise]", "augmentation.probability=0.5"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    recipe, others = micro_recipe(overrides), draw_images(tmp_path / "others", seed=1)
    networks = StudentTeacher(recipe)
    trained = last_checkpoint(tmp_path / "run")["networks"]
    scales = {name: value for name, value in trained.items() if "scale." in name}
    networks.load_state_dict(scales, strict=False)
    before = held_out_loss(networks, recipe, others)
    networks.load_state_dict(trained)
    after = held_out_loss(networks, recipe, others)
    assert after[0] < 0.85 * before[0] and after[1] < 0.85 * before[1], (before, after)


def saved_guide(folder: Path, seed: int, **changes: object) -> Path:
    backbone = create_backbone("test_efficientnet")
    initialise(backbone, seed)
    save_model_folder(folder, backbone, replace(ModelCard("test_efficientnet", 64), **changes))  # type: ignore[arg-type]
    return folder


def test_resume__with_another_guide_of_the_same_name_is_refused(images: Manifest, tmp_path: Path) -> None:
    overrides = [*ALONE, f"distill.teacher={saved_guide(tmp_path / 'guide', 1)}", "run.samples=8"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    weights = trained_weights(tmp_path / "run")
    saved_guide(tmp_path / "guide", 2)
    with pytest.raises(
        RedDinoError, match=r"learns from .*guide with the weights \w{16}, which are now \w{16}"
    ):
        run_micro(images, tmp_path / "run", overrides)
    saved_guide(tmp_path / "guide", 1)
    assert run_micro(images, tmp_path / "run", overrides).finished
    assert trained_weights(tmp_path / "run") == weights


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["distill.teacher=nowhere"], "model 'nowhere' is neither a folder, a weights file nor a known name"),
        ([VIT_GUIDE], r"16 px, of which 56 px are no .* distill\.image_size=64"),
        (
            [OTHER_VIT_GUIDE],
            r"of crops of 56 px: Input height \(56\) doesn't match model \(160\); .*distill.image_size",
        ),
        ([CNN_GUIDE, "distill.pooled=0", "distill.spatial=0"], "all weights of distill are 0"),
        ([CNN_GUIDE, "distill.guide=x"], "distill.guide: unknown key"),
        ([TWO_GUIDES], "no feature map in common: set distill.spatial=0"),
        ([TWO_GUIDES, "distill.spatial=0", "distill.image_size=[56, 56, 56]"], "as many sizes as teachers"),
        (["distill.teacher=[]"], "at least one teacher"),
        ([CNN_GUIDE, "distill.image_size=0"], r"distill\.image_size\.0: Input should be greater"),
        (["distill.teacher=3"], r"distill\.teacher\.0: Input should be a valid string"),
    ],
)
def test_guide__that_does_not_fit_is_refused_in_a_sentence_before_anything_is_written(
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
def test_guide__normalises_clean_crops_as_its_network_wants_them(images: Manifest, tmp_path: Path) -> None:
    changes = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.4, 0.3), "channel_order": "BGR"}
    folder = saved_guide(tmp_path / "guide", 1, **changes)
    recipe = micro_recipe([*ALONE, f"distill.teacher={folder}"])
    networks = StudentTeacher(recipe)
    seen = views_of(recipe, images, networks)
    assert seen.clean_crops is not None and networks.guide is not None
    pixels = seen.clean_crops.flip(-1).float() / 255
    expected = (pixels - torch.tensor((0.1, 0.2, 0.3))) / torch.tensor((0.5, 0.4, 0.3))
    backbone, _ = open_model_folder(folder)
    said, wanted = (
        networks.guide.says(seen.clean_crops).pooled,
        backbone.eval()(expected.permute(0, 3, 1, 2)).cls,
    )
    assert said is not None
    torch.testing.assert_close(said, wanted, rtol=1e-4, atol=1e-4)


def test_guide__stays_as_it_is(images: Manifest, tmp_path: Path) -> None:
    recipe = micro_recipe([*ALONE, CNN_GUIDE])
    networks = StudentTeacher(recipe)
    assert networks.guide is not None
    seen = views_of(recipe, images, networks)
    assert seen.clean_crops is not None
    first = networks.guide.says(seen.clean_crops)
    losses = networks.losses(networks.student(seen), networks.targets(seen, 0.04), seen)
    losses.total.backward()
    again = networks.guide.says(seen.clean_crops)
    assert first.pooled is not None and first.spatial is not None
    assert not first.pooled.requires_grad and not first.spatial.requires_grad
    assert torch.equal(first.pooled, again.pooled) and torch.equal(first.spatial, again.spatial)
    learning = {name for name, p in networks.student.named_parameters() if p.grad is not None}
    assert {"guide_heads.pooled.weight", "guide_heads.spatial.bias", "backbone.vit.cls_token"} <= learning


def test_seen__of_the_guide_is_seen_by_the_student(images: Manifest, tmp_path: Path) -> None:
    guide = saved_guide(tmp_path / "guide", 1)
    write_seen(guide, SeenImages(("elsewhere",), np.array([[5, 7]], np.uint64)))
    overrides = [*ALONE, f"distill.teacher={guide}", "run.samples=4"]
    assert run_micro(images, tmp_path / "run", overrides).finished
    seen = read_seen(tmp_path / "run" / "model")
    assert seen is not None and seen.complete
    assert set(seen.sources) == {"elsewhere", "near", "far"} and [5, 7] in seen.hashes.tolist()


def test_start__from_a_distilled_model_goes_on_with_dino_and_ibot(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_micro(images, tmp_path / "run", [*ALONE, CNN_GUIDE, "crops.global_size=84"]).finished
    start = f"model.start={tmp_path / 'run' / 'model'}"
    assert run_micro(images, tmp_path / "on", [start, "run.samples=4", "optim.lr=1e-12"]).finished
    assert "projection heads that fit" in caplog.text and "heads for the guide" not in caplog.text
    before, after = (open_model_folder(tmp_path / run / "model")[0].state_dict() for run in ("run", "on"))
    name = "vit.blocks.0.attn.qkv.weight"
    torch.testing.assert_close(after[name], before[name], rtol=1e-5, atol=1e-6)


def test_start__takes_each_kind_of_heads_where_they_fit(
    images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_micro(images, tmp_path / "run", ["run.samples=4"]).finished
    start = f"model.start={tmp_path / 'run' / 'model'}"
    student = StudentTeacher(micro_recipe([start, CNN_GUIDE])).student
    saved = read_heads(tmp_path / "run" / "model")
    assert torch.equal(student.state_dict()["dino_head.prototypes"], saved["dino_head.prototypes"])
    assert "no heads for the guide" in caplog.text and "projection heads" not in caplog.text


def test_heads__of_what_has_no_weight_are_not_made() -> None:
    tokens = Tokens(torch.ones(2, 192), torch.ones(2, 16, 192))
    for part, other in (("pooled", "spatial"), ("spatial", "pooled")):
        recipe = micro_recipe([*ALONE, CNN_GUIDE, f"distill.{other}=0"])
        guide = open_guide(recipe)
        assert guide is not None
        words = GuideHeads(guide, 192, 4, 192)(tokens)
        assert getattr(words, part) is not None and getattr(words, other) is None


def test_run__learns_from_two_networks_and_says_so(images: Manifest, tmp_path: Path) -> None:
    overrides = [*ALONE, TWO_GUIDES, "distill.image_size=[56, 64]", "distill.spatial=0"]
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
