"""The last feature map of a convolutional network: its places, its grid made finer, and pictures of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import reddino
from reddino.figures.fields import FieldTokens, encode_field, patches_inside
from reddino.figures.map_patches import MapPatches, patch_encoder
from reddino.figures.patch_figures import PatchBasis, striking_patches
from reddino.figures.vit_patches import ViTPatches
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.create_backbone import create_backbone
from reddino.networks.encoder import Encoder
from reddino.networks.folder import ModelCard

RUNTIME = Runtime(torch.device("cpu"), "fp32", 1)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    backbone = create_backbone("resnet10t").eval()
    return Encoder("cnn", backbone, ModelCard("resnet10t", 64), RUNTIME)


def test_patch_encoder__takes_the_feature_map_of_a_convolutional_network(encoder: Encoder) -> None:
    patches = patch_encoder(encoder)
    assert isinstance(patches, MapPatches)
    assert (patches.patch_size, patches.input_size) == (16, 512)
    tokens, attention = patches.patch_tokens(np.full((2, 96, 64, 3), 90, np.uint8))
    assert tokens.shape[:3] == (2, 6, 4)
    assert attention.shape == (2, 0, 6, 4)
    with pytest.raises(RedDinoError, match="multiples of 16 px"):
        patches.patch_tokens(np.zeros((1, 40, 64, 3), np.uint8))
    with pytest.raises(RedDinoError, match="turned"):
        MapPatches(Encoder("turned:cnn", encoder.backbone, encoder.card, RUNTIME, orientations=4))


def test_map__places_answer_to_what_lies_there(encoder: Encoder) -> None:
    patches = MapPatches(encoder)
    plain = np.full((1, 192, 256, 3), 220, np.uint8)
    for x, y in ((40, 40), (200, 150)):
        marked = plain.copy()
        cv2.circle(marked[0], (x, y), 10, (120, 40, 160), -1)
        change = np.linalg.norm(patches.patch_tokens(marked)[0] - patches.patch_tokens(plain)[0], axis=-1)[0]
        row, column = divmod(int(change.argmax()), change.shape[1])
        assert abs(row * 16 + 8 - y) <= 24 and abs(column * 16 + 8 - x) <= 24


def _round_field() -> np.ndarray:
    picture = np.full((160, 160, 3), 12, np.uint8)
    cv2.circle(picture, (80, 80), 70, (215, 215, 220), -1)
    for x, y in ((60, 60), (100, 70), (70, 105), (110, 110)):
        cv2.circle(picture, (x, y), 9, (170, 110, 150), -1)
    return picture


def test_encode_field__knows_the_black_surround_from_the_field(encoder: Encoder) -> None:
    field = encode_field(MapPatches(encoder), _round_field())
    assert not field.inside[0, 0] and not field.inside[-1, -1] and field.inside[5, 5]
    assert patches_inside(np.full((32, 32, 3), 200, np.uint8), 16).all()


def test_patch_basis__leaves_out_what_is_not_field_and_goes_by_stain_where_light_dominates() -> None:
    """Tokens tell the surround (most), then light from left to right, then stain."""
    image = np.full((80, 80, 3), 210, np.uint8)
    image[:, :20] = 5
    cells = np.zeros((20, 20), bool)
    cells[4::6, 8::4] = True
    image[np.kron(cells, np.ones((4, 4))).astype(bool)] = (150, 80, 120)
    inside = np.ones((20, 20), bool)
    inside[:, :5] = False
    tokens = np.random.default_rng(0).normal(0, 0.01, (20, 20, 6)).astype(np.float32)
    tokens[..., 0] += 50 * ~inside
    tokens[..., 1] += np.linspace(-4, 4, 20)[None]
    tokens[..., 2] += cells
    field = FieldTokens(image, tokens, np.zeros((0, 20, 20), np.float32), inside)
    basis = PatchBasis.fit([field])
    assert basis.by_stain
    assert abs(basis.first[0]) < 0.1 < abs(basis.first[1])
    assert np.array_equal(basis.foreground(field), cells)
    assert (basis.picture(field)[~inside] == 1).all()
    assert all(cells[place] for place in striking_patches(field, basis))


def test_patches__draws_the_default_model_without_attention(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "round.png"), _round_field())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "01-round-attention.png").write_bytes(b"of another network")
    drawn = reddino.patches(tmp_path / "round.png", None, tmp_path / "out", device="cpu", scale=1.0)
    assert [path.name for path in drawn] == ["pca.png", "01-round-similarity.png"]
    assert not (tmp_path / "out" / "01-round-attention.png").exists()


def test_patch_encoder__keeps_patch_tokens_of_a_vision_transformer() -> None:
    card = ModelCard("vit_tiny_patch14", 42, depth=1)
    assert isinstance(patch_encoder(Encoder("vit", card.create(), card, RUNTIME)), ViTPatches)
