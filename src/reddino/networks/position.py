"""Position embeddings for another grid than they were trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from reddino.foundations.errors import RedDinoError

RESAMPLING = "bicubic, offset 0.1, no antialias (DINOv2)"
OFFSET = 0.1


def resample_positions(embedding: Tensor, grid: tuple[int, int], prefix_tokens: int = 1) -> Tensor:
    """Resample a learnt position embedding to `grid`, as DINOv2 does.

    DINOv2 scales by (grid + 0.1) / old grid instead of by the ratio of sizes, with bicubic weights and
    without antialiasing; timm's own resampling differs from that in the third digit, so the method is named
    and recorded.

    Args:
        embedding: (1, prefix + rows * columns, dim), of a square grid.
        grid: rows and columns of the patch grid wanted.
        prefix_tokens: tokens before the patches (the class token), passed through.

    Returns:
        (1, prefix + grid[0] * grid[1], dim); the argument itself where the grid is the same.
    """
    # An int also while an exporter traces, where a shape is a tensor.
    patches = int(embedding.shape[1]) - prefix_tokens
    side = round(patches**0.5)
    if (side, side) == grid:
        return embedding
    prefix, positions = embedding[:, :prefix_tokens], embedding[:, prefix_tokens:]
    image = positions.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = ((grid[0] + OFFSET) / side, (grid[1] + OFFSET) / side)
    image = functional.interpolate(image, scale_factor=scale, mode="bicubic", antialias=False)
    resampled = image.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1)
    return torch.cat([prefix, resampled.to(embedding.dtype)], dim=1)


def position_side(embedding: Tensor, prefix: int, origin: str) -> int:
    """Return the patches along a side of the grid of a position embedding (1, prefix + side * side, d).

    Raises:
        RedDinoError: no square grid has so many tokens.
    """
    if embedding.ndim != 3:
        raise RedDinoError(f"{origin}: the position embedding has {embedding.ndim} axes instead of three")
    patches = int(embedding.shape[1]) - prefix
    side = math.isqrt(max(patches, 0))
    if side < 1 or side * side != patches:
        raise RedDinoError(
            f"{origin}: the position embedding has {embedding.shape[1]} tokens, which is not "
            f"{'a class token and ' if prefix else ''}a square grid of patches"
        )
    return side
