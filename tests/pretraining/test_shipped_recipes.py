"""The recipes that ship: small, base and large hold the published figures, the others fit a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from reddino.pretraining.augmentation.pixel_operations import PixelOperations
from reddino.pretraining.run.recipe import Recipe, read_recipe, shipped_recipes

# Backbone and patches a GPU, from the paper's table.
PUBLISHED = {
    "small": ("vit_small_patch14_dinov2", 280),
    "base": ("vit_base_patch14_dinov2", 196),
    "large": ("vit_large_patch14_dinov2", 64),
}
# The 33 names of the published configuration file without FancyPCA, which at its strength there does nothing.
OPERATIONS = (
    "Blur CLAHE ChannelShuffle ChannelDropout ColorJitter Defocus Downscale Emboss Equalize "
    "GaussNoise GaussianBlur GlassBlur HueSaturationValue ISONoise ImageCompression InvertImg MedianBlur "
    "MotionBlur MultiplicativeNoise Posterize RandomBrightnessContrast RGBShift RandomGamma RandomRain "
    "RandomShadow RandomSnow RandomSunFlare RandomToneCurve RandomFog RingingOvershoot Sharpen Solarize"
)


def published(name: str) -> Recipe:
    return read_recipe(name)


def test_recipes__seven_ship() -> None:
    assert sorted(shipped_recipes()) == [
        *("base", "demo", "large", "reddino-tiny"),
        *("small", "vit-tiny-distilled", "vit-tiny-scratch"),
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published__network_and_batch(name: str) -> None:
    recipe = published(name)
    assert (recipe.model.backbone, recipe.run.batch) == PUBLISHED[name]
    assert (recipe.model.start, recipe.model.depth) == (f"dinov2-{name}", None)
    assert (recipe.model.layer_scale, recipe.model.drop_path) == (1e-5, 0.3)
    assert recipe.run.samples == 10 * 1_250_000


@pytest.mark.parametrize("name", PUBLISHED)
def test_published__views(name: str) -> None:
    recipe = published(name)
    assert (recipe.data.patch_side, recipe.data.patch_unit, recipe.data.layout) == (224, "px", "grid")
    assert recipe.data.max_cell_diameter is None
    crops = recipe.crops
    assert (crops.global_size, crops.global_scale) == (224, (0.32, 1.0))
    assert (crops.local_size, crops.local_scale, crops.local_count) == (98, (0.05, 0.32), 8)
    augmentation = recipe.augmentation
    assert " ".join(augmentation.operations) == OPERATIONS
    assert len(augmentation.operations) == 32
    assert (augmentation.choose, augmentation.probability) == (4, 0.85)
    assert augmentation.horizontal_flip == augmentation.vertical_flip == augmentation.quarter_turn == 0.85
    assert (recipe.masking.images, recipe.masking.patches) == (0.5, (0.1, 0.5))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published__heads_losses_and_temperatures(name: str) -> None:
    recipe = published(name)
    head, loss, temperature = recipe.head, recipe.loss, recipe.temperature
    assert (head.layers, head.hidden, head.bottleneck, head.prototypes) == (3, 2048, 256, 131_072)
    assert head.shared
    assert not head.center_output
    assert (loss.dino, loss.ibot, loss.koleo) == (1, 1, 0)
    assert (loss.centering, loss.sinkhorn_iterations) == ("sinkhorn", 3)
    assert (temperature.student, temperature.teacher_start, temperature.teacher_end) == (0.1, 0.04, 0.07)
    assert temperature.teacher_warmup < 1, "the teacher's temperature must reach its end within the run"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published__optimiser(name: str) -> None:
    optim = published(name).optim
    assert (optim.lr, optim.lr_end, optim.warmup) == (2e-4, 1e-6, 0.1 / 10)
    assert (optim.weight_decay, optim.weight_decay_end, optim.betas) == (0.04, 0.2, (0.9, 0.999))
    assert (optim.clip_gradient, optim.layer_decay, optim.patch_embed_lr) == (3.0, 1.0, 0.2)
    assert (optim.ema_start, optim.ema_end, optim.freeze_last_layer) == (0.994, 1.0, 0.0)


def test_published__differ_in_network_and_batch_alone() -> None:
    small, *others = (published(name).model_dump() for name in PUBLISHED)
    for other in others:
        other["model"] |= {key: small["model"][key] for key in ("backbone", "start")}
        other["run"]["batch"] = small["run"]["batch"]
        assert other == small


@pytest.mark.parametrize("name", ["vit-tiny-scratch", "demo", "vit-tiny-distilled"])
def test_small_machine__needs_no_hub_and_knows_its_operations(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.model.start in ("scratch", "efficientnet-lite0")
    assert recipe.distill is None or recipe.distill.teacher == ("efficientnet-lite0",)
    assert set(recipe.augmentation.operations) < set(OPERATIONS.split())
    PixelOperations(
        recipe.augmentation.operations, recipe.augmentation.choose, recipe.augmentation.probability
    )


def test_vit_tiny_distilled__makes_the_network_that_vit_tiny_scratch_continues_with() -> None:
    distilled, scratch = read_recipe("vit-tiny-distilled"), read_recipe("vit-tiny-scratch")
    for key in ("backbone", "depth", "layer_scale"):
        assert getattr(distilled.model, key) == getattr(scratch.model, key)
    assert distilled.augmentation == scratch.augmentation and distilled.data == scratch.data
    assert not distilled.has_prototypes and distilled.clean_size == 128


@pytest.mark.parametrize(
    ("former", "name"),
    [("tiny", "vit-tiny-scratch"), ("distill", "vit-tiny-distilled"), ("shipped", "reddino-tiny")],
)
def test_former_names__are_accepted_and_the_new_one_is_logged(
    former: str, name: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_recipe(former) == read_recipe(name)
    assert f"'{former}' is now called '{name}'" in caplog.text
    monkeypatch.chdir(tmp_path)
    Path(former).write_text(shipped_recipes()["demo"].read_text(encoding="utf-8"), encoding="utf-8")
    assert read_recipe(former) == read_recipe(name)  # as ever, a name that comes along precedes a file's


def test_recipes__each_opens_with_what_it_is() -> None:
    for path in shipped_recipes().values():
        assert Path(path).read_text(encoding="utf-8").startswith("# ")
