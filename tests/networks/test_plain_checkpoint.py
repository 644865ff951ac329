"""Plain state dicts of timm open with their architecture named, and are refused with the reason else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import open_model
from reddino.networks.folder import open_model_folder, save_model_folder
from reddino.networks.model_names import split_architecture, with_architecture, with_architectures

CNN, VIT = "test_efficientnet", "test_vit"


def _network(name: str, classes: int = 10) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, num_classes=classes).eval()


@pytest.mark.parametrize("name", [CNN, VIT, "test_resnet"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_plain_checkpoint__computes_what_timm_computes(tmp_path: Path, name: str, suffix: str) -> None:
    network = _network(name)
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), file)
    else:
        save_file(network.state_dict(), file)
    encoder = open_model(f"{name}@{file}")
    settings = timm.get_pretrained_cfg(name)
    assert encoder.input_size == settings.input_size[-1]
    assert (encoder.mean, encoder.std) == (settings.mean, settings.std)
    images = np.random.default_rng(0).integers(
        0, 256, (2, encoder.input_size, encoder.input_size, 3), np.uint8
    )
    pixels = (torch.from_numpy(images).float() / 255 - torch.tensor(encoder.mean)) / torch.tensor(encoder.std)
    with torch.no_grad():
        wanted = network.forward_head(network.forward_features(pixels.permute(0, 3, 1, 2)), pre_logits=True)
    assert np.allclose(encoder.embed(images), wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_plain_checkpoint__of_a_trainer_is_unwrapped(tmp_path: Path, wrapper: str) -> None:
    state = {f"module.{name}": value for name, value in _network(CNN).state_dict().items()}
    torch.save({wrapper: state, "epoch": 3}, tmp_path / "last.pth")
    assert open_model(f"{CNN}@{tmp_path / 'last.pth'}").dim == _network(CNN).num_features


def test_plain_checkpoint__as_a_model_folder_is_the_same(tmp_path: Path) -> None:
    torch.save(_network(VIT).state_dict(), tmp_path / "w.pth")
    encoder = open_model(f"{VIT}@{tmp_path / 'w.pth'}")
    save_model_folder(tmp_path / "folder", encoder.backbone, encoder.card)
    assert open_model_folder(tmp_path / "folder")[1].weights_hash == encoder.weights_hash


def test_plain_checkpoint__without_its_architecture_is_refused_and_the_option_named(tmp_path: Path) -> None:
    torch.save(_network(CNN).state_dict(), tmp_path / "w.pth")
    with pytest.raises(RedDinoError, match=r"not the backbone of a DINOv2-family network.*--architecture"):
        open_model(tmp_path / "w.pth")
    torch.save(_network("test_vit").state_dict(), tmp_path / "v.pth")
    with pytest.raises(RedDinoError, match=r"a ViT without LayerScale|no multiple of 64") as error:
        open_model(tmp_path / "v.pth")
    assert "--architecture" in str(error.value)
    assert "@FILE" in str(error.value)


def test_plain_checkpoint__of_another_architecture_is_refused_by_its_tensors(tmp_path: Path) -> None:
    torch.save(_network(CNN).state_dict(), tmp_path / "w.pth")
    with pytest.raises(RedDinoError, match=r"does not fit this backbone: tensors .* missing .* unexpected"):
        open_model(f"test_resnet@{tmp_path / 'w.pth'}")
    with pytest.raises(RedDinoError, match="has no architecture 'resnet5000'"):
        open_model(f"resnet5000@{tmp_path / 'w.pth'}")
    with pytest.raises(RedDinoError, match=r"has no settings 'test_resnet\.nonsense'"):
        open_model(f"test_resnet.nonsense@{tmp_path / 'w.pth'}")


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def test_plain_checkpoint__never_executes_code(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": _Runs()}))
    with pytest.raises(RedDinoError, match="code is never executed"):
        open_model(f"{CNN}@{tmp_path / 'w.pth'}")
    torch.save({"a": _Runs()}, tmp_path / "v.pth")
    with pytest.raises(RedDinoError, match="code is never executed"):
        open_model(f"{CNN}@{tmp_path / 'v.pth'}")


def test_names__with_an_architecture_are_told_from_others(tmp_path: Path) -> None:
    assert split_architecture("resnet50@w.pth") == ("resnet50", Path("w.pth"))
    assert split_architecture("resnet50@a/b@c.safetensors") == ("resnet50", Path("a/b@c.safetensors"))
    for name in ("hf_hub:owner/name@main", "w.pth", "a@b", "runs/x@y/w.pth"):
        assert split_architecture(name) is None
    (tmp_path / "odd@name.pth").touch()
    assert split_architecture(str(tmp_path / "odd@name.pth")) is None
    assert with_architecture("w.pth", "resnet50") == "resnet50@w.pth"
    assert with_architecture("reddino-tiny", None) == "reddino-tiny"
    assert with_architecture("turned:w.pth", "resnet50") == "turned:resnet50@w.pth"
    with pytest.raises(RedDinoError, match="'reddino-tiny', which is not a weights file"):
        with_architecture("reddino-tiny", "resnet50")
    with pytest.raises(RedDinoError, match=r"'resnet18@w\.pth' names an architecture"):
        with_architecture("resnet18@w.pth", "resnet50")


def test_names__of_several_models_get_the_architecture_where_they_need_one() -> None:
    models = ["ours=w.pth", "reddino-tiny", "resnet18@v.pth", "turned:w.pth"]
    wanted = ["ours=resnet50@w.pth", "reddino-tiny", "resnet18@v.pth", "turned:resnet50@w.pth"]
    assert with_architectures(models, "resnet50") == wanted
    assert with_architectures(models, None) == models
    for none in (["reddino-tiny"], []):
        with pytest.raises(RedDinoError, match="no model is a weights file"):
            with_architectures(none, "resnet50")
