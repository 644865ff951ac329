"""From uint8 squares to vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import randomise
from torchvision.transforms import v2

from reddino.errors import RedDinoError
from reddino.model.encoder import Encoder, describe, normalise, open_model, pool
from reddino.model.folder import ModelCard, save_model_folder
from reddino.runtime import Runtime

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
    np.testing.assert_array_equal(model.embed(images), cls)
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
        (squares(2, 45), "cls", "multiples of 14 px"),
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
    from reddino.model.backbone import Tokens

    tokens = Tokens(torch.tensor([[1.0, 2.0]]), torch.tensor([[[0.0, 0.0], [4.0, 2.0]]]))
    assert pool(tokens, "cls+mean").tolist() == [[1.0, 2.0, 2.0, 1.0]]


def test_open_model__describes_what_an_embedding_table_needs(tmp_path: Path) -> None:
    original = encoder()
    save_model_folder(tmp_path / "m", original.backbone, CARD)
    opened = open_model(tmp_path / "m", runtime=RUNTIME)
    images = squares(2)
    np.testing.assert_array_equal(opened.embed(images), original.embed(images))
    record = describe(opened)
    assert record["weights_hash"] == opened.weights_hash != ""
    assert record["input_size"] == 42
    assert record["mean"] == [0.5, 0.4, 0.3]
    assert (record["channel_order"], record["precision"]) == ("RGB", "fp32")
