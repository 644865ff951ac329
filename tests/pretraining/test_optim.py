"""Parameter groups: rates and decays of each parameter, against DINOv2's rules written out."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from one_block import head_of
from torch import nn

from reddino.networks.create_backbone import create_backbone
from reddino.pretraining.dinov2 import Branch
from reddino.pretraining.optim import apply_schedule, layer_of, make_optimizer, parameter_groups
from reddino.pretraining.run.recipe import Recipe, make_recipe
from reddino.pretraining.run.recipe_sections import OptimSection
from reddino.pretraining.schedules import StepValues

DEPTH = 3
RATES = OptimSection(layer_decay=0.8, patch_embed_lr=0.2, backbone_lr=0.5)
HEADS_FIRST = RATES.model_copy(update={"head_warmup": 0.1})
VALUES = StepValues(
    lr=0.01,
    backbone_lr=0.001,
    last_layer_lr=0.0,
    weight_decay=0.1,
    ema_momentum=0.99,
    teacher_temperature=0.04,
)


def recipe(backbone: str = "vit_tiny_patch14", **loss: Any) -> Recipe:
    content = {
        "model": {"backbone": backbone},
        "augmentation": {"operations": ["Blur"], "choose": 1},
        "head": {"hidden": 8, "bottleneck": 4, "prototypes": 6, "shared": False},
        "loss": loss,
        "run": {"samples": 8, "batch": 4},
    }
    return make_recipe(content, "test")


@pytest.fixture(scope="module")
def student() -> Branch:
    return Branch(create_backbone("vit_tiny_patch14", image_size=42, depth=DEPTH), recipe())


def by_name(student: Branch, optim: OptimSection) -> dict[str, dict[str, Any]]:
    """Name of each parameter -> its group."""
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    return {
        names[id(parameter)]: group
        for group in parameter_groups(student, optim)
        for parameter in group["params"]
    }


def expected_rate(name: str) -> float:
    """Embeddings are layer 0, block i is i + 1, the last norm DEPTH + 1; heads are no part of it."""
    if not name.startswith("backbone."):
        return 1.0
    block = re.search(r"blocks\.(\d+)\.", name)
    layer = int(block[1]) + 1 if block else DEPTH + 1 if ".norm." in name else 0
    rate = 0.5 * 0.8 ** (DEPTH + 1 - layer)
    return rate * 0.2 if "patch_embed" in name else rate


def test_groups__hold_each_parameter_exactly_once(student: Branch) -> None:
    grouped = [id(p) for group in parameter_groups(student, RATES) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in student.parameters())
    assert len(set(grouped)) == len(grouped)


def test_groups__rates_follow_the_formula(student: Branch) -> None:
    groups = by_name(student, RATES)
    rates = {name: group["rate_multiplier"] for name, group in groups.items()}
    assert rates == pytest.approx({name: expected_rate(name) for name in groups})
    assert rates["backbone.vit.patch_embed.proj.weight"] == pytest.approx(0.5 * 0.8**4 * 0.2)
    assert rates["backbone.mask_token"] == pytest.approx(0.5 * 0.8**4)


def test_groups__published_rates_only_slow_the_patch_embedding(student: Branch) -> None:
    rates = {name: group["rate_multiplier"] for name, group in by_name(student, OptimSection()).items()}
    slow = {name for name, rate in rates.items() if rate != 1.0}
    assert slow == {"backbone.vit.patch_embed.proj.weight", "backbone.vit.patch_embed.proj.bias"}
    assert rates["backbone.vit.patch_embed.proj.weight"] == pytest.approx(0.2)


def test_groups__no_decay_on_biases_norms_and_layer_scale(student: Branch) -> None:
    def spared(name: str) -> bool:
        return name.endswith(".bias") or ".norm" in name or name.endswith(".gamma")

    groups = by_name(student, RATES)
    assert {name: group["decays"] for name, group in groups.items()} == {
        name: not spared(name) for name in groups
    }
    decaying = {name for name, group in groups.items() if group["decays"]}
    assert {"backbone.mask_token", "backbone.vit.pos_embed", "dino_head.prototypes"} <= decaying


def test_groups__of_a_cnn_spare_its_batch_norms() -> None:
    cnn = Branch(create_backbone("efficientnet_lite0"), recipe("efficientnet_lite0", ibot=0.0))
    norms = {
        f"{name}.{kind}"
        for name, module in cnn.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }
    groups = by_name(cnn, RATES)
    assert norms
    assert not any(groups[name]["decays"] for name in norms)
    assert {group["rate_multiplier"] for name, group in groups.items() if name.startswith("backbone.")} == {
        0.5
    }


def test_groups__last_layers_are_the_prototypes(student: Branch) -> None:
    last = {name for name, group in by_name(student, RATES).items() if group["last_layer"]}
    assert last == {"dino_head.prototypes", "ibot_head.prototypes"}


def test_apply_schedule__sets_rate_and_decay_of_each_group(student: Branch) -> None:
    optimizer = make_optimizer(student, HEADS_FIRST)
    apply_schedule(optimizer, VALUES)
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            rate = (0.001 if name.startswith("backbone.") else 0.01) * expected_rate(name)
            rate = 0.0 if name.endswith("prototypes") else rate
            assert group["lr"] == pytest.approx(rate)
            assert group["weight_decay"] == (0.1 if group["decays"] else 0.0)


def test_groups__without_head_warmup_number_parameters_as_earlier_checkpoints_do() -> None:
    # The published rates, at which the last norm of the backbone and the heads' biases share a group.
    branch = Branch(create_backbone("vit_tiny_patch14", image_size=42, depth=1), recipe(ibot=0.0))
    names = {id(parameter): name for name, parameter in branch.named_parameters()}
    groups = [
        [names[id(parameter)] for parameter in group["params"]]
        for group in parameter_groups(branch, OptimSection())
    ]
    (shared,) = (group for group in groups if "backbone.vit.norm.weight" in group)
    assert shared[-2:] == ["dino_head.mlp.2.bias", "dino_head.mlp.4.bias"]
    assert [group[0].partition(".")[0] for group in groups] == ["backbone"] * 4 + ["dino_head"]
    assert len(parameter_groups(branch, OptimSection(head_warmup=0.1))) > len(groups)


def test_make_optimizer__steps_as_adamw_by_hand(student: Branch) -> None:
    optimizer = make_optimizer(student, OptimSection(betas=(0.9, 0.99)))
    apply_schedule(optimizer, VALUES)
    weight = head_of(student).get_parameter("mlp.0.weight")
    before, gradient = weight.detach().clone(), torch.randn_like(weight)
    weight.grad = gradient.clone()
    optimizer.step()
    weight.grad = None
    # After one step both moments' bias corrections cancel: the step is lr * g / |g|, beside the decay.
    expected = before * (1 - 0.01 * 0.1) - 0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("backbone.vit.cls_token", 0),
        ("backbone.mask_token", 0),
        ("backbone.vit.blocks.0.attn.qkv.weight", 1),
        ("backbone.vit.blocks.11.ls2.gamma", 12),
        ("backbone.vit.norm.weight", 13),
    ],
)
def test_layer_of__numbers_as_dinov2_does(name: str, layer: int) -> None:
    assert layer_of(name, 12) == layer
