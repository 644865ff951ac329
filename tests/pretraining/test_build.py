"""Networks of a recipe: their sizes are checked, and they start with the weights of `model.start`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from one_block import apart, recipe

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import ViTBackbone
from reddino.networks.folder import save_model_folder
from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.run.recipe import Recipe


def test_networks__refuse_ibot_without_tokens() -> None:
    with pytest.raises(RedDinoError, match=r"no patch tokens.*efficientnet_lite0; set loss\.ibot=0"):
        build_networks(recipe(model={"backbone": "efficientnet_lite0", "depth": None, "layer_scale": None}))


@pytest.mark.parametrize(("key", "size"), [("global_size", 60), ("local_size", 30)])
def test_networks__refuse_sizes_that_patches_do_not_fill(key: str, size: int) -> None:
    with pytest.raises(RedDinoError, match=rf"crops\.{key}={size} is not a multiple of the patch size 14"):
        build_networks(recipe(crops={key: size}))


def test_networks__refuse_ibot_on_a_grid_too_small_for_a_block() -> None:
    with pytest.raises(RedDinoError, match="hides at most 2 of the 2 x 2 patches"):
        build_networks(recipe(crops={"global_size": 28}))
    build_networks(recipe(crops={"global_size": 28}, loss={"ibot": 0.0}))


def test_networks__refuse_layer_scale_on_a_cnn() -> None:
    with pytest.raises(RedDinoError, match=r"model\.layer_scale only fits Vision Transformers"):
        build_networks(recipe(model={"backbone": "efficientnet_lite0", "depth": None}, loss={"ibot": 0.0}))


def saved(folder: Path, described: Recipe) -> StudentTeacher:
    networks = apart(build_networks(described))
    save_model_folder(folder, networks.teacher.backbone, networks.card, networks.teacher.heads_state())
    return networks


def test_start__takes_backbone_mask_token_and_heads_of_a_folder(tmp_path: Path) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    again = build_networks(recipe(model={"start": str(tmp_path / "m")})).student.state_dict()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_start__without_load_heads_draws_new_ones(tmp_path: Path) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    start = {"start": str(tmp_path / "m"), "load_heads": False}
    again = build_networks(recipe(model=start)).student.state_dict()
    assert torch.equal(again["backbone.vit.norm.bias"], before["backbone.vit.norm.bias"])
    assert not torch.equal(again["dino_head.prototypes"], before["dino_head.prototypes"])
    fresh = build_networks(recipe()).student.state_dict()
    assert torch.equal(again["dino_head.prototypes"], fresh["dino_head.prototypes"])


def test_start__heads_of_another_shape_are_drawn_anew_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = saved(tmp_path / "m", recipe()).teacher.state_dict()
    described = recipe(model={"start": str(tmp_path / "m")}, head={"prototypes": 7})
    again = build_networks(described).student.state_dict()
    fresh = build_networks(recipe(head={"prototypes": 7})).student.state_dict()
    assert all(torch.equal(again[name], fresh[name]) for name in again if "head" in name)
    assert torch.equal(again["backbone.mask_token"], before["backbone.mask_token"])
    assert "heads" in caplog.text


def test_start__resamples_positions_for_another_crop_size(tmp_path: Path) -> None:
    saved(tmp_path / "m", recipe())
    larger = build_networks(recipe(model={"start": str(tmp_path / "m")}, crops={"global_size": 84}))
    assert isinstance(larger.student.backbone, ViTBackbone)
    assert larger.student.backbone.vit.pos_embed.shape[1] == 1 + 36


def test_start__keeps_the_normalisation_of_the_starting_weights(tmp_path: Path) -> None:
    networks = build_networks(recipe())
    card = type(networks.card)(**{**vars(networks.card), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)})
    save_model_folder(tmp_path / "m", networks.teacher.backbone, card)
    assert build_networks(recipe(model={"start": str(tmp_path / "m")})).card.mean == (0.5, 0.5, 0.5)


def test_start__refuses_weights_of_another_network(tmp_path: Path) -> None:
    saved(tmp_path / "m", recipe())
    with pytest.raises(RedDinoError, match=r"model\.start=.*does not fit this backbone: tensors .* missing"):
        build_networks(recipe(model={"start": str(tmp_path / "m"), "depth": 2}))
