"""Student and teacher: what each sees, the loss between them, the EMA, and drop path's plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import ViTBackbone
from reddino.networks.blocks import Kept
from reddino.networks.folder import save_model_folder
from reddino.pretraining.centering import centred_softmax, sinkhorn_knopp
from reddino.pretraining.data.views import Views, drop_path_plan
from reddino.pretraining.dinov2 import Losses, StudentTeacher, Targets
from reddino.pretraining.losses import dino_loss, ibot_loss, koleo_loss
from reddino.pretraining.masking import MaskedPatches, sample_masks
from reddino.pretraining.run.recipe import Recipe, make_recipe

BATCH, PATCHES = 3, 16


def recipe(**sections: dict[str, Any]) -> Recipe:
    """A one-block ViT on 56 and 28 px."""
    content: dict[str, Any] = {
        "model": {"backbone": "vit_tiny_patch14", "depth": 1, "layer_scale": 0.1, "drop_path": 0.0},
        "crops": {"global_size": 56, "local_size": 28, "local_count": 2},
        "augmentation": {"operations": ["Blur"], "choose": 1},
        "head": {"hidden": 8, "bottleneck": 4, "prototypes": 6},
        "run": {"samples": 12, "batch": BATCH},
    }
    for section, keys in sections.items():
        content[section] = {**content.get(section, {}), **keys}
    return make_recipe(content, "test")


def crops(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def views(masked: bool = True) -> Views:
    masks = sample_masks(0, np.arange(BATCH), 4, 0.5, (0.3, 0.5)).reshape(-1, PATCHES)
    hidden = MaskedPatches.of(masks, torch.device("cpu")) if masked else None
    return Views(crops(2 * BATCH, 56, 1), crops(2 * BATCH, 28, 2), hidden, None, None)


def losses_of(networks: StudentTeacher, seen: Views, targets: Targets) -> Losses:
    return networks.losses(networks.student(seen), targets, seen)


def apart(networks: StudentTeacher) -> StudentTeacher:
    """Move the teacher away from the student, as training does, and give it a mask token."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return networks


def test_teacher__starts_as_the_student_and_has_no_gradients() -> None:
    networks = StudentTeacher(recipe())
    student, teacher = networks.student.state_dict(), networks.teacher.state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    assert student.keys() == teacher.keys()
    assert not any(parameter.requires_grad for parameter in networks.teacher.parameters())
    assert not networks.teacher.training
    targets = networks.targets(views(), 0.04)
    losses_of(networks, views(), targets).total.backward()
    assert all(parameter.grad is None for parameter in networks.teacher.parameters())
    assert all(parameter.grad is not None for parameter in networks.student.parameters())


@torch.no_grad()
def test_targets__balance_class_tokens_and_hidden_patches_separately() -> None:
    networks, seen = apart(StudentTeacher(recipe())), views()
    assert seen.masked is not None
    targets = networks.targets(seen, 0.04)
    tokens = networks.teacher.backbone(seen.global_crops)
    cls = sinkhorn_knopp(networks.teacher.dino_head(tokens.cls), 0.04, 3)
    assert tokens.patches is not None
    hidden = tokens.patches[seen.masked.masks]
    assert len(hidden) == int(seen.masked.masks.sum()) > 0
    patches = sinkhorn_knopp(networks.teacher.dino_head(hidden), 0.04, 3)
    torch.testing.assert_close(targets.cls, cls.reshape(2, BATCH, 6))
    torch.testing.assert_close(targets.patches, patches)
    torch.testing.assert_close(targets.tokens, tokens.cls)


@torch.no_grad()
def test_targets__separate_heads_are_used_for_their_own_tokens() -> None:
    networks, seen = apart(StudentTeacher(recipe(head={"shared": False}))), views()
    assert networks.teacher.ibot_head is not None and seen.masked is not None
    targets = networks.targets(seen, 0.04)
    tokens = networks.teacher.backbone(seen.global_crops)
    assert tokens.patches is not None
    hidden = tokens.patches[seen.masked.masks]
    torch.testing.assert_close(targets.patches, sinkhorn_knopp(networks.teacher.ibot_head(hidden), 0.04, 3))


@torch.no_grad()
def test_targets__moving_average_uses_the_centre_before_the_batch() -> None:
    loss = {"centering": "moving-average", "center_momentum": 0.75}
    networks, seen = apart(StudentTeacher(recipe(loss=loss))), views()
    networks.dino_center.fill_(0.1)
    logits = networks.teacher.dino_head(networks.teacher.backbone(seen.global_crops).cls)
    targets = networks.targets(seen, 0.04)
    expected = centred_softmax(logits, torch.full((1, 6), 0.1), 0.04)
    torch.testing.assert_close(targets.cls.flatten(0, 1), expected)
    torch.testing.assert_close(networks.dino_center, 0.75 * 0.1 + 0.25 * logits.mean(dim=0, keepdim=True))
    assert float(networks.ibot_center.abs().max()) > 0


