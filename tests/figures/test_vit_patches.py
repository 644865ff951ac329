"""Patch tokens of an encoder are those that it embeds by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reddino.figures.vit_patches import ViTPatches
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.create_backbone import initialise
from reddino.networks.encoder import Encoder
from reddino.networks.folder import ModelCard

RUNTIME = Runtime(torch.device("cpu"), "fp32", 1)


@pytest.mark.parametrize("channel_order", ["RGB", "BGR"])
def test_patch_tokens__have_the_mean_that_is_embedded_and_lie_line_by_line(channel_order: str) -> None:
    card = ModelCard("vit_tiny_patch14", 42, depth=2, layer_scale=1.0, channel_order=channel_order)
    backbone = card.create()
    initialise(backbone, 0)
    encoder = Encoder("mine", backbone, card, RUNTIME)
    images = np.random.default_rng(0).integers(0, 256, (2, 42, 42, 3), dtype=np.uint8)
    patches = ViTPatches(encoder)
    tokens, attention = patches.patch_tokens(images)
    assert tokens.shape == (2, 3, 3, 192)
    assert attention.shape == (2, 3, 3, 3)
    assert tokens.mean(axis=(1, 2)) == pytest.approx(encoder.embed(images, "mean"), abs=1e-4)
    assert tokens.reshape(2, 9, 192) == pytest.approx(encoder.embed(images, "tokens"), abs=1e-4)
    assert (attention.sum(axis=(2, 3)) < 1).all()
    # Wider than high, and not the encoder's own size.
    wide = np.random.default_rng(1).integers(0, 256, (1, 28, 56, 3), dtype=np.uint8)
    assert patches.patch_tokens(wide)[0].shape == (1, 2, 4, 192)
    with pytest.raises(RedDinoError, match="multiples of 14 px"):
        patches.patch_tokens(wide[:, :, :50])
