"""Model folders: a round trip, timm's view of them, and what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from random_weights import random_images, randomise

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.create_backbone import create_backbone
from reddino.networks.folder import CARD as CARD_FILE
from reddino.networks.folder import (
    HEADS,
    WEIGHTS,
    ModelCard,
    open_model_folder,
    read_card,
    read_heads,
    save_model_folder,
)
from reddino.networks.position import resample_positions
from reddino.networks.weights import hash_weights

CARD = ModelCard("vit_tiny_patch14", 42, depth=2, layer_scale=0.1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    made = CARD.create()
    randomise(made, 4)
    return made.eval()


@pytest.fixture()
def folder(tmp_path: Path, backbone: Backbone) -> Path:
    heads = {"dino_head.prototypes": torch.arange(6.0).reshape(2, 3)}
    save_model_folder(tmp_path / "model", backbone, CARD, heads)
    return tmp_path / "model"


@torch.no_grad()
def test_open__gives_back_what_was_saved(folder: Path, backbone: Backbone) -> None:
    opened, card = open_model_folder(folder)
    assert hash_weights(opened) == hash_weights(backbone) == card.weights_hash
    assert card == ModelCard(**{**vars(CARD), "weights_hash": card.weights_hash})
    images = random_images(2, 42)
    assert torch.equal(opened.eval()(images).cls, backbone(images).cls)
    assert torch.equal(read_heads(folder)["dino_head.prototypes"], torch.arange(6.0).reshape(2, 3))
    assert not list(folder.glob(".*"))


def test_save__others_may_read_the_weights_as_far_as_the_umask_lets_them(folder: Path) -> None:
    (folder / "beside").touch()
    usual = (folder / "beside").stat().st_mode
    for name in (WEIGHTS, HEADS, CARD_FILE):
        assert (folder / name).stat().st_mode == usual


@torch.no_grad()
def test_save__half_weights_are_half_the_file_and_open_under_their_own_hash(
    folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    saved = save_model_folder(tmp_path / "half", backbone, CARD, half=True)
    opened, card = open_model_folder(tmp_path / "half")
    assert hash_weights(opened) == card.weights_hash == saved.weights_hash != hash_weights(backbone)
    sizes = [(path / WEIGHTS).stat().st_size for path in (tmp_path / "half", folder)]
    assert sizes[0] < 0.55 * sizes[1]
    images = random_images(2, 42)
    torch.testing.assert_close(opened.eval()(images).cls, backbone(images).cls, atol=2e-2, rtol=2e-2)


def test_save__refuses_weights_beyond_half(backbone: Backbone, tmp_path: Path) -> None:
    broken = copy.deepcopy(backbone)
    with torch.no_grad():
        next(broken.parameters()).mul_(1e9)
    with pytest.raises(RedDinoError, match="beyond float16"):
        save_model_folder(tmp_path / "half", broken, CARD, half=True)


@torch.no_grad()
def test_timm__opens_the_folder_and_gives_the_same_class_token(folder: Path, backbone: Backbone) -> None:
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = random_images(2, 42)
    torch.testing.assert_close(network(images), backbone(images).cls, atol=1e-5, rtol=1e-5)
    assert network.pretrained_cfg["mean"] == (0.5, 0.4, 0.3) or network.pretrained_cfg["mean"] == [
        0.5,
        0.4,
        0.3,
    ]
    assert tuple(network.pretrained_cfg["input_size"]) == (3, 42, 42)


@torch.no_grad()
def test_timm__opens_the_folder_of_a_cnn(tmp_path: Path) -> None:
    cnn = create_backbone("efficientnet_lite0")
    save_model_folder(tmp_path / "cnn", cnn, ModelCard("efficientnet_lite0", 64))
    network = timm.create_model(f"local-dir:{tmp_path / 'cnn'}", pretrained=True).eval()
    images = random_images(2, 64)
    torch.testing.assert_close(network(images), cnn.eval()(images).cls)
    assert hash_weights(open_model_folder(tmp_path / "cnn")[0]) == hash_weights(cnn)


def test_open__a_folder_of_timm_alone(folder: Path, backbone: Backbone) -> None:
    (folder / "reddino.json").unlink()
    opened, card = open_model_folder(folder)
    assert hash_weights(opened) == hash_weights(backbone)
    assert (card.backbone, card.image_size, card.depth) == ("vit_tiny_patch14", 42, 2)
    assert (card.mean, card.std) == (CARD.mean, CARD.std)


def test_open__resamples_positions_for_another_size(folder: Path, backbone: Backbone) -> None:
    opened, card = open_model_folder(folder, 70)
    assert isinstance(opened, ViTBackbone) and isinstance(backbone, ViTBackbone)
    assert torch.equal(opened.vit.pos_embed, resample_positions(backbone.vit.pos_embed, (5, 5)))
    assert card.position_resampling == "bicubic, offset 0.1, no antialias (DINOv2)"


def test_open__refuses_weights_that_are_not_those_of_the_card(folder: Path, tmp_path: Path) -> None:
    other = CARD.create()
    randomise(other, 5)
    save_model_folder(tmp_path / "other", other, CARD)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(RedDinoError, match=r"the weights \(.*\) are not those of reddino\.json"):
        open_model_folder(folder)


def test_open__refuses_damaged_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RedDinoError, match=r"model\.safetensors cannot be read as weights"):
        open_model_folder(folder)


def test_open__refuses_damaged_heads(folder: Path) -> None:
    heads = folder / "heads.safetensors"
    heads.write_bytes(heads.read_bytes()[:-3])
    with pytest.raises(RedDinoError, match=r"heads\.safetensors cannot be read as weights"):
        read_heads(folder)


def test_read_heads__is_empty_without_heads(tmp_path: Path) -> None:
    assert read_heads(tmp_path) == {}


def test_read_card__refuses_what_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"holds neither reddino\.json nor config\.json"):
        read_card(tmp_path)
    (tmp_path / "reddino.json").write_text("{")
    with pytest.raises(RedDinoError, match=r"reddino\.json cannot be read as JSON"):
        read_card(tmp_path)
    (tmp_path / "reddino.json").write_text("[1]")
    with pytest.raises(RedDinoError, match="does not hold an object of keys"):
        read_card(tmp_path)


def test_read_card__refuses_keys_it_does_not_know(folder: Path) -> None:
    content = json.loads((folder / "reddino.json").read_text())
    (folder / "reddino.json").write_text(json.dumps({**content, "registers": 4}))
    with pytest.raises(RedDinoError, match=r"reddino\.json does not fit RedDino .*registers"):
        read_card(folder)
