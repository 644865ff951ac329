"""From uint8 squares to vectors: a backbone with its preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reddino.errors import RedDinoError
from reddino.model.backbone import Backbone, Tokens, ViTBackbone
from reddino.model.catalogue import open_backbone
from reddino.model.folder import ModelCard
from reddino.runtime import Runtime, choose_runtime

Pooling = Literal["cls", "mean", "cls+mean", "tokens"]


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (n, s, s, 3) RGB to float32 (n, 3, s, s), normalised by channel."""
    scale = 1.0 / (255.0 * torch.tensor(std, device=images.device))
    shift = torch.tensor(mean, device=images.device) / torch.tensor(std, device=images.device)
    x = images.permute(0, 3, 1, 2).float()
    return x.mul_(scale.view(1, 3, 1, 1)).sub_(shift.view(1, 3, 1, 1))


class Encoder:
    """A model ready to embed: weights, preprocessing and runtime.

    Attributes:
        name: as asked for.
        dim: length of a class-token vector (`cls+mean` gives twice that).
        input_size: pixels of the square input.
        weights_hash: identifies the weights.
    """

    def __init__(self, name: str, backbone: Backbone, card: ModelCard, runtime: Runtime) -> None:
        self.name = name
        self.card = card
        self.runtime = runtime
        self.backbone = backbone.eval().to(runtime.device)
        self.backbone.use_fused_attention(True)
        self.dim = backbone.dim
        self.input_size = card.image_size
        self.mean, self.std = card.mean, card.std
        self.channel_order = card.channel_order
        self.weights_hash = card.weights_hash

    def embed(self, images: NDArray[np.uint8], pooling: str = "cls") -> NDArray[np.float32]:
        """Embed RGB squares.

        Args:
            images: (n, s, s, 3) uint8, s = `input_size` (any multiple of the patch size for a ViT).
            pooling: `cls` (class token, or a CNN's pooled output), `mean` (of the patch tokens), `cls+mean`,
                or `tokens` (the patch tokens themselves, line by line).

        Returns:
            (n, d) float32; for `tokens` (n, tokens, d).

        Raises:
            RedDinoError: the pooling is unknown or needs tokens that the network lacks; the size does not
                fit.
        """
        self._check(images, pooling)
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.runtime.device)
        if self.channel_order == "BGR":
            batch = batch.flip(-1)
        with torch.inference_mode(), self.runtime.autocast():
            tokens = self.backbone(normalise(batch, self.mean, self.std))
        vectors: NDArray[np.float32] = pool(tokens, pooling).float().cpu().numpy()
        return vectors

    def _check(self, images: NDArray[np.uint8], pooling: str) -> None:
        if pooling not in get_args(Pooling):
            raise RedDinoError(f"pooling '{pooling}' is not known; give cls, mean, cls+mean or tokens")
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise RedDinoError(f"images must be (n, s, s, 3) uint8, not {images.shape} {images.dtype}")
        if isinstance(self.backbone, ViTBackbone):
            patch = self.backbone.patch_size
            if images.shape[1] % patch or images.shape[2] % patch:
                raise RedDinoError(
                    f"{self.name} takes sizes that are multiples of {patch} px, not {images.shape[1:3]}"
                )
        elif pooling != "cls":
            raise RedDinoError(f"{self.name} has no patch tokens; use pooling cls")


def pool(tokens: Tokens, pooling: str) -> Tensor:
    """Class token, mean of patch tokens, or both side by side: (n, d) or (n, 2 d); patch tokens (n, N, d)."""
    if pooling == "cls":
        return tokens.cls
    assert tokens.patches is not None
    if pooling == "tokens":
        return tokens.patches
    mean = tokens.patches.mean(dim=1)
    return mean if pooling == "mean" else torch.cat([tokens.cls, mean], dim=1)


def open_model(
    name: str | Path, *, image_size: int | None = None, seed: int = 0, runtime: Runtime | None = None
) -> Encoder:
    """Open a model by short name, hub id or folder (see `catalogue.open_backbone`), ready to embed."""
    backbone, card = open_backbone(str(name), image_size=image_size, seed=seed)
    return Encoder(str(name), backbone, card, runtime or choose_runtime())


def describe(encoder: Encoder) -> dict[str, Any]:
    """What an embedding table records of the model that made it."""
    return {
        "model": encoder.name,
        "weights_hash": encoder.weights_hash,
        "input_size": encoder.input_size,
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "channel_order": encoder.channel_order,
        "precision": encoder.runtime.precision,
    }
