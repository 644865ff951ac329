"""Distillation from a guide: the student's guesses, the standardised targets, and the loss between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from reddino.networks.backbone import Tokens
from reddino.pretraining.distillation.teacher import Guide, Words
from reddino.pretraining.distributed.processes import ALONE, Processes

#: The smallest standard deviation that a dimension is divided by, as a share of that of all dimensions
#: together, and of their size: what hardly varies, or only by rounding, is not blown up to be learnt.
SMALLEST, ROUNDING = 0.01, 0.001


class GuideHeads(nn.Module):
    """Linear maps from the student's tokens to what the guide says: heads, no part of the network.

    Args:
        guide: whose words are guessed.
        dim: of the student's pooled token.
        map_side, map_dim: places along an edge of the student's feature map, and numbers a place.
        pooled: whether pooled words are guessed; where they only tell who is near whom, they are not.
    """

    def __init__(self, guide: Guide, dim: int, map_side: int, map_dim: int, pooled: bool = True) -> None:
        super().__init__()
        #: Places along an edge of the coarser of the two maps, at which they are compared.
        self.side = min(guide.map_side, map_side)
        self.pooled = nn.Linear(dim, guide.dim) if guide.dim and pooled else None
        self.shapes = nn.Linear(dim, guide.shape_dim) if guide.shape_dim else None
        self.spatial = nn.Linear(map_dim, guide.map_dim) if guide.map_dim else None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights: truncated normal 0.02, zero biases."""
        for head in (self.pooled, self.shapes, self.spatial):
            if head is not None:
                with torch.no_grad():
                    nn.init.trunc_normal_(head.weight, std=0.02, generator=generator)
                    nn.init.zeros_(head.bias)

    def forward(self, tokens: Tokens) -> Words:
        """What the guide says of these crops, as the student guesses from the changed ones."""
        pooled = self.pooled(tokens.cls) if self.pooled is not None else None
        spatial = None
        if self.spatial is not None:
            assert tokens.patches is not None
            spatial = self.spatial(coarsened(tokens.patches, self.side))
        shapes = self.shapes(tokens.cls) if self.shapes is not None else None
        return Words(pooled, spatial, shapes)


def coarsened(tokens: Tensor, side: int) -> Tensor:
    """Average tokens (C, N, d) of a square grid over the places of one with `side` along an edge, by area."""
    own = isqrt(tokens.shape[1])
    if own == side:
        return tokens
    return area_weights(own, side, tokens.device).to(tokens.dtype) @ tokens


@lru_cache(maxsize=8)
def area_weights(own: int, side: int, device: torch.device) -> Tensor:
    """(side^2, own^2): what share of each coarse place each fine one covers; the rows sum to 1."""
    edges = torch.arange(side + 1, dtype=torch.float64) * own / side
    low, high = edges[:-1, None], edges[1:, None]
    place = torch.arange(own, dtype=torch.float64)[None]
    covered = (torch.minimum(high, place + 1) - torch.maximum(low, place)).clamp_min(0) * side / own
    return torch.kron(covered, covered).float().to(device)


class Standardiser(nn.Module):
    """Brings each dimension to mean 0 and variance 1 over everything it has seen so far.

    The guide is frozen, so its statistics are those of the data: sums over all samples settle, where a
    batch's own, or a moving average, would keep the targets moving. They are kept in float64, and in the
    checkpoint.

    Args:
        dim: numbers a row.
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


def guide_loss(targets: Tensor, guesses: Tensor) -> Tensor:
    """Half the cosine distance and half the smooth L1 distance, as in UNIC (Sariyildiz et al. 2024).

    Means over all rows. The cosine asks for the direction of a whole vector, smooth L1 for each number, with
    little weight on the long tails of rectified features.

    Args:
        targets: (..., d) standardised words of the guide.
        guesses: (..., d) of the student.
    """
    guesses = guesses.float()
    cosine = 1 - functional.cosine_similarity(guesses, targets, dim=-1).mean()
    return 0.5 * cosine + 0.5 * functional.smooth_l1_loss(guesses, targets)


def guide_metric(words: Words, widths: Sequence[int]) -> Tensor:
    """(C, d) in which distances between crops are those that the guide sees: each part a vector of length 1.

    Args:
        words: standardised; of pooled words and hand-crafted features, those that there are.
        widths: numbers of the pooled words of each network, each of which is a part.
    """
    networks = [] if words.pooled is None else torch.split(words.pooled, list(widths), dim=-1)
    shapes = [] if words.shapes is None else [words.shapes]
    return torch.cat([functional.normalize(part, dim=-1) for part in (*networks, *shapes)], dim=-1)


def relation_loss(targets: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """How far the student's neighbours are from being the guide's.

    For each crop the others are weighed by softmax(-squared distance / temperature), with distances in shares
    of their mean; the loss is the mean Kullback-Leibler divergence of the guide's weights from the student's.
    It looks at the embedding itself, without a head: nearest neighbours read raw distances there.

    Args:
        targets: (C, d) vectors whose distances are wanted.
        tokens: (C, e) student's pooled output; neither its scale nor its mean matters.
        temperature: in shares of the mean squared distance.
    """
    wanted, found = (_log_weights(part.float(), temperature) for part in (targets, tokens))
    return functional.kl_div(found, wanted, reduction="sum", log_target=True) / len(targets)


def _log_weights(vectors: Tensor, temperature: float) -> Tensor:
    """(C, C - 1) log-softmax of -squared distance to the other rows, over its mean and the temperature."""
    count = len(vectors)
    lengths = vectors.square().sum(dim=1)
    # Autocast would round the product to bfloat16, and the difference of near crops is lost in that.
    with torch.autocast(vectors.device.type, enabled=False):
        # Not cdist: its gradient is not finite where two crops are the same.
        distances = (lengths[:, None] + lengths[None] - 2 * vectors @ vectors.T).clamp_min(0)
    # All but the diagonal, which stands count + 1 places apart. A mask would make the CPU wait for a GPU.
    distances = distances.flatten()[1:].reshape(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
    return functional.log_softmax(-distances / (temperature * distances.mean().clamp_min(1e-12)), dim=1)
