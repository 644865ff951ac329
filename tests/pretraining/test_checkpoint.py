"""Checkpoints: restored as they were, kept few, damaged ones refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from micro_run import micro_recipe

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint, step_of

PARTS = ("weight", "bias")


def fresh(*overrides: str) -> tuple[StudentTeacher, torch.optim.AdamW]:
    networks = build_networks(micro_recipe(overrides))
    return networks, make_optimizer(networks.student, networks.recipe.optim)


@pytest.fixture(scope="module")
def trained() -> tuple[StudentTeacher, torch.optim.AdamW]:
    """Networks that differ from fresh ones, with both moments of AdamW."""
    networks, optimizer = fresh()
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        for parameter in networks.student.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    networks.update_teacher(0.9)
    networks.dino_center.fill_(0.3)
    return networks, optimizer


def test_load__restores_networks_centres_and_moments(
    tmp_path: Path, trained: tuple[StudentTeacher, torch.optim.AdamW]
) -> None:
    path = save_checkpoint(tmp_path, 17, *trained, keep=2)
    networks, optimizer = fresh()
    assert load_checkpoint(path, networks, optimizer) == step_of(path) == 17
    before, after = trained[0].state_dict(), networks.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    kept, restored = trained[1].state_dict(), optimizer.state_dict()
    assert kept["param_groups"] == restored["param_groups"]
    for number, state in kept["state"].items():
        assert all(torch.equal(state[name], restored["state"][number][name]) for name in state)


def test_save__keeps_the_newest_and_clears_what_a_killed_writer_left(
    tmp_path: Path, trained: tuple[StudentTeacher, torch.optim.AdamW]
) -> None:
    (tmp_path / ".step-000000003.pt.123.partial").write_bytes(b"half")
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, step, *trained, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000010.pt", "step-000000100.pt"]
    assert len(list(tmp_path.iterdir())) == 2


def test_list_checkpoints__passes_over_everything_else(tmp_path: Path) -> None:
    for name in (
        ".step-000000003.pt.9.partial",
        "step-2.pt.bak",
        "notes.txt",
        "step-12.pt",
        "step-000000003.pt",
    ):
        (tmp_path / name).touch()
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == [3, 12]
    assert list_checkpoints(tmp_path / "nowhere") == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_load__refuses_a_truncated_file(
    tmp_path: Path, trained: tuple[StudentTeacher, torch.optim.AdamW], share: float
) -> None:
    path = save_checkpoint(tmp_path, 1, *trained, keep=1)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RedDinoError, match=r"step-000000001\.pt cannot be restored .*delete it"):
        load_checkpoint(path, *fresh())


def test_load__refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.pt"
    path.write_bytes(b"this is text, not weights")
    with pytest.raises(RedDinoError, match="cannot be restored"):
        load_checkpoint(path, *fresh())


def test_load__refuses_another_network(
    tmp_path: Path, trained: tuple[StudentTeacher, torch.optim.AdamW]
) -> None:
    path = save_checkpoint(tmp_path, 1, *trained, keep=1)
    with pytest.raises(RedDinoError, match="cannot be restored"):
        load_checkpoint(path, *fresh("head.prototypes=8"))


def test_load__refuses_a_flipped_bit(
    tmp_path: Path, trained: tuple[StudentTeacher, torch.optim.AdamW]
) -> None:
    path = save_checkpoint(tmp_path, 1, *trained, keep=1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(bytes(content))
    with pytest.raises(RedDinoError, match=r"step-000000001\.pt cannot be restored .*checksum.*delete it"):
        load_checkpoint(path, *fresh())


def test_names__of_what_is_not_in_the_backbone_stay_those_of_earlier_checkpoints() -> None:
    overrides = ["head.shared=false", "distill.teacher=untrained:test_vit", "distill.morphology=1"]
    networks, optimizer = fresh(*overrides, "distill.image_size=64", "data.layout=cells")
    heads = [
        *("dino_head.prototypes", *(f"dino_head.mlp.{i}.{kind}" for i in (0, 2, 4) for kind in PARTS)),
        *("ibot_head.prototypes", *(f"ibot_head.mlp.{i}.{kind}" for i in (0, 2, 4) for kind in PARTS)),
        *(f"guide_heads.{part}.{kind}" for part in ("pooled", "shapes", "spatial") for kind in PARTS),
    ]
    names = [name for name in networks.state_dict() if ".backbone." not in name]
    assert names == [
        *("dino_center", "ibot_center"),
        *(f"{branch}.{name}" for branch in ("student", "teacher") for name in heads),
        *(
            f"{part}_scale.{sums}"
            for part in ("pooled", "spatial", "shape")
            for sums in ("count", "total", "squares")
        ),
    ]
    # An optimizer's state knows parameters by their numbers, group by group.
    numbered = {id(parameter): name for name, parameter in networks.student.named_parameters()}
    first = [numbered[id(group["params"][0])] for group in optimizer.param_groups]
    assert first == ["backbone.mask_token", "backbone.vit.patch_embed.proj.bias", "dino_head.prototypes"]
