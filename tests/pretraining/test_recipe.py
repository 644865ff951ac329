"""Recipes: typed, strict, and overridden by dotted keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_yaml
from reddino.networks.create_backbone import create_backbone, is_vit
from reddino.pretraining.augmentation.pixel_operations import PixelOperations
from reddino.pretraining.run.recipe import dump_recipe, make_recipe, read_recipe, shipped_recipes

MINIMAL: dict[str, Any] = {
    "model": {"backbone": "vit_tiny_patch14"},
    "augmentation": {"operations": ["Blur"], "choose": 1},
    "run": {"samples": 100, "batch": 10},
}


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipe__is_valid_and_could_run(name: str) -> None:
    recipe = read_recipe(name)
    operations = recipe.augmentation
    PixelOperations(operations.operations, operations.choose, operations.probability)
    depth = 1 if is_vit(recipe.model.backbone) else None
    backbone = create_backbone(recipe.model.backbone, image_size=recipe.crops.global_size, depth=depth)
    patch = getattr(backbone, "patch_size", 1)
    assert recipe.crops.global_size % patch == recipe.crops.local_size % patch == 0
    assert recipe.steps > 0


def test_shipped_recipes__include_the_tiny_one() -> None:
    assert "vit-tiny-scratch" in shipped_recipes()


def test_steps__leave_out_an_incomplete_batch() -> None:
    assert make_recipe({**MINIMAL, "run": {"samples": 109, "batch": 10}}, "r").steps == 10


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"optim": {"learning_rate": 1e-4}}, "optim.learning_rate: unknown key"),
        ({"runtime": {"gpus": 2}}, "runtime.gpus: unknown key"),
        ({"teacher": {"momentum": 0.9}}, "teacher: unknown key"),
        ({"optim": {"lr": -1.0}}, r"optim\.lr: Input should be greater than 0"),
        ({"optim": {"ema_end": 1.5}}, r"optim\.ema_end: .*less than or equal to 1"),
        ({"model": {}}, r"model\.backbone: Field required"),
        ({"masking": {"patches": [0.1]}}, r"masking\.patches"),
        ({"loss": {"centering": "sinkhorn-knopp"}}, r"loss\.centering: .*'sinkhorn' or 'moving-average'"),
        ({"run": {"samples": 100, "batch": 10, "accumulate": 3}}, r"run\.batch=10 cannot be split"),
        ({"run": {"samples": 9, "batch": 10}}, r"run\.samples=9 is less than one batch"),
        ({"loss": {"dino": 0, "ibot": 0}}, "nothing to learn"),
    ],
)
def test_make_recipe__names_the_key(content: dict[str, Any], key: str) -> None:
    with pytest.raises(RedDinoError, match=f"recipe mine: .*{key}"):
        make_recipe({**MINIMAL, **content}, "mine")


def test_make_recipe__says_how_many_more_faults_there_are() -> None:
    with pytest.raises(RedDinoError, match=r"optim\.one: unknown key \(1 more\)"):
        make_recipe({**MINIMAL, "optim": {"one": 1, "two": 2}}, "mine")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("optim.lr=1e-4", "optim", "lr", 1e-4),
        ("optim.lr=2E-3", "optim", "lr", 2e-3),
        ("optim.betas=[0.8, 0.95]", "optim", "betas", (0.8, 0.95)),
        ("masking.patches=[1e-1,0.4]", "masking", "patches", (0.1, 0.4)),
        ("augmentation.operations=[Blur, CLAHE, Emboss, Sharpen]", "augmentation", "operations",
         ("Blur", "CLAHE", "Emboss", "Sharpen")),
        ("data.max_cell_diameter=null", "data", "max_cell_diameter", None),
        ("head.shared=false", "head", "shared", False),
        ("model.start=runs/a=b/model", "model", "start", "runs/a=b/model"),
        ("model.backbone=vit_small_patch14_dinov2", "model", "backbone", "vit_small_patch14_dinov2"),
        ("run.samples=200000", "run", "samples", 200_000),
    ],
)  # fmt: skip
def test_override__sets_one_key(override: str, section: str, key: str, value: object) -> None:
    changed, before = (
        read_recipe("vit-tiny-scratch", [override]).model_dump(),
        read_recipe("vit-tiny-scratch").model_dump(),
    )
    assert changed[section][key] == value
    changed[section][key] = before[section][key]
    assert changed == before


def test_override__of_the_seed_and_of_a_section_that_the_file_lacks(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(MINIMAL))
    recipe = read_recipe(tmp_path / "r.yaml", ["seed=3", "masking.images=0.25"])
    assert (recipe.seed, recipe.masking.images) == (3, 0.25)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optim.lr", "is not of the form"),
        ("=3", "is not of the form"),
        ("optim.rate=3", r"optim\.rate: unknown key"),
        ("seed.lr=3", "'seed' is a value, not a section"),
        ("optim.betas=[0.8", "cannot be read as YAML"),
        ("optim.lr=fast", r"optim\.lr: Input should be a valid number"),
    ],
)
def test_override__refuses_what_does_not_fit(override: str, sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        read_recipe("vit-tiny-scratch", [override])


def test_read_recipe__refuses_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"'tinny' is neither a file nor .*tiny"):
        read_recipe("tinny")
    (tmp_path / "bad.yaml").write_text("model: [")
    with pytest.raises(RedDinoError, match=r"bad\.yaml cannot be read as YAML"):
        read_recipe(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RedDinoError, match=r"list\.yaml does not hold an object"):
        read_recipe(tmp_path / "list.yaml")


def test_override__of_a_section_that_was_written_as_left_out(tmp_path: Path) -> None:
    """As a run folder writes the recipe of a run without a guide."""
    (tmp_path / "recipe.yaml").write_text(dump_recipe(read_recipe("vit-tiny-scratch")))
    recipe = read_recipe(tmp_path / "recipe.yaml", ["distill.teacher=resnet50", "distill.spatial=0"])
    assert recipe.distill is not None
    assert (recipe.distill.teacher, recipe.distill.spatial, recipe.distill.pooled) == (("resnet50",), 0, 1)
    assert (
        recipe.clean_size == recipe.crops.global_size and read_recipe("vit-tiny-scratch").clean_size is None
    )


def test_override__of_an_empty_section_is_a_sentence_or_works(tmp_path: Path) -> None:
    # `masking:` with nothing under it is None in YAML.
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**MINIMAL, "masking": None}))
    with pytest.raises(RedDinoError, match="masking"):
        read_recipe(tmp_path / "r.yaml")
    assert read_recipe(tmp_path / "r.yaml", ["masking.images=0.25"]).masking.images == 0.25


@pytest.mark.parametrize("name", shipped_recipes())
def test_dump_recipe__is_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    recipe = read_recipe(name, ["optim.lr=1e-7", "optim.lr_end=3.3e-9"])
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe))
    assert read_recipe(tmp_path / "r.yaml") == recipe


def number_fields() -> list[tuple[str, ...]]:
    """Where a recipe with every section holds a fraction or a length, alone or in a list or mapping."""
    distilled = {"teacher": "scratch", "spatial": 0}
    content = {**MINIMAL, "distill": distilled, "model": {**MINIMAL["model"], "layer_scale": 0.5}}
    content["data"] = {"max_cell_diameter": 40.0}
    content["augmentation"] = {**MINIMAL["augmentation"], "strengths": {"Blur": 0.5}}
    found: list[tuple[str, ...]] = []

    def walk(value: Any, *keys: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, *keys, key)
        elif isinstance(value, float) or (
            isinstance(value, list | tuple) and value and isinstance(value[0], float)
        ):
            found.append(keys)

    walk(make_recipe(content, "r").model_dump())
    return found


@pytest.mark.parametrize("keys", number_fields(), ids=".".join)
@pytest.mark.parametrize("wrong", [float("inf"), float("nan"), float("-inf")])
def test_make_recipe__refuses_numbers_that_are_not_finite(keys: tuple[str, ...], wrong: float) -> None:
    content: dict[str, Any] = {**MINIMAL, "distill": {"teacher": "scratch", "spatial": 0}}
    section, key = keys[:2]
    pair = isinstance(make_recipe(content, "r").model_dump()[section].get(key), tuple)
    value: Any = (0.1, wrong) if pair else {keys[2]: wrong} if len(keys) > 2 else wrong
    content[section] = {**content.get(section, {}), key: value}
    with pytest.raises(RedDinoError, match=rf"{section}\.{key}.*finite|{section}\.{key}.*(less|greater)"):
        make_recipe(content, "r")


def test_override__refuses_infinity(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"optim\.lr=\.inf.*: the number \.inf is not finite"):
        read_recipe("vit-tiny-scratch", ["optim.lr=.inf"])


def test_former_key__in_a_file_or_an_override_is_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = yaml.safe_load(dump_recipe(read_recipe("demo")))
    content["runtime"]["score_every"] = content.pop("online")["every"]
    former = tmp_path / "former.yaml"
    former.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_recipe(former) == read_recipe("demo") == make_recipe(content, "test")
    for override in ("runtime.score_every=7", "online.every=7"):
        assert read_recipe(former, [override]).online.every == 7
    assert "runtime.score_every is now called online.every" in caplog.text


def test_read_recipe__a_later_override_by_a_former_key_wins(tmp_path: Path) -> None:
    assert read_recipe("vit-tiny-scratch", ["runtime={score_every: 7, workers: 0}"]).online.every == 7
    assert read_recipe("vit-tiny-scratch", ["online.every=7", "runtime.score_every=9"]).online.every == 9
    with pytest.raises(RedDinoError, match="online"):
        read_recipe("vit-tiny-scratch", ["runtime.score_every.x=3"])
    recipe = read_yaml(shipped_recipes()["vit-tiny-scratch"])
    for wrong in ({"online": 3}, {"online": {"every": 5}}):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe | {"runtime": {"score_every": 7}} | wrong))
        with pytest.raises(RedDinoError, match=r"online|runtime\.score_every"):
            read_recipe(path)