@torch.no_grad()
def test_losses__are_the_weighted_sum_of_the_terms() -> None:
    weights = {"dino": 0.5, "ibot": 2.0, "koleo": 0.1}
    networks, seen = apart(StudentTeacher(recipe(loss=weights))), views()
    assert seen.masked is not None and seen.local_crops is not None
    targets = networks.targets(seen, 0.04)
    losses = losses_of(networks, seen, targets)
    student = networks.student
    tokens, local = student.backbone(seen.global_crops, seen.masked.masks), student.backbone(seen.local_crops)
    assert tokens.patches is not None and targets.patches is not None
    dino = dino_loss(
        targets.cls,
        student.dino_head(tokens.cls).reshape(2, BATCH, 6),
        student.dino_head(local.cls).reshape(2, BATCH, 6),
        0.1,
    )
    hidden = student.dino_head(tokens.patches[seen.masked.masks])
    ibot = ibot_loss(targets.patches, hidden, seen.masked.weights, 2 * BATCH, 0.1)
    koleo = koleo_loss(tokens.cls[:BATCH]) + koleo_loss(tokens.cls[BATCH:])
    torch.testing.assert_close(losses.dino, dino)
    torch.testing.assert_close(losses.ibot, ibot)
    torch.testing.assert_close(losses.koleo, koleo)
    torch.testing.assert_close(losses.total, 0.5 * dino + 2.0 * ibot + 0.1 * koleo)


@torch.no_grad()
def test_losses__without_masks_have_no_ibot_term() -> None:
    networks = StudentTeacher(recipe(loss={"ibot": 0.0}))
    targets = networks.targets(views(masked=False), 0.04)
    losses = losses_of(networks, views(masked=False), targets)
    assert targets.patches is None
    assert float(losses.ibot) == float(losses.koleo) == 0.0
    assert float(losses.total) == float(losses.dino) > 0


def test_targets__are_of_the_crops_that_the_teacher_is_shown() -> None:
    networks = apart(StudentTeacher(recipe()))
    shown = crops(2 * BATCH, 56, 7)
    found = networks.targets(replace(views(), teacher_crops=shown), 0.05)
    expected = networks.targets(replace(views(), global_crops=shown), 0.05)
    assert found.cls is not None and expected.cls is not None
    torch.testing.assert_close(found.cls, expected.cls)
    torch.testing.assert_close(found.patches, expected.patches)
    student = networks.student(replace(views(), teacher_crops=shown)).global_logits
    torch.testing.assert_close(student, networks.student(views()).global_logits)


def test_update_teacher__is_the_closed_form_after_several_steps() -> None:
    networks = apart(StudentTeacher(recipe()))
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
    networks = StudentTeacher(recipe(model=changes, loss={"ibot": 0.0}))
    name = "backbone.network.bn1.running_mean"
    before = networks.student.state_dict()[name].clone()
    seen = views(masked=False)
    losses_of(networks, seen, networks.targets(seen, 0.04))
    networks.update_teacher(0.9)
    after, teacher = networks.student.state_dict()[name], networks.teacher.state_dict()[name]
    assert torch.equal(after, before) == frozen
    assert torch.equal(teacher, after)


def test_networks__refuse_ibot_without_tokens() -> None:
    with pytest.raises(RedDinoError, match=r"'efficientnet_lite0' has no patch tokens.*set loss\.ibot=0"):
        StudentTeacher(recipe(model={"backbone": "efficientnet_lite0", "depth": None, "layer_scale": None}))


@pytest.mark.parametrize(("key", "size"), [("global_size", 60), ("local_size", 30)])
def test_networks__refuse_sizes_that_patches_do_not_fill(key: str, size: int) -> None:
    with pytest.raises(RedDinoError, match=rf"crops\.{key}={size} is no multiple of the patch size 14"):
        StudentTeacher(recipe(crops={key: size}))


def test_networks__refuse_ibot_on_a_grid_too_small_for_a_block() -> None:
    with pytest.raises(RedDinoError, match="hides at most 2 of the 2 x 2 patches"):
        StudentTeacher(recipe(crops={"global_size": 28}))
    StudentTeacher(recipe(crops={"global_size": 28}, loss={"ibot": 0.0}))


def test_networks__refuse_layer_scale_on_a_cnn() -> None:
    with pytest.raises(RedDinoError, match=r"model\.layer_scale only fits Vision Transformers"):
        StudentTeacher(recipe(model={"backbone": "efficientnet_lite0", "depth": None}, loss={"ibot": 0.0}))


def saved(folder: Path, described: Recipe) -> StudentTeacher:
    networks = apart(StudentTeacher(described))
    save_model_folder(folder, networks.teacher.backbone, networks.card, networks.teacher.heads_state())
    return networks


def test_start__takes_backbone_mask_token_and_heads_of_a_folder(tmp_path: Path) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    again = StudentTeacher(recipe(model={"start": str(tmp_path / "m")})).student.state_dict()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_start__without_load_heads_draws_new_ones(tmp_path: Path) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    start = {"start": str(tmp_path / "m"), "load_heads": False}
    again = StudentTeacher(recipe(model=start)).student.state_dict()
    assert torch.equal(again["backbone.vit.norm.bias"], before["backbone.vit.norm.bias"])
    assert not torch.equal(again["dino_head.prototypes"], before["dino_head.prototypes"])
    fresh = StudentTeacher(recipe()).student.state_dict()
    assert torch.equal(again["dino_head.prototypes"], fresh["dino_head.prototypes"])


