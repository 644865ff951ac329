"""The ViT's block: timm's, with crops of several sizes, drop path by skipping, and checkpointing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.vision_transformer import Block
from torch import Tensor, is_grad_enabled
from torch.utils.checkpoint import checkpoint

from reddino.networks.blocks import ALL, Groups, KeptPair, pack, packed_attention, residual, unpack


class CropBlock(Block):  # type: ignore[misc]
    """timm's block, its forward written out for what pretraining does with it; the weights are the same.

    Everything that works block by block, FSDP2, compilation and activation checkpointing, hooks its forward.
    """

    #: Recompute the block in the backward pass instead of keeping what it computed.
    checkpointed = False

    def forward(
        self, x: Tensor | Groups, kept: Sequence[KeptPair] | None = None, **masking: Any
    ) -> Tensor | Groups:
        """Tokens (B, N, d) of one size, as timm has it, or a list of them, packed where there are several.

        Args:
            x: tokens, or a list of tokens, each of crops of one size.
            kept: for each group of a list, which samples compute attention and MLP; None: all of them.
            masking: what timm's own forward takes beside the tokens.
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
    if type(block) is Block:
        block.__class__ = CropBlock
