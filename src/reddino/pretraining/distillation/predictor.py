"""The student's predictions of the teacher's features: linear heads, and feature maps of unequal size."""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor, nn

from reddino.networks.backbone import Tokens
from reddino.pretraining.distillation.teacher import DistillationTeacher, TeacherFeatures


class FeaturePredictor(nn.Module):
    """Linear maps from the student's tokens to the teacher's features: heads, no part of the saved network.

    Checkpoints name the head of the morphology features `shapes`.

    Args:
        teacher: whose features are predicted.
        dim: of the student's pooled token.
        map_side, map_dim: places along an edge of the student's feature map, and numbers at each place.
        pooled: whether pooled features are predicted; where only distances between them count, they are not.
    """

    def __init__(
        self, teacher: DistillationTeacher, dim: int, map_side: int, map_dim: int, pooled: bool = True
    ) -> None:
        super().__init__()
        #: Places along an edge of the coarser of the two maps, at which they are compared.
        self.side = min(teacher.map_side, map_side)
        self.pooled = nn.Linear(dim, teacher.dim) if teacher.dim and pooled else None
        self.shapes = nn.Linear(dim, teacher.morphology_dim) if teacher.morphology_dim else None
        self.spatial = nn.Linear(map_dim, teacher.map_dim) if teacher.map_dim else None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights: truncated normal 0.02, zero biases."""
        for head in (self.pooled, self.shapes, self.spatial):
            if head is not None:
                with torch.no_grad():
                    nn.init.trunc_normal_(head.weight, std=0.02, generator=generator)
                    nn.init.zeros_(head.bias)

    def forward(self, tokens: Tokens) -> TeacherFeatures:
        """Predict the teacher's features of the clean crops from the student's tokens of the changed ones."""
        pooled = self.pooled(tokens.cls) if self.pooled is not None else None
        spatial = None
        if self.spatial is not None:
            assert tokens.patches is not None
            spatial = self.spatial(coarsened(tokens.patches, self.side))
        morphology = self.shapes(tokens.cls) if self.shapes is not None else None
        return TeacherFeatures(pooled, spatial, morphology)


def coarsened(tokens: Tensor, side: int) -> Tensor:
    """Average tokens (C, N, d) of a square grid over the places of one with `side` along an edge, by area."""
    own = isqrt(tokens.shape[1])
    if own == side:
        return tokens
    return area_weights(own, side, tokens.device).to(tokens.dtype) @ tokens


@lru_cache(maxsize=8)
def area_weights(own: int, side: int, device: torch.device) -> Tensor:
    """Return (side^2, own^2): which fraction of each coarse place each fine one covers; rows sum to 1."""
    edges = torch.arange(side + 1, dtype=torch.float64) * own / side
    low, high = edges[:-1, None], edges[1:, None]
    place = torch.arange(own, dtype=torch.float64)[None]
    covered = (torch.minimum(high, place + 1) - torch.maximum(low, place)).clamp_min(0) * side / own
    return torch.kron(covered, covered).float().to(device)
