"""What the embedding pass needs of a network, or of anything else that turns views into vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


class ViewEncoder(Protocol):
    """Turns uint8 RGB views into vectors; a network, or a baseline such as a colour histogram."""

    @property
    def name(self) -> str:
        """Return the name for tables and figures."""
        ...

    @property
    def input_size(self) -> int:
        """Return the side of the views that it takes, in pixels."""
        ...

    @property
    def mean(self) -> Sequence[float]:
        """Return the means (3,) by which channels in 0..1 are normalised."""
        ...

    @property
    def std(self) -> Sequence[float]:
        """Return the standard deviations (3,) by which channels in 0..1 are normalised."""
        ...

    @property
    def channel_order(self) -> str:
        """Return the order of the channels that the network sees, "RGB" or "BGR"."""
        ...

    @property
    def orientations(self) -> int:
        """Return 4 where vectors are means over the quarter turns of a view, else 1."""
        ...

    @property
    def position_resampling(self) -> str | None:
        """Return how the position embedding was brought to the input size.

        None where it is as trained, or absent.
        """
        ...

    @property
    def runtime_name(self) -> str:
        """Return the runtime that computes the vectors; "none" for a baseline."""
        ...

    @property
    def precision(self) -> str:
        """Return what the vectors are computed in, "fp32" or "bf16"."""
        ...

    @property
    def choice(self) -> Mapping[str, Any] | None:
        """Return how the runtime was chosen, for the table's metadata; None where nothing was compared."""
        ...

    @property
    def weights_hash(self) -> str:
        """Return a hash that changes whenever the weights, or the formula of a baseline, change."""
        ...

    def embed(self, images: Images, pooling: Any, /) -> Vectors:
        """Return vectors (n, d) of views (n, s, s, 3); with pooling `tokens`, patch tokens (n, tokens, d)."""
        ...


def preprocessing(encoder: ViewEncoder) -> dict[str, Any]:
    """Return what happens to a view between the pixels and the network, as the embedding table records it."""
    positions, orientations = encoder.position_resampling, encoder.orientations
    return {
        "input_size": int(encoder.input_size),
        "mean": [float(value) for value in encoder.mean],
        "std": [float(value) for value in encoder.std],
        "channel_order": str(encoder.channel_order),
        **({"positions": positions} if positions else {}),
        **({"orientations": orientations} if orientations > 1 else {}),
    }


def arithmetic(encoder: ViewEncoder) -> dict[str, Any]:
    """Return the runtime and precision of the vectors, as the embedding table records them.

    Where runtimes were compared, the measurements are included.
    """
    return {
        "runtime": encoder.runtime_name,
        "precision": encoder.precision,
        **({"runtime_check": encoder.choice} if encoder.choice else {}),
    }
