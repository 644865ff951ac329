"""The plan: counts against closed forms and against the whole network, hours and memory added up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from micro_run import draw_images, micro_recipe
from torch.utils.flop_counter import FlopCounterMode

from reddino.foundations.errors import RedDinoError
from reddino.networks.create_backbone import create_backbone
from reddino.pretraining.run import plan
from reddino.pretraining.run.plan import PretrainingPlan, make_plan
from reddino.pretraining.run.step_cost import COUNTED_HERE, Counts, at_full_depth, count_step
from reddino.smears.manifest import Manifest

PLAIN = ("model.drop_path=0", "loss.ibot=0")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_images(tmp_path_factory.mktemp("images"))


def test_counts__of_two_depths_extend_to_the_whole_network(images: Manifest) -> None:
    recipe = micro_recipe([*PLAIN, "model.depth=4"])
    extended = at_full_depth(recipe, lambda shallow: count_step(shallow, images))
    whole = count_step(recipe, images)
    assert extended.parameters == whole.parameters
    assert extended.flops == pytest.approx(whole.flops, rel=1e-9)
    assert extended.activations == pytest.approx(whole.activations, rel=0.02)


def test_counts__a_block_costs_what_its_products_cost(images: Manifest) -> None:
    one, two = (count_step(micro_recipe([*PLAIN, f"model.depth={depth}"]), images) for depth in (1, 2))
    dim = 192

    def forward(tokens: int) -> int:
        return 2 * tokens * 12 * dim**2 + 2 * 2 * tokens**2 * dim  # weights; attention

    teacher, student = 2 * forward(17), 2 * forward(17) + 2 * forward(5)
    # The backward pass multiplies twice for each product of the forward one.
    assert two.flops - one.flops == pytest.approx(teacher + 3 * student, rel=1e-6)
    weights = 12 * dim**2 + 9 * dim + 2 * 2 * dim + 2 * dim  # products, biases, norms, LayerScale
    assert two.parameters - one.parameters == weights


def test_counts__of_a_distillation_teacher_are_those_of_its_forward_pass(images: Manifest) -> None:
    alone = (
        "loss.dino=0",
        "crops.local_count=0",
        "distill.teacher=untrained:vit_tiny_patch14",
        "distill.spatial=0",
    )
    sizes = {places: f"distill.image_size={14 * places}" for places in (4, 2)}
    large, small = (count_step(micro_recipe([*PLAIN, *alone, size]), images) for size in sizes.values())
    dim = 192

    def forward(places: int) -> int:
        tokens = places**2 + 1
        block = 2 * tokens * 12 * dim**2 + 2 * 2 * tokens**2 * dim
        return 12 * block + 2 * places**2 * 3 * 14**2 * dim  # and the patch embedding

    assert large.flops - small.flops == pytest.approx(2 * (forward(4) - forward(2)), rel=1e-6)
    teacher = create_backbone("vit_tiny_patch14", image_size=56)
    assert large.frozen == sum(parameter.numel() for parameter in teacher.parameters())
    made = make_plan(micro_recipe([*PLAIN, *alone, sizes[4]]), device_kind="100/16")
    assert made.memory["distillation teacher"] == pytest.approx(4 * large.frozen / 1e9)
    assert "(forward, backward, distillation teacher, heads)" in made.text()


def test_plan__of_a_device_that_is_not_here_is_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "count_step", lambda recipe, images: Counts(1e8, 1e11, 5e8))
    made = make_plan(micro_recipe(["model.depth=1"]), devices=2, device_kind="100/16", samples=720_000)
    assert made.samples_per_second == pytest.approx(0.3 * 100e12 / 1e11)
    assert made.hours == pytest.approx(720_000 / 600 / 3600)
    assert made.memory["weights"] == pytest.approx(0.4) and made.memory["Adam"] == pytest.approx(0.8)
    assert made.samples_a_device == 2 and made.memory["activations"] == pytest.approx(1.0)
    assert "does not fit" not in made.text() and "30%" in made.text()
    small = make_plan(micro_recipe(["model.depth=1"]), device_kind="100/2")
    assert "does not fit" in small.text()


def test_plan__measures_a_probe_and_a_real_run(images: Manifest) -> None:
    made = make_plan(micro_recipe(["run.samples=400"]), check=images)
    assert made.samples_per_second > 0 and made.measured is not None and made.measured > 0
    error = 100 * (made.samples_per_second / made.measured - 1)
    assert f"{error:+.1f} % off" in made.text()


def test_check__says_how_far_off_the_plan_was() -> None:
    values = (micro_recipe(), Counts(1, 1, 1), 10, 1, "this", 11.0, "measured", None, 10.0)
    assert "+10.0 % off" in PretrainingPlan(*values).text()


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_counts__a_convolution_in_groups_costs_three_times_its_forward_pass(groups: int) -> None:
    layer = torch.nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False)
    images = torch.zeros(2, 8, 10, 10, requires_grad=True)
    with FlopCounterMode(display=False, custom_mapping=COUNTED_HERE) as counter:
        layer(images).sum().backward()
    forward = 2 * 2 * 100 * 8 * (8 // groups) * 9
    assert counter.get_total_flops() == 3 * forward


def test_plan__of_a_recipe_that_cuts_around_cells() -> None:
    for size in (["data.patch_unit=diameters", "data.patch_side=2"], ["data.patch_unit=um"]):
        assert make_plan(micro_recipe(["data.layout=cells", *size])).samples_per_second > 0


def test_plan__without_the_teacher_where_its_features_are_precomputed() -> None:
    distilled = [
        "loss.dino=0",
        "loss.ibot=0",
        "data.layout=cells",
        "data.patch_unit=diameters",
        "data.patch_side=2",
        "distill.teacher=untrained:test_efficientnet",
        "distill.spatial=0",
    ]
    each, once = (make_plan(micro_recipe([*distilled, *more])) for more in ([], ["distill.once=true"]))
    assert once.counts.flops < each.counts.flops
    assert "distillation teacher, heads" in each.text() and "beforehand" not in each.text()
    assert "distillation teacher, heads" not in once.text() and "beforehand" in once.text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device_kind": "abacus"}, "abacus"),
        ({"device_kind": "0/80"}, "0/80"),
        ({"devices": 0}, "at least one"),
        ({"samples": 0}, "at least one"),
    ],
)
def test_bad_options__are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RedDinoError, match=words):
        make_plan(micro_recipe(), **options)


def test_check__on_another_device_is_refused(images: Manifest, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="this machine only"):
        make_plan(micro_recipe(), device_kind="a100", check=images)
