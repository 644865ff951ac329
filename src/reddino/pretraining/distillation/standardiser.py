"""Standardisation of the teacher's features by the statistics of everything seen so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reddino.pretraining.distributed.processes import ALONE, Processes

#: The smallest standard deviation that a dimension is divided by, as a fraction of that of all dimensions
#: together, and of their size: what hardly varies, or only by rounding, is not blown up to be learnt.
SMALLEST, ROUNDING = 0.01, 0.001


class Standardiser(nn.Module):
    """Brings each dimension to mean 0 and variance 1 over everything it has seen so far.

    The teacher is frozen, so its statistics are those of the data: sums over all samples settle, where a
    batch's own, or a moving average, would keep the targets moving. They are kept in float64, and in the
    checkpoint.

    Args:
        dim: numbers per row.
    """

    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("total", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(dim, dtype=torch.float64))

    @torch.no_grad()
    def forward(self, values: Tensor, across: Processes = ALONE) -> Tensor:
        """Take in (..., d) of every process, and standardise them: (..., d) float32."""
        rows = values.flatten(0, -2).float()
        count = self.count.new_full((1,), len(rows))
        sums = torch.cat(
            [count, rows.sum(dim=0, dtype=torch.float64), rows.square().sum(dim=0, dtype=torch.float64)]
        )
        sums = across.sum(sums)
        self.count += sums[:1]
        self.total += sums[1 : 1 + rows.shape[1]]
        self.squares += sums[1 + rows.shape[1] :]
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp_min(0)
        size = (self.squares / self.count).mean()
        floor = torch.maximum(SMALLEST**2 * variance.mean(), ROUNDING**2 * size).clamp_min(1e-12)
        scale = variance.maximum(floor).rsqrt()
        return (values.float() - mean.float()) * scale.float()
