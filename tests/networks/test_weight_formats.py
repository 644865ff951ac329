"""Every weight format that a user has, opened by name alone and compared with transformers' DINOv2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dinov2_reference import DEPTH, SIZE, WIDTH, native, reference
from random_weights import random_images
from safetensors.torch import save_file
from torch import Tensor, nn

from reddino.foundations.errors import RedDinoError
from reddino.networks.architecture import recognise
from reddino.networks.backbone import ViTBackbone
from reddino.networks.catalogue import open_backbone
from reddino.networks.create_backbone import create_backbone
from reddino.networks.folder import open_model_folder
from reddino.networks.position import resample_positions

Tensors = dict[str, Tensor]
HEADS = {"dino_head.mlp.0.weight": torch.zeros(2, 2), "dino_head.last_layer.weight_v": torch.zeros(2, 2)}


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    return reference()


@pytest.fixture(scope="module")
def swiglu() -> nn.Module:
    return reference(swiglu=True)


def checkpoint(tensors: Tensors, heads: Tensors = HEADS) -> dict[str, object]:
    """A teacher as DINOv2's training code saves it."""
    return {"teacher": {f"backbone.{name}": value for name, value in tensors.items()} | heads}


def chunked(tensors: Tensors) -> Tensors:
    """Blocks in chunks, whose members keep their own number."""
    return {name.replace("blocks.1.", "blocks.3.1.").replace("blocks.0.", "blocks.0.0."): value
            for name, value in tensors.items()}  # fmt: skip


