"""From uint8 squares to vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights import randomise
from torchvision.transforms import v2

from reddino.embedding.view_encoder import arithmetic, preprocessing
from reddino.figures.vit_patches import ViTPatches
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.catalogue import open_backbone
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.networks.graph import normalise, pool

RUNTIME = Runtime(torch.device("cpu"), "fp32", 1)
CARD = ModelCard("vit_tiny_patch14", 42, depth=1, layer_scale=0.1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def squares(count: int, size: int = 42) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def encoder(**changes: object) -> Encoder:
    card = ModelCard(**{**vars(CARD), **changes})
    backbone = card.create()
    randomise(backbone)
    return Encoder("mine", backbone, card, RUNTIME)


def test_normalise__equals_torchvision() -> None:
    images = squares(3)
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(CARD.mean, CARD.std)])
    expected = steps(torch.from_numpy(images).permute(0, 3, 1, 2))
    torch.testing.assert_close(
        normalise(torch.from_numpy(images), CARD.mean, CARD.std), expected, atol=1e-5, rtol=1e-5
    )


def test_embed__poolings_are_tokens_of_the_backbone() -> None:
    model, images = encoder(), squares(3)
    with torch.no_grad():
        tokens = model.backbone(normalise(torch.from_numpy(images), CARD.mean, CARD.std))
    assert tokens.patches is not None
    cls, mean = tokens.cls.numpy(), tokens.patches.mean(dim=1).numpy()
    np.testing.assert_allclose(model.embed(images), cls, atol=1e-5)
    np.testing.assert_array_equal(model.embed(images, "mean"), mean)
    np.testing.assert_array_equal(model.embed(images, "cls+mean"), np.concatenate([cls, mean], axis=1))
    assert model.embed(images).dtype == np.float32


def test_embed__a_vector_does_not_depend_on_its_batch() -> None:
    model, images = encoder(), squares(5)
    one_by_one = np.concatenate([model.embed(images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(model.embed(images), one_by_one, atol=1e-5)


def test_embed__swaps_channels_for_bgr_weights() -> None:
    swapped = encoder(channel_order="BGR", mean=CARD.mean, std=CARD.std)
    images = squares(2)
    np.testing.assert_array_equal(swapped.embed(images), encoder().embed(images[..., ::-1]))
    assert not np.allclose(swapped.embed(images), encoder().embed(images), atol=1e-2)


@pytest.mark.parametrize(
    ("images", "pooling", "sentence"),
    [
        (squares(2), "max", "pooling 'max' is not known"),
        (squares(2).astype(np.float32), "cls", "must be"),
        (squares(2)[0], "cls", "must be"),
        (squares(2)[..., :2], "cls", "must be"),
    ],
)
def test_embed__refuses_what_does_not_fit(images: np.ndarray, pooling: str, sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        encoder().embed(images, pooling)


def test_embed__a_cnn_has_no_patch_tokens() -> None:
    card = ModelCard("efficientnet_lite0", 64)
    model = Encoder("cnn", card.create(), card, RUNTIME)
    assert model.embed(squares(2, 64)).shape == (2, model.dim)
    with pytest.raises(RedDinoError, match="cnn has no patch tokens; use pooling cls"):
        model.embed(squares(2, 64), "mean")


def test_pool__of_three_tokens_by_hand() -> None:
    from reddino.networks.backbone import Tokens

    tokens = Tokens(torch.tensor([[1.0, 2.0]]), torch.tensor([[[0.0, 0.0], [4.0, 2.0]]]))
    assert pool(tokens, "cls+mean").tolist() == [[1.0, 2.0, 2.0, 1.0]]


def test_open_model__describes_what_an_embedding_table_needs(tmp_path: Path) -> None:
    original = encoder()
    save_model_folder(tmp_path / "m", original.backbone, CARD)
    opened = open_model(tmp_path / "m", runtime=RUNTIME)
    images = squares(2)
    np.testing.assert_array_equal(opened.embed(images), original.embed(images))
    assert opened.weights_hash != ""
    assert preprocessing(opened) == {
        "input_size": 42,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "channel_order": "RGB",
    }
    assert arithmetic(opened) == {"runtime": "torch", "precision": "fp32"}


def test_open_model__records_channel_order_and_resampled_positions(tmp_path: Path) -> None:
    save_model_folder(tmp_path / "m", encoder().backbone, CARD)
    opened = open_model(tmp_path / "m", image_size=70, channel_order="BGR", runtime=RUNTIME)
    record = preprocessing(opened)
    assert record["channel_order"] == "BGR"
    assert record["positions"] == "bicubic, offset 0.1, no antialias (DINOv2), from 42 px"
    with pytest.raises(RedDinoError, match="channel order 'GBR' is not known"):
        open_model(tmp_path / "m", channel_order="GBR", runtime=RUNTIME)


def test_embed__takes_paths_pil_images_and_arrays_of_any_size(tmp_path: Path) -> None:
    model = encoder()
    wide = np.random.default_rng(3).integers(0, 256, (28, 42, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    grey = wide[..., 0]
    vectors = model.embed(
        [wide, tmp_path / "wide.png", Image.fromarray(wide), squares(1)[0], grey], batch_size=2
    )
    assert vectors.shape == (5, model.dim)
    # Seen whole: mirrored to a square.
    square = np.pad(wide, ((7, 7), (0, 0), (0, 0)), mode="reflect")
    np.testing.assert_allclose(vectors[0], model.embed(square[None])[0], atol=1e-5)
    for same in (1, 2):
        np.testing.assert_allclose(vectors[same], vectors[0], atol=1e-5)
    np.testing.assert_allclose(vectors[3], model.embed(squares(1))[0], atol=1e-5)
    np.testing.assert_allclose(vectors[4], model.embed([np.stack([grey] * 3, axis=2)])[0], atol=1e-5)
    np.testing.assert_allclose(model.embed(wide[None])[0], vectors[0], atol=1e-5)
    large = np.array(Image.fromarray(square).resize((126, 126), Image.Resampling.BICUBIC))
    assert np.abs(model.embed([large])[0] - vectors[0]).max() < 0.2 * np.abs(vectors[0]).max()
    assert model.embed([]).shape == (0, model.dim)


def test_embed__names_the_image_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"image 1 is an array \(42, 42, 3\) of float32"):
        encoder().embed([squares(1)[0], squares(1)[0].astype(np.float32)])
    with pytest.raises(RedDinoError, match=r"gone\.png"):
        encoder().embed([tmp_path / "gone.png"])
    with pytest.raises(RedDinoError, match="list of images"):
        encoder().embed("cells.png")


def test_turned__vectors_are_means_over_quarter_turns_and_the_table_says_so(tmp_path: Path) -> None:
    save_model_folder(tmp_path / "m", encoder().backbone, CARD)
    plain, turned = (
        open_model(name, runtime=RUNTIME) for name in (tmp_path / "m", f"turned:{tmp_path / 'm'}")
    )
    images = squares(3)
    by_hand = np.mean([plain.embed(np.rot90(images, k, axes=(1, 2)).copy()) for k in range(4)], axis=0)
    np.testing.assert_allclose(turned.embed(images), by_hand, atol=1e-5)
    np.testing.assert_allclose(turned.embed(images[:, ::-1, ::-1].copy()), turned.embed(images), atol=1e-5)
    assert not np.allclose(plain.embed(images[:, ::-1, ::-1].copy()), plain.embed(images), atol=1e-3)
    pictures = [Image.fromarray(image) for image in images]
    np.testing.assert_allclose(turned.embed(pictures, "cls+mean")[:, : turned.dim], by_hand, atol=1e-5)
    assert preprocessing(turned) == {**preprocessing(plain), "orientations": 4}
    assert turned.weights_hash == plain.weights_hash
    with pytest.raises(RedDinoError, match="no tokens with places: leave 'turned:' out"):
        turned.embed(images, "tokens")


def test_turned__is_for_embedding_alone(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="not weights: leave 'turned:' out"):
        open_backbone("turned:reddino-tiny")
    save_model_folder(tmp_path / "m", encoder().backbone, CARD)
    with pytest.raises(RedDinoError, match="leave 'turned:' out"):
        ViTPatches(open_model(f"turned:{tmp_path / 'm'}", runtime=RUNTIME))
