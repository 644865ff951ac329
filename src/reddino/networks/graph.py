"""The whole way from uint8 squares to vectors as one module, so that every runtime computes the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reddino.networks.backbone import Backbone, Tokens, ViTBackbone


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Convert uint8 (n, s, s, 3) RGB to float32 (n, 3, s, s), normalised by channel."""
    scale = 1.0 / (255.0 * torch.tensor(std))
    shift = torch.tensor(mean) / torch.tensor(std)
    if images.device.type != "cpu":  # made there, each constant would wait for all that the device has to do
        scale, shift = (part.to(images.device, non_blocking=True) for part in (scale, shift))
    x = images.permute(0, 3, 1, 2).float()
    return x * scale.view(1, 3, 1, 1) - shift.view(1, 3, 1, 1)


def pool(tokens: Tokens, pooling: str) -> Tensor:
    """Return class token, mean of patch tokens (n, d), both (n, 2 d), or the patch tokens (n, N, d)."""
    if pooling == "cls":
        return tokens.cls
    assert tokens.patches is not None
    if pooling == "tokens":
        return tokens.patches
    mean = tokens.patches.mean(dim=1)
    return mean if pooling == "mean" else torch.cat([tokens.cls, mean], dim=1)


class EmbeddingGraph(nn.Module):
    """uint8 squares (n, s, s, 3) in RGB to float32 vectors (n, d): swap, normalise, encode, pool."""

    def __init__(
        self,
        backbone: Backbone,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        channel_order: str = "RGB",
        pooling: str = "cls",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean, self.std = mean, std
        self.swapped = channel_order == "BGR"
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch."""
        pixels = normalise(images.flip(-1) if self.swapped else images, self.mean, self.std)
        if self.pooling == "cls" and isinstance(self.backbone, ViTBackbone):
            return self.backbone.class_token(pixels).float()
        return pool(self.backbone(pixels), self.pooling).float()
