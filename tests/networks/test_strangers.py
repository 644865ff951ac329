"""Model folders and weights that others made: they describe an architecture, and nothing more is taken."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from reddino.foundations.errors import RedDinoError
from reddino.networks.arguments import require_architecture
from reddino.networks.budget import no_larger_than
from reddino.networks.catalogue import open_backbone
from reddino.networks.create_backbone import create_backbone
from reddino.networks.folder import CARD, CONFIG, ModelCard, open_model_folder, read_card, save_model_folder
from reddino.networks.weights import load_strictly, read_tensors

SIZE = 28
SMALL = {"embed_dim": 64, "depth": 1, "num_heads": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = ModelCard("vit_small_patch14_dinov2", SIZE, arguments=SMALL)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model_folder(folder, card.create(), card)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "m"))


def change(file: Path, section: str | None, **values: Any) -> None:
    content = json.loads(file.read_text())
    (content if section is None else content[section]).update(values)
    file.write_text(json.dumps(content))


class Witness:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder / "ran"),)


REFUSED = [
    ("checkpoint_path", "weights.pth"),
    ("pretrained_cfg", {"url": "https://elsewhere"}),
    ("pretrained_cfg_overlay", {"file": "weights.pth"}),
    ("pretrained_model_args", {}),
    ("cache_dir", "/tmp"),
    ("features_only", True),
    ("scriptable", True),
    ("exportable", True),
    ("no_jit", True),
    ("weight_init", "skip"),
    ("block_fn", "os.system"),
    ("embed_layer", "x"),
    ("pruned", True),
    ("device", "cuda"),
    ("nonsense", 1),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_card__refuses_arguments_that_describe_no_architecture(folder: Path, name: str, value: Any) -> None:
    torch.save({"state_dict": Witness(folder)}, folder / "weights.pth")
    change(folder / CARD, "arguments", **{name: value})
    with pytest.raises(RedDinoError, match=f"argument '{name}' does not describe an architecture"):
        open_model_folder(folder)
    (folder / CARD).unlink()
    change(folder / CONFIG, "model_args", **{name: value})
    with pytest.raises(RedDinoError, match=rf"config\.json: the argument '{name}' does not describe"):
        open_model_folder(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth", 1_000_000),
        ("depth", True),
        ("depth", "12"),
        ("embed_dim", 10**9),
        ("num_heads", 0),
        ("patch_size", [14, 14, 14]),
        ("patch_size", -1),
        ("img_size", 10**7),
        ("mlp_ratio", 1e9),
        ("init_values", "x"),
        ("reg_tokens", -1),
        ("drop_path_rate", 1.0),
        ("norm_layer", "torch.nn.LayerNorm"),
        ("act_layer", {"a": 1}),
        ("in_chans", 1),
        ("qkv_bias", 1),
    ],
)
def test_card__refuses_values_without_reason(folder: Path, name: str, value: Any) -> None:
    (folder / CARD).unlink()
    change(folder / CONFIG, "model_args", **{name: value})
    with pytest.raises(RedDinoError, match=r"config\.json"):
        open_model_folder(folder)


def test_arguments__accepts_what_published_networks_set() -> None:
    require_architecture(
        {
            **{
                "img_size": 224,
                "patch_size": 14,
                "in_chans": 3,
                "embed_dim": 1536,
                "depth": 40,
                "num_heads": 24,
            },
            **{
                "init_values": 1e-5,
                "mlp_ratio": 5.33334,
                "num_classes": 0,
                "global_pool": "",
                "reg_tokens": 4,
            },
            **{"dynamic_img_size": True, "act_layer": "silu", "norm_layer": "layernorm", "fc_norm": None},
        },
        "x",
    )


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:owner/name",
        "hf_hub:owner/name",
        "local-dir:/tmp",
        "../x",
        "vit_tiny.a/b",
        "resnet18.a:b",
        "",
        "a b",
    ],
)
def test_card__refuses_architectures_that_timm_would_fetch_or_open(folder: Path, name: str) -> None:
    change(folder / CARD, None, backbone=name)
    with pytest.raises(RedDinoError, match="is not a name of timm"):
        open_model_folder(folder)
    with pytest.raises(RedDinoError, match="is not a name of timm"):
        create_backbone(name)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("mean", [0.5, 0.5], "mean"),
        ("mean", [0.5, 0.5, "x"], "mean"),
        ("mean", [123.7, 116.3, 103.5], "mean"),
        ("mean", None, "mean"),
        ("std", [0.2, 0.0, 0.2], "std"),
        ("std", [0.2, -0.2, 0.2], "std"),
        ("std", 0.2, "std"),
        ("image_size", "28", "image_size"),
        ("image_size", 0, "img_size"),
        ("image_size", 10**9, "img_size"),
        ("depth", 10**6, "depth"),
        ("layer_scale", "x", "layer_scale"),
        ("channel_order", "GBR", "channel_order"),
        ("training", [], "training"),
        ("arguments", "depth", "arguments"),
        ("backbone", 3, "backbone"),
        ("resampled_from", 1.5, "resampled_from"),
        ("surprise", 1, "surprise: unknown key"),
    ],
)
def test_card__names_the_key_that_does_not_fit(folder: Path, key: str, value: Any, reason: str) -> None:
    change(folder / CARD, None, **{key: value})
    with pytest.raises(RedDinoError) as caught:
        open_model_folder(folder)
    assert str(folder / CARD) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [0.5]),
        ("mean", ["a", "b", "c"]),
        ("std", [0, 0, 0]),
        ("input_size", [3, 10**6, 10**6]),
        ("input_size", [1, 28, 28]),
        ("input_size", [3, 28, 56]),
        ("input_size", "28"),
        ("input_size", []),
        ("classifier", 3),
        ("classifier", [1]),
    ],
)
def test_config__of_timm_names_what_does_not_fit(folder: Path, key: str, value: Any) -> None:
    (folder / CARD).unlink()
    content = json.loads((folder / CONFIG).read_text())
    content["model_args"].pop("img_size")
    content["pretrained_cfg"][key] = value
    (folder / CONFIG).write_text(json.dumps(content))
    with pytest.raises(RedDinoError, match=r"config\.json"):
        open_model_folder(folder)


def test_open__of_a_network_far_larger_than_its_weights_takes_no_memory(folder: Path) -> None:
    change(folder / CARD, None, arguments={}, backbone="vit_giant_patch14_dinov2")
    with pytest.raises(RedDinoError, match="do not belong together"):
        open_model_folder(folder)
    change(folder / CARD, None, arguments={**SMALL, "depth": 200, "embed_dim": 16384, "num_heads": 256})
    with pytest.raises(RedDinoError, match="do not belong together"):
        open_model_folder(folder)


def test_budget__lets_a_network_pass_that_fits_its_weights() -> None:
    weights = {"w": torch.zeros(100, 100)}
    with no_larger_than(weights, "w"):
        assert torch.nn.Linear(100, 100)(torch.ones(1, 100)).shape == (1, 100)
    with pytest.raises(RedDinoError, match="w holds 10,000 numbers"), no_larger_than(weights, "w"):
        torch.nn.Linear(100_000, 100_000)


def test_weights__never_run_what_a_file_pickles(tmp_path: Path) -> None:
    for name, content in (("a.pth", {"model": Witness(tmp_path)}), ("b.bin", Witness(tmp_path))):
        torch.save(content, tmp_path / name)
    (tmp_path / "c.pt").write_bytes(pickle.dumps(Witness(tmp_path)))
    for name in ("a.pth", "b.bin", "c.pt"):
        with pytest.raises(RedDinoError, match="code is never executed"):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_weights__refuse_few_numbers_shown_as_many(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "a.pth")
    with pytest.raises(RedDinoError, match="'a' claims more numbers than the file holds"):
        read_tensors(tmp_path / "a.pth")
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "b.pth")
    with pytest.raises(RedDinoError, match="'a' is not made of plain real numbers"):
        read_tensors(tmp_path / "b.pth")
    with zipfile.ZipFile(tmp_path / "c.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(100 << 20))
    with pytest.raises(RedDinoError, match="would unfold"):
        read_tensors(tmp_path / "c.pth")


def test_weights__refuse_two_tensors_of_one_name(tmp_path: Path) -> None:
    patches = {"patch_embed.proj.weight": torch.ones(1)}
    torch.save({**patches, "blocks.0.x": torch.ones(1), "blocks.0.0.x": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(RedDinoError, match=r"two tensors are called 'blocks\.0\.x'"):
        read_tensors(tmp_path / "a.pth")


def test_weights__of_another_kind_of_number_are_not_converted(made: Path) -> None:
    tensors = read_tensors(made / "model.safetensors")
    backbone = read_card(made).create()
    with pytest.raises(RedDinoError, match=r"'norm\.weight' is of torch\.int32"):
        load_strictly(backbone, {**tensors, "norm.weight": tensors["norm.weight"].int()}, "x")
    with pytest.raises(RedDinoError, match=r"'mask_token' has shape \(3,\)"):
        load_strictly(backbone, {**tensors, "mask_token": torch.zeros(3)}, "x")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("patch_embed.proj.weight", (0, 3, 14, 14)),
        ("pos_embed", (5,)),
        ("reg_token", (4,)),
        ("cls_token", ()),
        ("blocks.99999999999.x", (1,)),
    ],
)
def test_weights__of_odd_shapes_end_in_a_sentence(
    made: Path, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    tensors = read_tensors(made / "model.safetensors") | {name: torch.zeros(shape)}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(RedDinoError, match=r"w\.safetensors"):
        open_backbone(str(tmp_path / "w.safetensors"), image_size=SIZE)
