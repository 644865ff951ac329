"""The commands that open, export and send models, as a person gives them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import reddino
from reddino.cli import main
from reddino.embedding.part_files import read_meta
from reddino.embedding.runtimes import choice
from reddino.embedding.runtimes.check import synthetic_cells
from reddino.embedding.table import read_embeddings
from reddino.networks.create_backbone import initialise
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.synthetic.write import write_smears


@pytest.fixture()
def model(tmp_path: Path) -> Path:
    card = ModelCard("vit_tiny_patch14", 42, depth=1, layer_scale=0.5)
    backbone = card.create()
    initialise(backbone, 3)
    save_model_folder(tmp_path / "model", backbone, card)
    return tmp_path / "model"


@pytest.fixture()
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(synthetic_cells(10, 50)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def embed(pictures: Path, model: Path, out: Path, *options: str) -> int:
    return main(["embed", str(pictures), "--model", str(model), "--out", str(out), *options])


def test_embed__records_runtime_precision_and_channel_order(
    pictures: Path, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    assert embed(pictures, model, tmp_path / "torch", "--runtime", "torch", "--precision", "fp32") == 0
    assert embed(pictures, model, tmp_path / "onnx", "--runtime", "onnx") == 0
    assert embed(pictures, model, tmp_path / "bgr", "--channel-order", "BGR") == 0
    tables = {name: read_embeddings(tmp_path / name) for name in ("torch", "onnx", "bgr")}
    assert (tables["torch"].meta["runtime"], tables["torch"].meta["precision"]) == ("torch", "fp32")
    assert (tables["onnx"].meta["runtime"], tables["onnx"].meta["precision"]) == ("onnx", "fp32")
    np.testing.assert_allclose(tables["onnx"].vectors, tables["torch"].vectors, atol=1e-4)
    assert tables["bgr"].meta["preprocessing"]["channel_order"] == "BGR"
    assert np.abs(tables["bgr"].vectors - tables["torch"].vectors).max() > 1e-3
    assert "runtime_check" in tables["bgr"].meta


def test_embed__goes_on_in_the_runtime_it_began_with(pictures: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "table"
    assert embed(pictures, model, out, "--runtime", "onnx") == 0
    assert embed(pictures, model, out) == 0
    assert read_meta(out)["runtime"] == "onnx"


def test_embed__goes_on_in_the_variant_it_began_with_without_measuring(
    pictures: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("runtimes were compared")

    out = tmp_path / "table"
    # Any pass is long enough; the clock makes the second variant of torch the faster one.
    monkeypatch.setattr(choice, "WORTH_COMPARING", 0)
    ticks = iter(2.0**-number for number in range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: -next(ticks))
    assert embed(pictures, model, out, "--runtime", "torch", "--precision", "fp32") == 0
    before = read_meta(out)["runtime_check"]
    assert before["chosen"] == "torch fp32 explicit attention"
    assert len(before["measured"]) == 2
    monkeypatch.setattr(choice, "_race", forbidden)
    assert embed(pictures, model, out) == 0
    assert read_meta(out)["runtime_check"] == before


def test_embed__refuses_another_runtime_in_the_same_folder(
    pictures: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    assert embed(pictures, model, tmp_path / "table", "--runtime", "onnx") == 0
    assert embed(pictures, model, tmp_path / "table", "--runtime", "torch") == 1
    assert "the runtime ('onnx' against 'torch')" in " ".join(capsys.readouterr().err.split())


def test_embed__at_another_size_records_how_positions_were_made(
    pictures: Path, model: Path, tmp_path: Path
) -> None:
    reddino.embed(pictures, str(model), tmp_path / "table", image_size=56)
    record = read_meta(tmp_path / "table")["preprocessing"]
    assert (record["input_size"], record["positions"].startswith("bicubic, offset 0.1")) == (56, True)


def test_export_and_push__as_commands(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    assert main(["export", str(model), str(ready), "--format", "hub", "--scores", "wF1=0.25"]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    assert "wF1: 0.2500" in (ready / "README.md").read_text()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["push", str(ready), "lab/cells"]) == 1
    assert "nothing was sent: HF_HUB_OFFLINE is set" in " ".join(capsys.readouterr().err.split())
    assert main(["export", str(model), str(ready)]) == 1
    assert "is not empty" in " ".join(capsys.readouterr().err.split())
    assert main(["export", str(model), str(tmp_path / "x"), "--scores", "wF1=good"]) == 1
    assert "'wF1' is 'good', which is not a number" in " ".join(capsys.readouterr().err.split())


def test_models__lists_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for name in ("reddino-small", "dinobloom-g", "dinov2-large", "resnet50", "FILE.pth", "hf_hub:ID"):
        assert name in printed


def test_embed__opens_a_plain_checkpoint_of_the_architecture_that_is_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", pretrained=False, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "last.pth")
    plain = ["embed", str(pictures), "--model", str(tmp_path / "last.pth"), "--out", str(tmp_path / "t")]
    assert main(plain) == 1
    assert "--architecture" in capsys.readouterr().err
    assert main([*plain, "--architecture", "test_efficientnet"]) == 0
    assert read_meta(tmp_path / "t")["model"] == f"test_efficientnet@{tmp_path / 'last.pth'}"


def test_embed__of_whole_fields_says_how_to_embed_cells(
    tmp_path: Path, pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_smears(
        tmp_path / "fields", sources=("lilac",), patients_per_source=2, fields_per_patient=1, field_um=60
    )
    (tmp_path / "fields" / "manifest.csv").unlink()
    assert embed(tmp_path / "fields" / "lilac", model, tmp_path / "whole") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "--find-cells" in line]
    assert len(said) == 1
    assert "each whole picture gets one vector" in said[0]
    assert embed(tmp_path / "fields" / "lilac", model, tmp_path / "asked", "--view", "image") == 0
    assert embed(pictures, model, tmp_path / "crops") == 0
    assert "each whole picture" not in capsys.readouterr().err
