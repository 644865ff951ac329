"""A model ready to embed: a backbone with its preprocessing, in some runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime, choose_runtime
from reddino.foundations.stages import stage
from reddino.foundations.visible import short
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.catalogue import PUBLISHED, PUBLISHED_SIZE, open_backbone
from reddino.networks.choices import ChannelOrder, Pooling
from reddino.networks.engine import Engine, TorchEngine
from reddino.networks.folder import ModelCard
from reddino.networks.model_names import TURNED
from reddino.networks.squares import Picture, as_squares

CHANNEL_ORDERS: tuple[ChannelOrder, ...] = get_args(ChannelOrder)
#: Squares that go to the network in one piece at most; longer arrays are dealt out, to bound the memory.
AT_ONCE = 512


class Encoder:
    """A model ready to embed: weights, preprocessing and runtime.

    Attributes:
        name: as given to `open_model`.
        dim: length of a class-token vector (`cls+mean` gives twice that).
        input_size: pixels of the square input.
        orientations: 4 where vectors are means over the quarter turns of an image, else 1.
        weights_hash: identifies the weights.
        engine: what computes the vectors; torch, until another is put in its place.
        choice: how the engine was chosen, for the table's metadata; None where nothing was compared.
    """

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        card: ModelCard,
        runtime: Runtime,
        engine: Engine | None = None,
        *,
        orientations: Literal[1, 4] = 1,
    ) -> None:
        self.name = name
        self.orientations = orientations
        self.card = card
        self.runtime = runtime
        self.backbone = backbone
        self.engine = engine or TorchEngine(backbone, card, runtime)
        self.choice: dict[str, Any] | None = None
        self.dim = backbone.dim
        self.input_size = card.image_size
        self.mean, self.std = card.mean, card.std
        self.channel_order = card.channel_order
        self.weights_hash = card.weights_hash

    @property
    def runtime_name(self) -> str:
        """`torch`, `openvino` or `onnx`."""
        return self.engine.name

    @property
    def precision(self) -> str:
        """`fp32` or `bf16`."""
        return self.engine.precision

    @property
    def position_resampling(self) -> str | None:
        """How the position embedding was brought to this input size; None where it is as trained."""
        if self.card.resampled_from is None:
            return None
        return f"{self.card.position_resampling}, from {self.card.resampled_from} px"

    def embed(
        self, images: NDArray[np.uint8] | Sequence[Picture], pooling: str = "cls", *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Embed images.

        Args:
            images: RGB squares (n, s, s, 3) uint8 with s = `input_size`, which go to the network as they are;
                or a list of paths, PIL images and uint8 RGB arrays of any size, or an array of another size,
                which are brought to that size first (`squares.as_squares`).
            pooling: `cls` (class token, or a CNN's pooled output), `mean` (of the patch tokens), `cls+mean`,
                or `tokens` (the patch tokens themselves, line by line).
            batch_size: images of a list that are decoded and computed at once.

        Returns:
            (n, d) float32; for `tokens` (n, tokens, d).

        Raises:
            RedDinoError: the pooling is unknown or needs tokens that the network lacks; no image.
        """
        self.check_pooling(pooling)
        if isinstance(images, np.ndarray):
            if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
                raise RedDinoError(f"images must be (n, s, s, 3) uint8, not {images.shape} {images.dtype}")
            if images.shape[1:3] == (self.input_size, self.input_size) and 0 < len(images) <= AT_ONCE:
                return self._vectors(images, pooling)
        elif isinstance(images, str | Path) or not isinstance(images, Sequence):
            raise RedDinoError("images must be a list of images, or an array (n, s, s, 3)")
        if not len(images):
            return np.empty((0, self.dim * (2 if pooling == "cls+mean" else 1)), np.float32)
        parts = [
            self._vectors(as_squares(images[start : start + batch_size], self.input_size), pooling)
            for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts)

    def _vectors(self, squares: NDArray[np.uint8], pooling: str) -> NDArray[np.float32]:
        turns = (np.rot90(squares, turn, axes=(1, 2)) for turn in range(self.orientations))
        vectors = [self.engine.vectors(np.ascontiguousarray(turned), pooling) for turned in turns]
        return vectors[0] if len(vectors) == 1 else np.mean(vectors, axis=0, dtype=np.float32)

    def check_pooling(self, pooling: str) -> None:
        """Refuse a pooling that is not known, or that needs tokens which the network lacks."""
        if pooling == "tokens" and self.orientations > 1:
            raise RedDinoError(f"{self.name} has no tokens with places: leave '{TURNED}' out")
        if pooling not in get_args(Pooling):
            raise RedDinoError(f"pooling '{pooling}' is not known; give cls, mean, cls+mean or tokens")
        if pooling != "cls" and not isinstance(self.backbone, ViTBackbone):
            raise RedDinoError(f"{self.name} has no patch tokens; use pooling cls")


def open_model(
    name: str | Path,
    *,
    image_size: int | None = None,
    channel_order: str | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Encoder:
    """Open a model by any name of `catalogue.open_backbone`, ready to embed with torch.

    Args:
        name: short name, hub id, folder or file; after `turned:`, a model whose vectors are means over the
            four quarter turns of an image, since a cell has no upper side (four times the work).
        image_size: pixels of the square input; None: 224 for the short names, else the model's own.
        channel_order: `RGB` or `BGR`, the order that the network sees; None: as its card has it.
        seed: of untrained weights.
        runtime: device, precision and threads; None chooses device and threads, and computes in float32.

    Raises:
        RedDinoError: the weights cannot be had or do not fit, or the order is not known.
    """
    if channel_order is not None and channel_order not in CHANNEL_ORDERS:
        raise RedDinoError(f"channel order '{channel_order}' is not known; give RGB or BGR")
    plain = str(name).removeprefix(TURNED)
    size = image_size or (PUBLISHED_SIZE if plain in PUBLISHED else None)
    with stage(f"opening {short(plain)}"):
        backbone, card = open_backbone(plain, image_size=size, seed=seed)
    if channel_order is not None:
        card = replace(card, channel_order=channel_order)
    return Encoder(
        str(name),
        backbone,
        card,
        runtime or choose_runtime(precision="fp32"),
        orientations=4 if str(name).startswith(TURNED) else 1,
    )
