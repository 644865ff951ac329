"""A tiny network with weights that make every parameter count, and squares to embed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reddino.embedding.runtimes.check import synthetic_cells
from reddino.foundations.runtime import Runtime
from reddino.networks.encoder import Encoder
from reddino.networks.folder import ModelCard, save_model_folder

SIZE = 42
CARD = ModelCard(
    "vit_tiny_patch14", SIZE, depth=2, layer_scale=0.1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
)
ONE_THREAD = Runtime(torch.device("cpu"), "fp32", 1)


def small_encoder(card: ModelCard = CARD, threads: int = 1, seed: int = 0) -> Encoder:
    """The network, in float32 torch."""
    backbone = card.create()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            around = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(around + 0.1 * torch.randn(parameter.shape, generator=generator))
    return Encoder("small", backbone, card, Runtime(torch.device("cpu"), "fp32", threads))


def small_folder(folder: Path) -> Path:
    """It, as a model folder."""
    save_model_folder(folder, small_encoder().backbone, CARD)
    return folder


def squares(count: int, size: int = SIZE) -> np.ndarray:
    """Drawn cells (count, size, size, 3)."""
    return synthetic_cells(count, size, seed=5)
