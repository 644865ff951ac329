"""The ViT's block: timm's, with crops of several sizes packed, drop path by skipping, and checkpointing.

Without timm, whose import takes two seconds: batches are made before there is a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, is_grad_enabled, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Kept(NamedTuple):
    """The samples that compute one residual branch (drop path).

    Attributes:
        indices: (k,) positions among the crops of this process.
        scale: all samples over the kept ones, of the whole batch: what makes up for those that skip.
    """

    indices: Tensor
    scale: float


Groups = list[Tensor]
"""Tokens (B_i, N_i, d) of the crops of each size."""
KeptPair = tuple[Kept | None, Kept | None]
"""For the attention and for the MLP of a block; None where every sample computes it."""
ALL: KeptPair = (None, None)


class CropBlock(nn.Module):
    """What `adopt` adds to timm's block: its forward, written out for pretraining; the weights are the same.

    Everything that works block by block, FSDP2, compilation and activation checkpointing, hooks its forward.
    """

    norm1: Any
    norm2: Any
    attn: Any
    mlp: Any
    ls1: Any
    ls2: Any
    #: Recompute the block in the backward pass instead of keeping what it computed.
    checkpointed = False

    def forward(
        self, x: Tensor | Groups, kept: Sequence[KeptPair] | None = None, **masking: Any
    ) -> Tensor | Groups:
        """Return the tokens (B, N, d) of one size, as timm has it, or of a list of sizes, packed.

        Args:
            x: tokens, or a list of tokens, each of crops of one size.
            kept: for each group of a list, which samples compute attention and MLP; None: all of them.
            masking: what timm's own forward takes next to the tokens.
        """
        if isinstance(x, Tensor):
            alone: Tensor = super().forward(x, **masking)
            return alone
        pairs = [ALL] * len(x) if kept is None else list(kept)
        if self.checkpointed and is_grad_enabled():
            # Nothing in a block is random: drop path is planned before.
            recomputed: Groups = checkpoint(
                self._residuals, x, pairs, use_reentrant=False, preserve_rng_state=False
            )
            return recomputed
        return self._residuals(x, pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the block by timm's class, since the one that `adopt` made cannot be imported."""
        return _empty, (type(self).__bases__[1],), self.__dict__

    def _residuals(self, groups: Groups, kept: list[KeptPair]) -> Groups:
        groups = residual(groups, self._attention, [attention for attention, _ in kept])
        return residual(groups, self._mlp, [mlp for _, mlp in kept])

    def _attention(self, groups: Groups) -> Groups:
        if len(groups) == 1:
            return [self.ls1(self.attn(self.norm1(groups[0])))]
        sizes = [group.shape for group in groups]
        return unpack(self.ls1(packed_attention(self.attn, self.norm1(pack(groups)), sizes)), sizes)

    def _mlp(self, groups: Groups) -> Groups:
        if len(groups) == 1:
            return [self.ls2(self.mlp(self.norm2(groups[0])))]
        return unpack(self.ls2(self.mlp(self.norm2(pack(groups)))), [group.shape for group in groups])


def adopt(block: Any) -> None:
    """Turn one of timm's plain blocks into a `CropBlock`, its weights and their names untouched."""
    if not isinstance(block, CropBlock):
        kind: Any = type(block)
        block.__class__ = _adopted(kind)


@lru_cache
def _adopted(kind: Any) -> type:
    """Return timm's class with the forward of `CropBlock`."""
    return type("CropBlock", (CropBlock, kind), {})


def _empty(kind: Any) -> Any:
    """Return an adopted block of timm's class without its state, which unpickling gives it."""
    made: Any = _adopted(kind)
    return made.__new__(made)


def class_token_of_last(block: Any, x: Tensor) -> Tensor:
    """Return a plain block's output for its first token: (B, N, d) to (B, 1, d).

    Nothing reads the other tokens of the last block where only the class token is needed: only its query,
    projection and MLP are computed, and every token's key and value.
    """
    cls = x[:, :1] + block.ls1(_attention_of_first(block.attn, block.norm1(x)))
    alone: Tensor = cls + block.ls2(block.mlp(block.norm2(cls)))
    return alone


def _attention_of_first(attention: Any, x: Tensor) -> Tensor:
    """Return a timm `Attention`'s output for the first of its tokens: (B, N, d) to (B, 1, d)."""
    heads, width = attention.num_heads, attention.num_heads * attention.head_dim
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query_bias, other_bias = (None, None) if bias is None else (bias[:width], bias[width:])
    query = functional.linear(x[:, :1], weight[:width], query_bias)
    others = functional.linear(x, weight[width:], other_bias)
    query = query.reshape(x.shape[0], 1, heads, attention.head_dim).transpose(1, 2)
    others = others.reshape(x.shape[0], x.shape[1], 2, heads, attention.head_dim)
    keys, values = others.permute(2, 0, 3, 1, 4).unbind(0)
    scores = (query * attention.scale) @ keys.transpose(-2, -1)
    mixed = scores.softmax(dim=-1) @ values
    projected: Tensor = attention.proj(mixed.transpose(1, 2).reshape(x.shape[0], 1, width))
    return projected


def residual(groups: Groups, branch: Callable[[Groups], Groups], kept: list[Kept | None]) -> Groups:
    """Return x + branch(x), computed for the kept samples and scaled up accordingly (DINOv2's drop path)."""
    parts = [
        x if plan is None else x.index_select(0, plan.indices) for x, plan in zip(groups, kept, strict=True)
    ]
    computed = branch(parts)
    return [
        x + part if plan is None else torch.index_add(x, 0, plan.indices, part.to(x.dtype), alpha=plan.scale)
        for x, part, plan in zip(groups, computed, kept, strict=True)
    ]


def pack(groups: Groups) -> Tensor:
    """Join the tokens of all groups in one row: (T, d)."""
    return torch.cat([group.flatten(0, 1) for group in groups])


def unpack(tokens: Tensor, sizes: Sequence[torch.Size]) -> Groups:
    """Undo `pack` for groups of these sizes (B_i, N_i, d)."""
    parts = torch.split(tokens, [size[0] * size[1] for size in sizes])
    return [part.reshape(size[0], size[1], -1) for part, size in zip(parts, sizes, strict=True)]


def packed_attention(attention: Any, tokens: Tensor, sizes: Sequence[torch.Size]) -> Tensor:
    """Compute self-attention within each crop of a packed row of tokens: block-diagonal, as if crop by crop.

    The products with weights run over all tokens at once. Attention itself runs size by size, since crops of
    one size are a plain batch: that needs no mask, no kernel for unequal lengths, and wastes no pair.

    Args:
        attention: timm's module.
        tokens: (T, d) of all groups.
        sizes: (B_i, N_i, d) of each group.

    Returns:
        (T, d).
    """
    heads, width = attention.num_heads, attention.head_dim
    parts = attention.qkv(tokens).split([size[0] * size[1] for size in sizes])
    mixed = []
    for part, (count, length, _) in zip(parts, sizes, strict=True):
        query, key, value = part.reshape(count, length, 3, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
        query, key = attention.q_norm(query), attention.k_norm(key)
        if attention.fused_attn:
            out = functional.scaled_dot_product_attention(query, key, value)
        else:
            out = ((query * attention.scale) @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        mixed.append(out.transpose(1, 2).reshape(count * length, heads * width))
    x = attention.norm(torch.cat(mixed))
    return attention.proj(x)  # type: ignore[no-any-return]
