"""Patch tokens and attention of views, from a Vision Transformer that is ready to embed."""

from __future__ import annotations

import numpy as np
import torch

from reddino.embedding.view_encoder import Images
from reddino.figures.fields import Plane
from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import ViTBackbone
from reddino.networks.encoder import Encoder
from reddino.networks.graph import normalise


class ViTPatches:
    """An encoder for each patch; a `PatchEncoder`. Computes with torch, whatever runtime embeds.

    Attributes:
        input_size: pixels of the encoder's own input.
        patch_size: side of a patch in pixels.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Take an encoder.

        Raises:
            RedDinoError: its network has no patch tokens, or has four orientations.
        """
        if not isinstance(encoder.backbone, ViTBackbone):
            raise RedDinoError(
                f"{encoder.name} has no patch tokens: patch pictures need a Vision Transformer"
            )
        encoder.check_pooling("tokens")
        self._encoder, self._backbone = encoder, encoder.backbone
        self.input_size, self.patch_size = encoder.input_size, encoder.backbone.patch_size

    def patch_tokens(self, images: Images) -> tuple[Plane, Plane]:
        """Return patch tokens, and the class token's attention in the last block.

        Args:
            images: (n, H, W, 3) uint8 RGB, H and W multiples of the patch size.

        Returns:
            Tokens (n, h, w, d) and attention (n, heads, h, w), h = H / patch size.

        Raises:
            RedDinoError: the size does not fit.
        """
        n, height, width = images.shape[:3]
        if height % self.patch_size or width % self.patch_size:
            raise RedDinoError(f"sizes must be multiples of {self.patch_size} px, not {width} x {height}")
        card, runtime = self._encoder.card, self._encoder.runtime
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(runtime.device)
        if card.channel_order == "BGR":
            batch = batch.flip(-1)
        with torch.inference_mode(), runtime.autocast():
            tokens, attention = self._backbone.attend(normalise(batch, card.mean, card.std))
        assert tokens.patches is not None
        grid = height // self.patch_size, width // self.patch_size
        patches: Plane = tokens.patches.float().cpu().numpy().reshape(n, *grid, -1)
        attended: Plane = attention.float().cpu().numpy().reshape(n, -1, *grid)
        return patches, attended
