"""Student and teacher: the input of each, the loss between them, and the EMA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from one_block import BATCH, apart, head_of, recipe
from torch import Tensor

from reddino.pretraining.build import build_networks
from reddino.pretraining.data.network_input import NetworkInput
from reddino.pretraining.dinov2 import StudentTeacher, Targets
from reddino.pretraining.losses import (
    centred_softmax,
    dino_loss,
    ibot_loss,
    koleo_loss,
    sinkhorn_knopp,
    total_loss,
)
from reddino.pretraining.masking import MaskedPatches, sample_masks

PATCHES = 16


def crops(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def views(masked: bool = True) -> NetworkInput:
    masks = sample_masks(0, np.arange(BATCH), 4, 0.5, (0.3, 0.5)).reshape(-1, PATCHES)
    hidden = MaskedPatches.of(masks, torch.device("cpu")) if masked else None
    return NetworkInput(crops(2 * BATCH, 56, 1), crops(2 * BATCH, 28, 2), hidden, None, None)


def losses_of(networks: StudentTeacher, seen: NetworkInput, targets: Targets) -> dict[str, Tensor]:
    return networks.losses(networks.student(seen), targets, seen)


def total_of(networks: StudentTeacher, losses: dict[str, Tensor]) -> Tensor:
    return total_loss(losses, *networks.recipe.loss_weights)


def test_teacher__starts_as_the_student_and_has_no_gradients() -> None:
    networks = build_networks(recipe())
    student, teacher = networks.student.state_dict(), networks.teacher.state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    assert student.keys() == teacher.keys()
    assert not any(parameter.requires_grad for parameter in networks.teacher.parameters())
    assert not networks.teacher.training
    targets = networks.targets(views(), 0.04)
    total_of(networks, losses_of(networks, views(), targets)).backward()
    assert all(parameter.grad is None for parameter in networks.teacher.parameters())
    assert all(parameter.grad is not None for parameter in networks.student.parameters())


@torch.no_grad()
def test_targets__balance_class_tokens_and_hidden_patches_separately() -> None:
    networks, seen = apart(build_networks(recipe())), views()
    assert seen.masked is not None
    targets = networks.targets(seen, 0.04)
    tokens = networks.teacher.backbone(seen.global_crops)
    cls = sinkhorn_knopp(head_of(networks.teacher)(tokens.cls), 0.04, 3)
    assert tokens.patches is not None
    hidden = tokens.patches[seen.masked.masks]
    assert len(hidden) == int(seen.masked.masks.sum()) > 0
    patches = sinkhorn_knopp(head_of(networks.teacher)(hidden), 0.04, 3)
    torch.testing.assert_close(targets.cls, cls.reshape(2, BATCH, 6))
    torch.testing.assert_close(targets.patches, patches)
    torch.testing.assert_close(targets.tokens, tokens.cls)


@torch.no_grad()
def test_targets__separate_heads_are_used_for_their_own_tokens() -> None:
    networks, seen = apart(build_networks(recipe(head={"shared": False}))), views()
    assert networks.teacher.ibot_head is not None and seen.masked is not None
    targets = networks.targets(seen, 0.04)
    tokens = networks.teacher.backbone(seen.global_crops)
    assert tokens.patches is not None
    hidden = tokens.patches[seen.masked.masks]
    torch.testing.assert_close(targets.patches, sinkhorn_knopp(networks.teacher.ibot_head(hidden), 0.04, 3))


@torch.no_grad()
def test_targets__moving_average_uses_the_centre_before_the_batch() -> None:
    loss = {"centering": "moving-average", "center_momentum": 0.75}
    networks, seen = apart(build_networks(recipe(loss=loss))), views()
    networks.dino_center.fill_(0.1)
    logits = head_of(networks.teacher)(networks.teacher.backbone(seen.global_crops).cls)
    targets = networks.targets(seen, 0.04)
    expected = centred_softmax(logits, torch.full((1, 6), 0.1), 0.04)
    assert targets.cls is not None
    torch.testing.assert_close(targets.cls.flatten(0, 1), expected)
    torch.testing.assert_close(networks.dino_center, 0.75 * 0.1 + 0.25 * logits.mean(dim=0, keepdim=True))
    assert float(networks.ibot_center.abs().max()) > 0


@torch.no_grad()
def test_losses__are_the_weighted_sum_of_the_terms() -> None:
    weights = {"dino": 0.5, "ibot": 2.0, "koleo": 0.1}
    networks, seen = apart(build_networks(recipe(loss=weights))), views()
    assert seen.masked is not None and seen.local_crops is not None
    targets = networks.targets(seen, 0.04)
    losses = losses_of(networks, seen, targets)
    student = networks.student
    tokens, local = student.backbone(seen.global_crops, seen.masked.masks), student.backbone(seen.local_crops)
    assert tokens.patches is not None and targets.cls is not None and targets.patches is not None
    dino = dino_loss(
        targets.cls,
        head_of(student)(tokens.cls).reshape(2, BATCH, 6),
        head_of(student)(local.cls).reshape(2, BATCH, 6),
        0.1,
    )
    hidden = head_of(student)(tokens.patches[seen.masked.masks])
    ibot = ibot_loss(targets.patches, hidden, seen.masked.weights, 2 * BATCH, 0.1)
    koleo = koleo_loss(tokens.cls[:BATCH]) + koleo_loss(tokens.cls[BATCH:])
    assert [name for name, loss in losses.items() if loss != 0] == ["dino", "ibot", "koleo"]
    torch.testing.assert_close(losses["dino"], dino)
    torch.testing.assert_close(losses["ibot"], ibot)
    torch.testing.assert_close(losses["koleo"], koleo)
    torch.testing.assert_close(total_of(networks, losses), 0.5 * dino + 2.0 * ibot + 0.1 * koleo)


@torch.no_grad()
def test_losses__without_masks_have_no_ibot_term() -> None:
    networks = build_networks(recipe(loss={"ibot": 0.0}))
    targets = networks.targets(views(masked=False), 0.04)
    losses = losses_of(networks, views(masked=False), targets)
    assert targets.patches is None
    assert float(losses["ibot"]) == float(losses["koleo"]) == 0.0
    assert float(total_of(networks, losses)) == float(losses["dino"]) > 0


def test_targets__are_of_the_crops_that_the_teacher_is_shown() -> None:
    networks = apart(build_networks(recipe()))
    shown = crops(2 * BATCH, 56, 7)
    found = networks.targets(replace(views(), teacher_crops=shown), 0.05)
    expected = networks.targets(replace(views(), global_crops=shown), 0.05)
    assert found.cls is not None and expected.cls is not None
    torch.testing.assert_close(found.cls, expected.cls)
    torch.testing.assert_close(found.patches, expected.patches)
    student = networks.student(replace(views(), teacher_crops=shown)).global_logits
    torch.testing.assert_close(student, networks.student(views()).global_logits)


def test_update_teacher__is_the_closed_form_after_several_steps() -> None:
    networks = apart(build_networks(recipe()))
    name = "dino_head.mlp.0.weight"
    start = networks.teacher.state_dict()[name].clone()
    students, momenta = [], [0.9, 0.95, 0.99]
    for i, momentum in enumerate(momenta):
        with torch.no_grad():
            networks.student.get_parameter(name).add_(0.1 * (i + 1))
        students.append(networks.student.get_parameter(name).detach().clone())
        networks.update_teacher(momentum)
    expected = start * 0.9 * 0.95 * 0.99
    expected += students[0] * 0.1 * 0.95 * 0.99 + students[1] * 0.05 * 0.99 + students[2] * 0.01
    torch.testing.assert_close(networks.teacher.state_dict()[name], expected)


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norm__statistics_move_unless_frozen_and_reach_the_teacher(frozen: bool) -> None:
    changes = {
        "backbone": "efficientnet_lite0",
        "depth": None,
        "layer_scale": None,
        "freeze_norm_statistics": frozen,
    }
    networks = build_networks(recipe(model=changes, loss={"ibot": 0.0}))
    name = "backbone.network.bn1.running_mean"
    before = networks.student.state_dict()[name].clone()
    seen = views(masked=False)
    losses_of(networks, seen, networks.targets(seen, 0.04))
    networks.update_teacher(0.9)
    after, teacher = networks.student.state_dict()[name], networks.teacher.state_dict()[name]
    assert torch.equal(after, before) == frozen
    assert torch.equal(teacher, after)
