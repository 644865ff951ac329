"""What the pass over the images asks of a network, or of anything else that turns views into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


class Encoder(Protocol):
    """Turns uint8 RGB views into vectors; a model, or a baseline such as a colour histogram.

    Attributes:
        name: what tables and figures call it.
        input_size: side in pixels of the views it takes.
        mean, std: per-channel normalisation of values in 0..1.
        channel_order: "RGB" or "BGR", the order the network sees.
        weights_hash: changes whenever the weights, or the formula of a baseline, change.
    """

    @property
    def name(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def mean(self) -> Sequence[float]: ...
    @property
    def std(self) -> Sequence[float]: ...
    @property
    def channel_order(self) -> str: ...
    @property
    def weights_hash(self) -> str: ...

    def embed(self, images: Images, pooling: Any, /) -> Vectors:
        """Vectors (n, d) of views (n, s, s, 3); with pooling `tokens`, patch tokens (n, tokens, d)."""
        ...


def preprocessing(encoder: Encoder) -> dict[str, Any]:
    """What happens to a view between the pixels and the network, as the embedding table records it."""
    positions = getattr(encoder, "position_resampling", None)
    orientations = int(getattr(encoder, "orientations", 1))
    return {
        "input_size": int(encoder.input_size),
        "mean": [float(value) for value in encoder.mean],
        "std": [float(value) for value in encoder.std],
        "channel_order": str(encoder.channel_order),
        **({"positions": str(positions)} if positions else {}),
        **({"orientations": orientations} if orientations > 1 else {}),
    }


def arithmetic(encoder: Encoder) -> dict[str, Any]:
    """Which runtime computes the vectors, and in what precision; baselines have none and compute in fp32.

    Where runtimes were compared, what was measured stands beside it.
    """
    engine, choice = getattr(encoder, "engine", None), getattr(encoder, "choice", None)
    return {
        "runtime": str(getattr(engine, "name", "none")),
        "precision": str(getattr(engine, "precision", "fp32")),
        **({"runtime_check": choice} if choice else {}),
    }