FORMATS: dict[str, Callable[[Tensors], object]] = {
    "training checkpoint": checkpoint,
    "training checkpoint with its own iBOT head": lambda t: checkpoint(
        t, HEADS | {"ibot_head.mlp.0.weight": torch.zeros(2, 2)}
    ),
    "block-chunked training checkpoint": lambda t: checkpoint(chunked(t)),
    "student and teacher under one model": lambda t: {
        "model": {f"teacher.backbone.{name}": value for name, value in t.items()}
        | {f"student.backbone.{name}": torch.zeros_like(value) for name, value in t.items()},
        "iteration": 3,
    },
    "plain state dict": lambda t: t,
    "plain state dict without a mask token": lambda t: {k: v for k, v in t.items() if k != "mask_token"},
    "data-parallel state dict": lambda t: {f"module.{name}": value for name, value in t.items()},
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["plain", "swiglu"])
@torch.no_grad()
def test_pth__of_each_layout_computes_what_transformers_computes(
    name: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: nn.Module = request.getfixturevalue(kind)
    torch.save(FORMATS[name](native(model)), tmp_path / "weights.pth")
    backbone, card = open_backbone(str(tmp_path / "weights.pth"))
    assert card.image_size == SIZE
    require_equal(backbone.eval(), model, SIZE)


@torch.no_grad()
def test_pth__of_the_giants_swiglu_has_its_architecture(tmp_path: Path, swiglu: nn.Module) -> None:
    tensors = native(swiglu)
    assert "blocks.0.mlp.w12.weight" in tensors
    torch.save(tensors, tmp_path / "w.bin")
    _, card = open_backbone(str(tmp_path / "w.bin"))
    assert card.backbone == "vit_giant_patch14_dinov2"


@pytest.mark.parametrize("swiglu", [False, True])
@torch.no_grad()
def test_pth__with_registers_computes_what_transformers_computes(tmp_path: Path, swiglu: bool) -> None:
    model = reference(swiglu=swiglu, registers=4)
    torch.save(native(model), tmp_path / "reg.pth")
    backbone, card = open_backbone(str(tmp_path / "reg.pth"))
    assert card.backbone.endswith("reg4_dinov2")
    images = random_images(2, SIZE)
    expected = model(images).last_hidden_state
    tokens = backbone.eval()(images)
    assert tokens.patches is not None
    torch.testing.assert_close(tokens.cls, expected[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, expected[:, 5:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_pth__at_another_size_resamples_as_transformers_does(tmp_path: Path) -> None:
    # transformers resamples without DINOv2's offset of 0.1, so it gets the positions that DINOv2 would make.
    model = reference(grid=5)
    tensors = native(model)
    torch.save(tensors, tmp_path / "w.pth")
    backbone, card = open_backbone(str(tmp_path / "w.pth"), image_size=SIZE)
    assert (card.image_size, card.resampled_from) == (SIZE, 70)
    own = reference()
    names = own.state_dict() | model.state_dict()
    names["embeddings.position_embeddings"] = resample_positions(tensors["pos_embed"], (3, 3))
    own.load_state_dict(names)
    require_equal(backbone.eval(), own, SIZE)


@torch.no_grad()
def test_hub_format__as_published_opens_without_our_card(tmp_path: Path, plain: nn.Module) -> None:
    tensors = native(plain)
    del tensors["mask_token"]
    save_file(tensors, tmp_path / "model.safetensors")
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "num_classes": 0,
        "global_pool": "token",
        "model_args": {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2, "img_size": SIZE},
        "pretrained_cfg": {"input_size": [3, SIZE, SIZE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    backbone, card = open_model_folder(tmp_path)
    assert (card.mean, card.channel_order) == ((0.5, 0.4, 0.3), "RGB")
    require_equal(backbone.eval(), plain, SIZE)


def test_hub_format__whose_positions_do_not_fit_the_announced_size_is_refused(
    tmp_path: Path, plain: nn.Module
) -> None:
    save_file(native(plain), tmp_path / "model.safetensors")
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "model_args": {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2},
        "pretrained_cfg": {"input_size": [3, 70, 70]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RedDinoError, match=r"10 tokens \(3 x 3 patches, 42 px\), but 5 x 5 \(70 px\)"):
        open_model_folder(tmp_path)
    assert open_model_folder(tmp_path, 42)[1].image_size == 42


def test_hub_format__with_a_classifier_leaves_it_out(tmp_path: Path, plain: nn.Module) -> None:
    tensors = native(plain) | {"head.weight": torch.zeros(5, WIDTH), "head.bias": torch.zeros(5)}
    save_file(tensors, tmp_path / "model.safetensors")
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "num_classes": 5,
        "model_args": {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2},
        "pretrained_cfg": {"input_size": [3, SIZE, SIZE], "classifier": "head"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    require_equal(open_model_folder(tmp_path)[0].eval(), plain, SIZE)


def without(word: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: value for name, value in tensors.items() if word not in name}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (without("gamma"), r"without LayerScale \('blocks\.0\.ls1\.gamma' is missing\)"),
        (without("blocks.1.ls2"), r"1 missing \(first: blocks\.1\.ls2\.gamma\)"),
        (without("norm.bias"), r"1 missing \(first: norm\.bias\)"),
        (without("pos_embed"), r"tensor 'pos_embed' is missing"),
        (without("patch_embed"), r"tensor 'patch_embed\.proj\.weight' is missing"),
        (lambda t: t | {"head.weight": torch.zeros(2)}, r"1 unexpected \(first: head\.weight\)"),
        (
            lambda t: t | {"pos_embed": torch.zeros(1, 12, WIDTH)},
            "position embedding has 12 tokens, which is not a class token and a square grid",
        ),
        (lambda t: t | {"blocks.0.norm1.bias": torch.zeros(3)}, r"'blocks\.0\.norm1\.bias' has shape \(3,\)"),
        (lambda t: {"fc.weight": torch.zeros(2, 2)}, "not the backbone of a DINOv2-family network"),
    ],
)
def test_pth__that_is_damaged_is_refused_with_what_is_wrong(
    damage: Callable[[Tensors], Tensors], sentence: str, tmp_path: Path, plain: nn.Module
) -> None:
    torch.save(checkpoint(damage(native(plain))), tmp_path / "w.pth")
    with pytest.raises(RedDinoError, match=sentence):
        open_backbone(str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    "name",
    ["small", "base", "large", "giant", "small_reg4"],
)
def test_recognise__names_the_published_architectures(name: str) -> None:
    size, _, registers = name.partition("_")
    timm_name = f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2"
    with torch.device("meta"):
        backbone = create_backbone(timm_name, image_size=224)
    assert isinstance(backbone, ViTBackbone)
    card = recognise(backbone.vit.state_dict(), "file")
    assert (card.backbone, card.image_size, card.arguments) == (timm_name, 224, {})


def test_recognise__refuses_heads_it_cannot_count() -> None:
    odd = create_backbone("vit_tiny_patch14", depth=1, arguments={"embed_dim": 96, "num_heads": 3})
    assert isinstance(odd, ViTBackbone)
    with pytest.raises(RedDinoError, match="96 numbers a token are no multiple of 64"):
        recognise(odd.vit.state_dict(), "file")


def require_equal(backbone: nn.Module, model: nn.Module, size: int) -> None:
    """Class and patch tokens as the reference has them."""
    assert isinstance(backbone, ViTBackbone)
    images = random_images(2, size)
    with torch.no_grad():
        tokens, expected = backbone(images), model(images).last_hidden_state
        alone = backbone.class_token(images)
    torch.testing.assert_close(tokens.cls, expected[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, expected[:, 1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, expected[:, 0], atol=1e-5, rtol=1e-5)
