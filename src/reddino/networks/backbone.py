"""The backbones of pretraining and embedding: a ViT that takes masks, and any other timm network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reddino.foundations.errors import RedDinoError
from reddino.networks.crop_block import CropBlock, Kept, KeptPair, adopt, class_token_of_last
from reddino.networks.depthwise import adopt_depthwise
from reddino.networks.feature_map import map_tokens
from reddino.networks.position import resample_positions


class Tokens(NamedTuple):
    """What a backbone returns: class token (B, d) and patch tokens (B, N, d); None where it has no tokens."""

    cls: Tensor
    patches: Tensor | None


KeptSamples = Sequence[Kept]
"""For each residual branch the samples that compute it; the others skip it (drop path)."""


class Crops(NamedTuple):
    """Crops of one size, and what the student does not see of them.

    Attributes:
        images: (B, 3, H, W), normalised; H and W multiples of the patch size.
        masks: (B, N) bool, True where a patch is replaced by the mask token.
        kept_samples: for each residual branch the samples that compute it; None: all of them.
    """

    images: Tensor
    masks: Tensor | None = None
    kept_samples: KeptSamples | None = None


class ViTBackbone(nn.Module):
    """A timm Vision Transformer that accepts masked patches, any crop size and DINOv2's drop path.

    The weights stay timm's (`vit`), so that a model folder opens with `timm.create_model`; the mask token is
    the only further parameter. Register tokens (DINOv2 "reg4"), where the network has them, stand between
    class token and patches, have no position and are not returned.
    """

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.vit: Any = vit
        self.dim = int(self.vit.embed_dim)
        self.depth = len(self.vit.blocks)
        self.patch_size = int(self.vit.patch_embed.patch_size[0])
        self.registers = 0 if vit.reg_token is None else int(vit.reg_token.shape[1])
        #: Tokens of the position embedding that stand before the patches: the class token, or none.
        self.positioned_prefix = 0 if vit.no_embed_class else 1
        self.mask_token = nn.Parameter(torch.zeros(1, self.dim))
        for block in self.vit.blocks:
            adopt(block)

    @property
    def residual_branches(self) -> int:
        """Branches that drop path may skip: attention and MLP of each block."""
        return 2 * self.depth

    @property
    def blocks(self) -> list[CropBlock]:
        """The blocks, in order."""
        return list(self.vit.blocks)

    def use_fused_attention(self, fused: bool) -> None:
        """Choose fused attention or explicit matrix products, block by block."""
        for block in self.vit.blocks:
            block.attn.fused_attn = fused

    def checkpoint_activations(self) -> None:
        """Recompute each block in the backward pass: a third more work, memory for one block at a time."""
        for block in self.blocks:
            block.checkpointed = True

    def forward(
        self, images: Tensor, masks: Tensor | None = None, kept_samples: KeptSamples | None = None
    ) -> Tokens:
        """Encode a batch of crops of one size; arguments as in `Crops`."""
        return self.encode([Crops(images, masks, kept_samples)])[0]

    def encode(self, groups: Sequence[Crops]) -> list[Tokens]:
        """Encode crops of several sizes, packed: one pass through the blocks, attention within each crop."""
        tokens = [self._embed(group.images, group.masks) for group in groups]
        for number, block in enumerate(self.vit.blocks):
            tokens = block(tokens, [_kept_by(group, number) for group in groups])
        normed = [self.vit.norm(x) for x in tokens]
        return [Tokens(x[:, 0], x[:, 1 + self.registers :]) for x in normed]

    def class_token(self, images: Tensor) -> Tensor:
        """Return the class token (B, d) alone, as `forward` computes it but for rounding.

        The last block computes what the class token reads and nothing else, which saves five sixths of it
        (7 % of a ViT-S).
        """
        x = self._embed(images, None)
        for block in self.vit.blocks[:-1]:
            x = block(x)
        alone: Tensor = self.vit.norm(class_token_of_last(self.vit.blocks[-1], x))[:, 0]
        return alone

    def _embed(self, images: Tensor, masks: Tensor | None) -> Tensor:
        """Return class token, registers and patches with their positions: (B, 1 + R + N, d)."""
        vit = self.vit
        x = vit.patch_embed.proj(images)
        grid = (int(x.shape[2]), int(x.shape[3]))
        x = x.flatten(2).transpose(1, 2)
        if masks is not None:
            x = torch.where(masks.unsqueeze(-1), self.mask_token.to(x.dtype), x)
        positions = resample_positions(vit.pos_embed, grid, self.positioned_prefix).to(x.dtype)
        prefix = vit.cls_token.to(x.dtype)
        if self.positioned_prefix:
            prefix = prefix + positions[:, :1]
        x = x + positions[:, self.positioned_prefix :]
        if vit.reg_token is not None:
            prefix = torch.cat([prefix, vit.reg_token.to(x.dtype)], dim=1)
        x = torch.cat([prefix.expand(x.shape[0], -1, -1), x], dim=1)
        embedded: Tensor = vit.norm_pre(x)
        return embedded

    def attend(self, images: Tensor) -> tuple[Tokens, Tensor]:
        """Encode (B, 3, H, W); also return the last block's attention (B, heads, N) of the class token.

        The attention is a softmax over class token, registers and patches together: over the patches it sums
        to less than 1.
        """
        attention = self.vit.blocks[-1].attn
        weights: list[Tensor] = []
        fused, attention.fused_attn = attention.fused_attn, False
        hook = attention.attn_drop.register_forward_hook(lambda _, given, __: weights.append(given[0]))
        try:
            tokens = self(images)
        finally:
            hook.remove()
            attention.fused_attn = fused
        return tokens, weights[0][:, :, 0, 1 + self.registers :]


def _kept_by(group: Crops, block: int) -> KeptPair:
    """Return which samples compute the two branches of a block; None where all of them do."""
    if group.kept_samples is None:
        return (None, None)
    attention, mlp = (
        None if kept.scale == 1.0 else kept for kept in group.kept_samples[2 * block : 2 * block + 2]
    )
    return (attention, mlp)


class PooledBackbone(nn.Module):
    """Any timm network: its pooled output stands where the class token stands; it has no patch tokens.

    Attributes:
        gives_map: whether the last feature map before the pooling is given out in place of patch tokens; they
            are nothing that could be masked.
    """

    residual_branches = 0
    gives_map = False

    def __init__(self, network: Any) -> None:
        super().__init__()
        # Convolutions of a few channels a group are 1.5 times as fast when a pixel's channels lie together.
        self.network: Any = network.to(memory_format=torch.channels_last)
        adopt_depthwise(self.network)
        # Some networks widen their features once more behind the pooling.
        self.dim = int(getattr(network, "head_hidden_size", None) or network.num_features)

    def use_fused_attention(self, fused: bool) -> None:
        """Do nothing: kept so that both backbones are set up in the same way."""

    @property
    def blocks(self) -> list[nn.Module]:
        """None that could be handled one by one: kept so that both backbones are set up alike."""
        return []

    def forward(
        self, images: Tensor, masks: Tensor | None = None, kept_samples: KeptSamples | None = None
    ) -> Tokens:
        """Encode (B, 3, H, W) to Tokens(pooled (B, d), None); with `gives_map` to (pooled, map (B, N, e))."""
        if masks is not None:
            raise RedDinoError("this backbone has no patch tokens to mask; set loss.ibot=0")
        images = images.contiguous(memory_format=torch.channels_last)
        if not self.gives_map:
            return Tokens(self.network(images), None)
        features = self.network.forward_features(images)
        return Tokens(self.network.forward_head(features), map_tokens(self.network, features))


Backbone = ViTBackbone | PooledBackbone
