"""The last feature map of any timm network as tokens, line by line."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from reddino.foundations.errors import RedDinoError


def map_tokens(network: Any, features: Tensor) -> Tensor:
    """Bring the output of `network.forward_features` to tokens (B, N, d), without class token and registers.

    Args:
        network: one of timm's, whose `output_fmt` is the order of the axes, and whose `num_prefix_tokens`
            come before the map.
        features: (B, d, h, w), (B, h, w, d) or (B, prefix + N, d).

    Raises:
        RedDinoError: the features are none of these.
    """
    if features.ndim == 4:
        channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")
        return features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)
    if features.ndim == 3:
        return features[:, int(getattr(network, "num_prefix_tokens", 0)) :]
    raise RedDinoError(f"{type(network).__name__} has no feature map")
