"""Exported files in the programs that they are for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from small_models import CARD, ONE_THREAD, SIZE, small_encoder, squares

from reddino.embedding import export as export_module
from reddino.embedding.export import Export, export_model
from reddino.embedding.push import files_to_push, push_folder
from reddino.embedding.runtimes.onnx_graph import embedding_graph
from reddino.foundations.errors import RedDinoError
from reddino.networks import hub
from reddino.networks.backbone import ViTBackbone
from reddino.networks.create_backbone import create_backbone
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.folder import ModelCard
from reddino.networks.graph import normalise
from reddino.networks.training_images import SeenImages, write_seen


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    encoder = small_encoder(replace(CARD, channel_order="BGR"))
    yield export_model(encoder, tmp_path_factory.mktemp("out") / "onnx", pooling="cls+mean")


def test_onnx__takes_raw_pixels_in_any_number(onnx: Export) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx.folder / "model.onnx"))
    encoder = small_encoder(replace(CARD, channel_order="BGR"))
    for count in (1, 5):
        images = squares(count)
        found = session.run(None, {"images": images})[0]
        wanted = encoder.embed(images, "cls+mean")
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    # Without our encoder: swapped, normalised and run through timm.
    pixels = normalise(torch.from_numpy(squares(2)).flip(-1), CARD.mean, CARD.std)
    with torch.no_grad():
        assert isinstance(encoder.backbone, ViTBackbone)
        tokens = encoder.backbone.vit.forward_features(pixels)
    expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1).numpy()
    found = session.run(None, {"images": squares(2)})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_onnx__is_described_beside_it(onnx: Export) -> None:
    described = json.loads((onnx.folder / "reddino-export.json").read_text())
    assert described["input"].startswith("images: uint8 (n, 42, 42, 3), RGB")
    assert described["channel_order_inside"] == "BGR"
    assert described["weights_hash"] == small_encoder().weights_hash
    assert onnx.difference is not None and onnx.difference < 1e-4
    assert set(onnx.files) == {"model.onnx", "reddino-export.json"} | {
        name for name in onnx.files if name.endswith(".data")
    }


def test_openvino__ir_gives_the_vectors_of_torch(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    written = export_model(small_encoder(), tmp_path / "ir", form="openvino")
    assert {"model.xml", "model.bin"} <= set(written.files)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(written.folder / "model.xml"), "CPU", settings)
    wanted = small_encoder().embed(squares(4))
    np.testing.assert_allclose(compiled([squares(4)])[0], wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"form": "onnx", "scores": {"wF1": 0.5}}, "an export as onnx has none of"),
        ({"form": "openvino", "licence": "mit"}, "an export as openvino has none of"),
        ({"form": "hub", "pooling": "mean"}, "leave pooling mean to what opens it"),
    ],
)
def test_export__refuses_what_its_format_has_no_place_for(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        export_model(small_encoder(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_export__refuses_a_file_that_computes_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    other = small_encoder(seed=1)

    def wrong(backbone: Any, card: ModelCard, pooling: str) -> Any:
        return embedding_graph(other.backbone, card, pooling)

    monkeypatch.setattr(export_module, "embedding_graph", wrong)
    with pytest.raises(RedDinoError, match=r"does not compute what torch computes .*nothing was written"):
        export_model(small_encoder(), tmp_path / "out", form="openvino")
    assert list(tmp_path.iterdir()) == []


def test_export__refuses_a_folder_with_something_in_it_and_a_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RedDinoError, match="turns images no more: leave 'turned:' out"):
        turned = Encoder("turned:small", small_encoder().backbone, CARD, ONE_THREAD, orientations=4)
        export_model(turned, tmp_path / "new")
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RedDinoError, match="is not empty: export to a new folder"):
        export_model(small_encoder(), tmp_path)
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(RedDinoError, match=r"pip install 'reddino\[onnx\]'"):
        export_model(small_encoder(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture()
def ready(tmp_path: Path) -> Path:
    card = replace(CARD, training={"data": "abc123", "recipe": {"optim": {"lr": 0.001}}, "steps": 9})
    encoder = small_encoder(card)
    export_model(encoder, tmp_path / "ready", form="hub", scores={"Chula 20-NN wF1": 0.5}, licence="mit")
    return tmp_path / "ready"


def test_hub__folder_opens_in_timm_and_here(ready: Path) -> None:
    assert sorted(file.name for file in ready.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "reddino.json"
    ]  # fmt: skip
    network = timm.create_model(f"local-dir:{ready}", pretrained=True).eval()
    pixels = normalise(torch.from_numpy(squares(2)), CARD.mean, CARD.std)
    wanted = small_encoder().embed(squares(2))
    with torch.no_grad():
        np.testing.assert_allclose(network(pixels).numpy(), wanted, atol=1e-4)
    np.testing.assert_allclose(open_model(ready, runtime=ONE_THREAD).embed(squares(2)), wanted, atol=1e-5)


def test_hub__model_card_says_what_it_must(ready: Path) -> None:
    text = (ready / "README.md").read_text()
    for part in ("license: mit", "library_name: timm", "fingerprint abc123", "{'lr': 0.001}", "steps: 9",
                 "Chula 20-NN wF1: 0.5000", "Not a medical device", f"{SIZE} x {SIZE} px, RGB"):  # fmt: skip
        assert part in text, part


def test_hub__refuses_a_network_that_timm_cannot_name(tmp_path: Path) -> None:
    cut = create_backbone("resnet50-cut")
    encoder = Encoder("cut", cut, ModelCard("resnet50-cut", 64), small_encoder().runtime)
    with pytest.raises(RedDinoError, match="export it as onnx instead"):
        export_model(encoder, tmp_path / "hub", form="hub")


def test_push__sends_the_models_files_and_nothing_else(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ready / "notes-about-patients.txt").write_text("private")
    write_seen(ready, SeenImages(("bccd",), np.zeros((1, 2), np.uint64)))
    sent: dict[str, Any] = {}
    private = True

    class Api:
        def create_repo(self, name: str, **options: Any) -> None:
            sent["repository"], sent["options"] = name, options

        def repo_info(self, name: str) -> Any:
            return type("Info", (), {"private": private})

        def file_exists(self, name: str, file: str) -> bool:
            return file == "seen.parquet"

        def create_commit(self, name: str, operations: list[Any], commit_message: str) -> Any:
            deleted = [one for one in operations if isinstance(one, huggingface_hub.CommitOperationDelete)]
            sent["deleted"] = [operation.path_in_repo for operation in deleted]
            sent["files"] = [one.path_in_repo for one in operations if one not in deleted]
            return type("Commit", (), {"commit_url": "address of the commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.setattr(hub, "why_out_of_reach", lambda: None)
    assert push_folder(ready, "lab/cells", private=True) == "address of the commit"
    assert sent["repository"] == "lab/cells"
    assert sent["options"] == {"private": True, "exist_ok": True}
    assert sorted(sent["files"]) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "reddino.json",
        "seen.parquet",
    ]
    assert sent["deleted"] == []
    (ready / "seen.parquet").unlink()
    push_folder(ready, "lab/cells", private=True)
    assert sent["deleted"] == ["seen.parquet"]
    private = False
    with pytest.raises(RedDinoError, match="'lab/cells' is there already and is public"):
        push_folder(ready, "lab/cells", private=True)


def test_push__says_why_it_cannot(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(hub, "why_out_of_reach", lambda: None)
    with pytest.raises(RedDinoError, match="nobody is logged in; run `hf auth login`"):
        push_folder(ready, "lab/cells")
    with pytest.raises(RedDinoError, match="give OWNER/NAME"):
        push_folder(ready, "cells")
    monkeypatch.setattr(hub, "why_out_of_reach", lambda: "HF_HUB_OFFLINE is set")
    with pytest.raises(RedDinoError, match="nothing was sent: HF_HUB_OFFLINE is set"):
        push_folder(ready, "lab/cells")
    (ready / "README.md").unlink()
    with pytest.raises(RedDinoError, match=r"lacks README\.md: make it with `reddino export"):
        files_to_push(ready)
    with pytest.raises(RedDinoError, match=r"lacks config\.json, model\.safetensors, README\.md"):
        files_to_push(tmp_path / "nowhere")
