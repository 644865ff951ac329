"""The Hugging Face hub, played by a server on the loopback interface, or out of reach."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest
import torch
from dinov2_reference import DEPTH, SIZE, WIDTH, native, reference
from huggingface_hub import constants
from safetensors.torch import save

from reddino.foundations.errors import RedDinoError
from reddino.networks import hub
from reddino.networks.catalogue import PUBLISHED, Published, open_backbone
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.networks.training_images import SEEN, SeenImages, seen_before, write_seen
from reddino.networks.weights import hash_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(BaseHTTPRequestHandler):
    """Serves `files` of any repository; everything else is not there."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.asked.append(self.path)
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        content = self.files.get(rest.partition("/")[2].partition("?")[0])
        if self.path == "/":
            content = b""
        self.send_response(200 if content is not None else 404)
        if content is None:
            missing = "RepoNotFound" if repository.endswith("nowhere") else "EntryNotFound"
            self.send_header("X-Error-Code", missing)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body:
            self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture()
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    FakeHub.files, FakeHub.asked = {}, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield FakeHub
    running.shutdown()
    running.server_close()


def hub_files() -> tuple[dict[str, bytes], torch.nn.Module]:
    """A tiny model in timm's hub format, and the network it is."""
    model = reference()
    tensors = {name: value for name, value in native(model).items() if name != "mask_token"}
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "num_classes": 0,
        "model_args": {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2},
        "pretrained_cfg": {"input_size": [3, SIZE, SIZE]},
    }
    return {"config.json": json.dumps(config).encode(), "model.safetensors": save(tensors)}, model


def test_hf_hub__is_fetched_once_and_then_opens_without_a_network(
    server: type[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files, _ = hub_files()
    first, _ = open_backbone("hf_hub:lab/tiny")
    asked = len(server.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again, _ = open_backbone("hf_hub:lab/tiny")
    assert hash_weights(first) == hash_weights(again)
    assert len(server.asked) == asked > 0


def test_hf_hub__of_our_own_model_keeps_its_channel_order(
    server: type[FakeHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ModelCard("vit_tiny_patch14", 28, depth=1, layer_scale=0.1, channel_order="BGR")
    save_model_folder(tmp_path / "model", card.create(), card)
    server.files = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    assert open_backbone("hf_hub:lab/ours")[1].channel_order == "BGR"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_backbone("hf_hub:lab/ours")[1].channel_order == "BGR"


def test_hf_hub__of_our_own_model_says_what_it_saw(server: type[FakeHub], tmp_path: Path) -> None:
    card = ModelCard("vit_tiny_patch14", 28, depth=1)
    save_model_folder(tmp_path / "model", card.create(), card)
    server.files = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    unknown = seen_before("hf_hub:lab/theirs")
    assert not unknown.sources and not unknown.complete
    write_seen(tmp_path, SeenImages(("bccd",), np.ones((1, 2), np.uint64)))
    server.files[SEEN] = (tmp_path / SEEN).read_bytes()
    listed = seen_before("hf_hub:lab/ours")
    assert listed.sources == ("bccd",) and listed.complete


def test_short_name__of_a_bare_file_is_fetched_from_its_repository(
    server: type[FakeHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reference()
    torch.save(native(model), tmp_path / "w.bin")
    server.files = {"pytorch_model_s.bin": (tmp_path / "w.bin").read_bytes()}
    backbone, card = open_backbone("dinobloom-s")
    assert any(path.startswith("/MarrLab/DinoBloom/resolve/") for path in server.asked)
    assert (backbone.dim, card.image_size) == (WIDTH, SIZE)
    monkeypatch.setitem(PUBLISHED, "dinobloom-s", Published("MarrLab/DinoBloom", "no_such_file.bin"))
    with pytest.raises(RedDinoError, match=r"'MarrLab/DinoBloom' holds no no_such_file\.bin"):
        open_backbone("dinobloom-s")


def test_hf_hub__says_that_a_repository_is_not_there(server: type[FakeHub]) -> None:
    with pytest.raises(RedDinoError, match=r"no repository 'lab/nowhere' that you may read: check the name"):
        open_backbone("hf_hub:lab/nowhere")


@pytest.mark.parametrize("name", ["reddino-small", "dinobloom-b", "resnet50", "timm:resnet10t.c3_in1k"])
def test_no_network__is_one_sentence_within_seconds(
    name: str, server: type[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on port 9 of the loopback interface.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(RedDinoError, match=r"http://127\.0\.0\.1:9 does not respond") as error:
        open_backbone(name)
    assert "\n" not in str(error.value)
    # Not a speed test: the client's own retries alone take longer than this.
    assert time.monotonic() - started < 20


def test_offline__is_said(server: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RedDinoError, match=r"'Snarcy/RedDino-small' are not in .*HF_HUB_OFFLINE is"):
        open_backbone("reddino-small")
    assert server.asked == []


def test_split_revision() -> None:
    assert hub.split_revision("lab/tiny@v2") == ("lab/tiny", "v2")
    assert hub.split_revision("lab/tiny") == ("lab/tiny", None)