def test_start__heads_of_another_shape_are_drawn_anew_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    described = recipe(model={"start": str(tmp_path / "m")}, head={"prototypes": 7})
    again = StudentTeacher(described).student.state_dict()
    fresh = StudentTeacher(recipe(head={"prototypes": 7})).student.state_dict()
    assert all(torch.equal(again[name], fresh[name]) for name in again if "head" in name)
    assert torch.equal(again["backbone.mask_token"], before["backbone.mask_token"])
    assert "heads" in caplog.text


def test_start__resamples_positions_for_another_crop_size(tmp_path: Path) -> None:
    saved(tmp_path / "m", recipe())
    larger = StudentTeacher(recipe(model={"start": str(tmp_path / "m")}, crops={"global_size": 84}))
    assert isinstance(larger.student.backbone, ViTBackbone)
    assert larger.student.backbone.vit.pos_embed.shape[1] == 1 + 36


def test_start__keeps_the_normalisation_of_the_starting_weights(tmp_path: Path) -> None:
    networks = StudentTeacher(recipe())
    card = type(networks.card)(**{**vars(networks.card), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)})
    save_model_folder(tmp_path / "m", networks.teacher.backbone, card)
    assert StudentTeacher(recipe(model={"start": str(tmp_path / "m")})).card.mean == (0.5, 0.5, 0.5)


def test_start__refuses_weights_of_another_network(tmp_path: Path) -> None:
    saved(tmp_path / "m", recipe())
    with pytest.raises(RedDinoError, match=r"model\.start=.*does not fit this backbone: tensors .* missing"):
        StudentTeacher(recipe(model={"start": str(tmp_path / "m"), "depth": 2}))


INDEX = np.arange(40, 56)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 29), (0.3, 22), (0.5, 16), (0.99, 1)])
def test_drop_path_plan__keeps_its_share_of_the_crops(rate: float, count: int) -> None:
    plan = drop_path_plan(0, INDEX, range(2), 6, rate)
    assert plan is not None
    assert [len(kept.indices) for kept in plan] == [count] * 6
    for kept in plan:
        assert kept.scale == 32 / count
        assert torch.equal(kept.indices, kept.indices.unique())
        assert 0 <= int(kept.indices.min()) <= int(kept.indices.max()) < 32


def test_drop_path_plan__is_none_where_nothing_is_dropped() -> None:
    assert drop_path_plan(0, INDEX, range(2), 6, 0.0) is None
    assert drop_path_plan(0, INDEX, range(2), 0, 0.3) is None
    assert drop_path_plan(0, INDEX, range(2, 2), 6, 0.3) is None


def test_drop_path_plan__follows_from_seed_and_samples() -> None:
    def of(seed: int, index: np.ndarray, first: int = 0) -> list[list[int]]:
        plan = drop_path_plan(seed, index, range(first, first + 2), 6, 0.5)
        assert plan is not None
        return [kept.indices.tolist() for kept in plan]

    assert of(0, INDEX) == of(0, INDEX)
    assert of(0, INDEX) != of(1, INDEX)
    assert of(0, INDEX) != of(0, INDEX + 16)
    assert of(0, INDEX) != of(0, INDEX, first=2)
    assert len({tuple(kept) for kept in of(0, INDEX)}) == 6
    # The order of the samples does not change which of them are kept.
    turned = of(0, INDEX[::-1].copy())
    assert [sorted(16 * (i // 16) + 15 - i % 16 for i in kept) for kept in turned] == of(0, INDEX)


def test_drop_path_plan__keeps_every_crop_equally_often() -> None:
    counts = np.zeros(32)
    for seed in range(2000):
        plan = drop_path_plan(seed, INDEX, range(2), 1, 0.3)
        assert plan is not None
        counts[plan[0].indices.numpy()] += 1
    # 22 of 32 each time: a standard deviation of about 21 around 1375.
    assert np.abs(counts - 2000 * 22 / 32).max() < 95


@torch.no_grad()
def test_drop_path__mean_over_seeds_is_the_full_residual() -> None:
    backbone = StudentTeacher(recipe(model={"layer_scale": 1.0})).student.backbone
    assert isinstance(backbone, ViTBackbone)
    block, x = backbone.vit.blocks[0], torch.randn(4, 5, 192, generator=torch.Generator().manual_seed(0))
    full = block.ls2(block.mlp(block.norm2(x)))
    total = torch.zeros_like(x)
    for seed in range(600):
        plan = drop_path_plan(seed, np.arange(2), range(2), 1, 0.4)
        assert plan is not None and len(plan[0].indices) == 2
        nobody = Kept(torch.empty(0, dtype=torch.long), 1.5)
        total += block([x], [(nobody, plan[0])])[0] - x
    torch.testing.assert_close(total / 600, full, atol=0.0, rtol=0.15)
