"""The models inside the package: opened by name, described, small, and the same as when they were scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from reddino.foundations.runtime import Runtime
from reddino.networks.catalogue import open_backbone
from reddino.networks.encoder import open_model
from reddino.networks.folder import WEIGHTS, read_card
from reddino.networks.shipped import DEFAULT_MODEL, as_folder, shipped_models
from reddino.networks.training_images import read_seen
from reddino.synthetic.sources import SOURCES
from reddino.synthetic.write import SOURCE_PREFIX

OPEN_SOURCES = {"chula_bangkok", "bccd", "draaslan_ankara", "pbc_barcelona", "raabin_iran"}


@pytest.fixture
def folder() -> Path:
    return shipped_models()[DEFAULT_MODEL]


def test_as_folder__a_folder_of_that_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    assert as_folder(DEFAULT_MODEL) == str(folder)
    assert as_folder("dinov2-small") == "dinov2-small"
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL).mkdir()
    assert as_folder(DEFAULT_MODEL) == DEFAULT_MODEL


def test_default_model__opens_strictly_and_is_half_a_file(folder: Path) -> None:
    backbone, card = open_backbone(DEFAULT_MODEL)
    assert card.weights_hash == read_card(folder).weights_hash
    assert {value.dtype for value in backbone.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }
    assert (folder / WEIGHTS).stat().st_size < 15e6


def test_default_model__timm_opens_the_same_network(folder: Path) -> None:
    encoder = open_model(DEFAULT_MODEL, runtime=Runtime(torch.device("cpu"), "fp32", 1))
    size = encoder.input_size
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (encoder.mean, encoder.std))
    with torch.no_grad():
        wanted = network((pixels - mean) / std).numpy()
    np.testing.assert_allclose(encoder.embed(images), wanted, atol=1e-3 * np.abs(wanted).max())


def test_default_model__lists_what_it_saw(folder: Path) -> None:
    seen = read_seen(folder)
    assert seen is not None
    assert seen.complete
    drawn = {f"{SOURCE_PREFIX}{name}" for name in SOURCES}
    assert set(seen.sources) == OPEN_SOURCES | drawn == set(read_card(folder).training["sources"])
    text = (folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "license:",
        "Not a medical device",
        "chula_rbc12",
        "MIT",
        "ImageNet",
        read_card(folder).weights_hash,
    ):
        assert words in text
