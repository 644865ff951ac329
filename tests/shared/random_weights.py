"""Weights that make every parameter count: LayerScale, biases and mask token included."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Draw every parameter from a normal distribution; norms and LayerScale around 1.

    A fresh network's LayerScale (1e-5) and zero biases would hide a forgotten branch.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            around = 1.0 if "gamma" in name or ("norm" in name and name.endswith("weight")) else 0.0
            spread = 0.3 if parameter.ndim == 1 else 0.05
            parameter.copy_(around + spread * torch.randn(parameter.shape, generator=generator))


def random_images(count: int, size: int, seed: int = 1) -> Tensor:
    """Normally distributed crops (count, 3, size, size)."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
