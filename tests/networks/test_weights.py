"""Weights files: layouts that users have, what is refused, and strict loading."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from random_weights import randomise
from safetensors.torch import save_file
from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import ViTBackbone
from reddino.networks.create_backbone import create_backbone
from reddino.networks.folder import HEADS, read_heads
from reddino.networks.position import resample_positions
from reddino.networks.weights import backbone_tensors, hash_weights, load_strictly, read_tensors


def small_vit(image_size: int = 42, seed: int | None = None) -> ViTBackbone:
    backbone = create_backbone("vit_tiny_patch14", image_size=image_size, depth=2)
    assert isinstance(backbone, ViTBackbone)
    if seed is not None:
        randomise(backbone, seed)
    return backbone


@pytest.fixture(scope="module")
def donor() -> ViTBackbone:
    return small_vit(seed=3)


@pytest.fixture(scope="module")
def tensors(donor: ViTBackbone) -> dict[str, Tensor]:
    return backbone_tensors(donor)


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never be printed",)


def test_read_tensors__takes_safetensors(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, tmp_path / "w.safetensors")
    read = read_tensors(tmp_path / "w.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in read)


def test_read_tensors__takes_the_teachers_backbone_of_a_training_checkpoint(
    tmp_path: Path, donor: ViTBackbone, tensors: dict[str, Tensor]
) -> None:
    teacher = {f"backbone.{name}": value for name, value in tensors.items()}
    teacher["backbone.mask_token"] = donor.mask_token.detach()
    teacher["dino_head.mlp.0.weight"] = torch.zeros(2, 2)
    torch.save({"teacher": teacher, "iteration": 7}, tmp_path / "checkpoint.pth")
    loaded = small_vit()
    load_strictly(loaded, read_tensors(tmp_path / "checkpoint.pth"), "checkpoint.pth")
    assert hash_weights(loaded) == hash_weights(donor)
    assert torch.equal(loaded.mask_token, donor.mask_token)


def test_read_tensors__takes_block_chunked_names(
    tmp_path: Path, donor: ViTBackbone, tensors: dict[str, Tensor]
) -> None:
    # DINOv2's chunks keep the block's own number: blocks.<chunk>.<block>.
    chunked = {name.replace("blocks.1.", "blocks.3.1.").replace("blocks.0.", "blocks.0.0."): value
               for name, value in tensors.items()}  # fmt: skip
    assert "blocks.3.1.ls1.gamma" in chunked
    torch.save(
        {"teacher": {f"backbone.{name}": value for name, value in chunked.items()}}, tmp_path / "c.pth"
    )
    loaded = small_vit()
    load_strictly(loaded, read_tensors(tmp_path / "c.pth"), "c.pth")
    assert hash_weights(loaded) == hash_weights(donor)


def test_read_tensors__refuses_a_pickle_that_runs_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"teacher": RunsCode()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"teacher": RunsCode()}))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(RedDinoError, match=rf"{name} cannot be read as weights .*never executed"):
            read_tensors(tmp_path / name)
    assert "never be printed" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_read_tensors__refuses_a_truncated_file(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str, share: float
) -> None:
    path = tmp_path / f"w.{suffix}"
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RedDinoError, match=rf"w\.{suffix} cannot be read as weights"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_read_tensors__refuses_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is text, not weights")
    with pytest.raises(RedDinoError, match="cannot be read as weights"):
        read_tensors(tmp_path / name)


def test_read_tensors__refuses_what_is_no_dictionary_of_tensors(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(RedDinoError, match="holds no dictionary of tensors"):
        read_tensors(tmp_path / "list.pth")
    torch.save({"weight": torch.zeros(2), "epoch": 3}, tmp_path / "mixed.pth")
    with pytest.raises(RedDinoError, match="entry 'epoch' is no tensor"):
        read_tensors(tmp_path / "mixed.pth")


def test_read_tensors__names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"gone\.pth does not exist"):
        read_tensors(tmp_path / "gone.pth")


def test_load_strictly__names_missing_tensors(tensors: dict[str, Tensor]) -> None:
    # The LayerScale that a careless port forgets.
    without = {name: value for name, value in tensors.items() if "gamma" not in name}
    with pytest.raises(
        RedDinoError, match=r"port does not fit .* 4 missing \(first: blocks\.0\.ls1\.gamma\)"
    ):
        load_strictly(small_vit(), without, "port")


def test_load_strictly__names_unexpected_tensors(tensors: dict[str, Tensor]) -> None:
    extra = {**tensors, "head.bias": torch.zeros(3), "register_tokens": torch.zeros(1, 4, 192)}
    with pytest.raises(RedDinoError, match=r"2 unexpected \(first: head\.bias\)"):
        load_strictly(small_vit(), extra, "port")


def test_load_strictly__names_missing_and_unexpected_together(tensors: dict[str, Tensor]) -> None:
    renamed = {("final.weight" if name == "norm.weight" else name): value for name, value in tensors.items()}
    with pytest.raises(
        RedDinoError, match=r"1 missing \(first: norm\.weight\) and 1 unexpected \(first: final"
    ):
        load_strictly(small_vit(), renamed, "port")


def test_load_strictly__names_a_wrong_shape_and_leaves_the_rest_alone(tensors: dict[str, Tensor]) -> None:
    untouched = small_vit(seed=5)
    before = hash_weights(untouched)
    with pytest.raises(RedDinoError, match=r"'norm\.bias' has shape \(7,\), this backbone needs \(192,\)"):
        load_strictly(untouched, {**tensors, "norm.bias": torch.zeros(7)}, "port")
    assert hash_weights(untouched) == before


def test_load_strictly__resamples_positions_of_another_grid_only_when_asked(
    tensors: dict[str, Tensor],
) -> None:
    larger = small_vit(image_size=70)
    with pytest.raises(RedDinoError, match=r"10 tokens \(3 x 3 patches, 42 px\), but 5 x 5"):
        load_strictly(larger, tensors, "port")
    load_strictly(larger, tensors, "port", resample=True)
    assert larger.vit.pos_embed.shape == (1, 26, 192)
    expected = resample_positions(tensors["pos_embed"], (5, 5))
    assert torch.equal(larger.vit.pos_embed.detach(), expected)


def test_load_strictly__without_a_mask_token_leaves_it_zero(tensors: dict[str, Tensor]) -> None:
    loaded = small_vit()
    load_strictly(loaded, tensors, "released model")
    assert float(loaded.mask_token.detach().abs().max()) == 0.0


def test_hash_weights__sees_names_values_and_not_the_mask_token(tensors: dict[str, Tensor]) -> None:
    loaded = small_vit()
    load_strictly(loaded, tensors, "w")
    before = hash_weights(loaded)
    with torch.no_grad():
        loaded.mask_token.add_(1)
    assert hash_weights(loaded) == before
    with torch.no_grad():
        loaded.vit.norm.bias[3] += 1e-6
    assert hash_weights(loaded) != before


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_load_strictly__names_a_tensor_that_is_not_finite(tensors: dict[str, Tensor], wrong: float) -> None:
    name = "blocks.1.mlp.fc1.weight"
    broken = {**tensors, name: tensors[name].clone()}
    broken[name][0, 0] = wrong
    backbone = small_vit()
    before = hash_weights(backbone)
    with pytest.raises(
        RedDinoError, match=f"w.pth: tensor '{name}' holds numbers that are not finite: the file"
    ):
        load_strictly(backbone, broken, "w.pth")
    assert hash_weights(backbone) == before


def test_read_heads__names_a_tensor_that_is_not_finite(tmp_path: Path) -> None:
    save_file({"head.weight": torch.tensor([1.0, float("nan")])}, tmp_path / HEADS)
    with pytest.raises(RedDinoError, match=r"heads.safetensors: tensor 'head.weight' holds"):
        read_heads(tmp_path)
