"""The set transformer (Lee et al. 2019) as a model of patients: cells attend to few inducing points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Inducing points of a block, and heads of its attention.
INDUCING, HEADS = 8, 4


class AttentionBlock(nn.Module):
    """Multihead attention block: H = LN(Q + attention(Q, K, K)), then LN(H + ff(H)) (eq. 6-7)."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, queries: Tensor, keys: Tensor, absent: Tensor | None = None) -> Tensor:
        """Return (b, q, w) of queries (b, q, w) and keys (b, k, w), of which some are `absent` (b, k)."""
        found = self.attention(queries, keys, keys, key_padding_mask=absent, need_weights=False)[0]
        hidden = self.first(queries + found)
        result: Tensor = self.second(hidden + self.feed_forward(hidden))
        return result


class InducedBlock(nn.Module):
    """Induced set attention block: cells attend to inducing points that attended to the cells (eq. 9-10)."""

    def __init__(self, width: int, inducing: int = INDUCING) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.empty(1, inducing, width))
        nn.init.xavier_uniform_(self.points)
        self.gather, self.spread = AttentionBlock(width), AttentionBlock(width)

    def forward(self, cells: Tensor, absent: Tensor) -> Tensor:
        """Return (b, c, w) of cells (b, c, w), of which some are `absent` (b, c)."""
        points = self.gather(self.points.expand(len(cells), -1, -1), cells, absent)
        found: Tensor = self.spread(cells, points)
        return found


class SetTransformer(nn.Module):
    """A classifier of patients: an induced block over the cells, pooling by attention of one seed (eq. 11).

    Args:
        dim: numbers of a cell.
        hidden: width.
        classes: K.
        dropout: on the pooled vector.
    """

    def __init__(self, dim: int, hidden: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, hidden)
        self.block = InducedBlock(hidden)
        self.seed = nn.Parameter(torch.empty(1, 1, hidden))
        nn.init.xavier_uniform_(self.seed)
        self.pool = AttentionBlock(hidden)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, cells: Tensor, present: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Return logits (b, K) of cells (b, c, d), `present` or not (b, c); it reads no clinical columns."""
        hidden = self.block(self.embed(cells), ~present)
        pooled = self.pool(self.seed.expand(len(cells), -1, -1), hidden, ~present)[:, 0]
        logits: Tensor = self.head(self.drop(pooled))
        return logits
