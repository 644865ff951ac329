"""The last feature map of a convolutional network as patch tokens, finer than its own grid by shifts."""

from __future__ import annotations

import numpy as np
import torch

from reddino.embedding.view_encoder import Images
from reddino.figures.fields import PatchEncoder, Plane
from reddino.figures.vit_patches import ViTPatches
from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import PooledBackbone
from reddino.networks.encoder import Encoder
from reddino.networks.feature_map import map_tokens
from reddino.networks.graph import normalise

#: The map is computed at so many shifts along each side, which makes it as many times finer.
SHIFTS = 2
#: Tiles are so many times as large as the network's input: a map needs no class token of the right size.
TILES = 8
#: Side of the blank picture that the stride is measured on: a multiple of every usual stride.
BLANK = 256


class MapPatches:
    """An encoder for each place of the last feature map; a `PatchEncoder`. Computes with torch.

    A convolutional network has neither patch tokens nor a class token that attends to them, so there is no
    attention: it has no heads.

    Attributes:
        input_size: side of a tile in pixels, eight times the encoder's input.
        patch_size: pixels between the places of the finer map.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Take an encoder.

        Raises:
            RedDinoError: its network has no feature map, or has four orientations.
        """
        if encoder.orientations > 1:
            raise RedDinoError(f"{encoder.name} has no tokens with places: leave 'turned:' out")
        if not isinstance(encoder.backbone, PooledBackbone):
            raise RedDinoError(f"{encoder.name} is no convolutional network: its patch tokens are drawn")
        self._encoder, self._network = encoder, encoder.backbone.network
        self._stride = self._measured_stride()
        self.patch_size = max(1, self._stride // SHIFTS)
        self.input_size = TILES * encoder.input_size // self._stride * self._stride

    def _measured_stride(self) -> int:
        """Return the pixels between two places of the feature map, from a blank picture."""
        side = BLANK
        blank = torch.zeros(1, 3, side, side, device=self._encoder.runtime.device)
        with torch.inference_mode():
            count = int(map_tokens(self._network, self._network.forward_features(blank)).shape[1])
        places = round(count**0.5)
        if places < 2 or places * places != count:
            raise RedDinoError(f"{self._encoder.name} has no feature map of several places to draw")
        return max(1, round(side / int(places)))

    def patch_tokens(self, images: Images) -> tuple[Plane, Plane]:
        """Return the feature map of views, and no attention.

        Args:
            images: (n, H, W, 3) uint8 RGB, H and W multiples of the patch size.

        Returns:
            Tokens (n, h, w, d), h = H / patch size, and attention (n, 0, h, w).

        Raises:
            RedDinoError: the size does not fit.
        """
        n, height, width = images.shape[:3]
        step, stride = self.patch_size, self._stride
        if height % step or width % step:
            raise RedDinoError(f"sizes must be multiples of {step} px, not {width} x {height}")
        rows, columns = height // step, width // step
        # Each shifted copy is padded to whole strides; a place of the map is centred on its stride.
        margin = (stride - step) // 2
        down, right = -(-height // stride) * stride + stride, -(-width // stride) * stride + stride
        padded = np.pad(
            images, ((0, 0), (margin, down - height), (margin, right - width), (0, 0)), mode="symmetric"
        )
        tokens: Plane | None = None
        for top in range(0, stride, step):
            for left in range(0, stride, step):
                part = padded[:, top : top + down - stride, left : left + right - stride]
                found = self._map(part)
                if tokens is None:
                    tokens = np.zeros((n, rows, columns, found.shape[-1]), np.float32)
                target = tokens[:, top // step :: stride // step, left // step :: stride // step]
                target[:] = found[:, : target.shape[1], : target.shape[2]]
        assert tokens is not None
        return tokens, np.zeros((n, 0, rows, columns), np.float32)

    def _map(self, images: Images) -> Plane:
        """Return the feature map (n, H / stride, W / stride, d) of views of whole strides."""
        card, runtime = self._encoder.card, self._encoder.runtime
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(runtime.device)
        if card.channel_order == "BGR":
            batch = batch.flip(-1)
        with torch.inference_mode(), runtime.autocast():
            batch = normalise(batch, card.mean, card.std).contiguous(memory_format=torch.channels_last)
            found = map_tokens(self._network, self._network.forward_features(batch))
        grid = images.shape[1] // self._stride, images.shape[2] // self._stride
        if found.shape[1] != grid[0] * grid[1]:
            raise RedDinoError(f"{self._encoder.name} has no feature map of even steps to draw")
        return np.asarray(found.float().cpu().numpy().reshape(len(images), *grid, -1), np.float32)


def patch_encoder(encoder: Encoder) -> PatchEncoder:
    """Return what gives an encoder's patch tokens: those of a ViT, else its last feature map."""
    return MapPatches(encoder) if isinstance(encoder.backbone, PooledBackbone) else ViTPatches(encoder)
