"""A picture on which every operation shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SIZES = [(64, 64), (98, 98), (61, 90)]


def picture(height: int, width: int, seed: int = 0) -> Image:
    """Coloured noise of strong contrast, smooth enough that a blur leaves something of it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3))
    fine = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)[:height, :width]
    return np.clip(fine + rng.normal(0, 5, fine.shape), 0, 255).astype(np.uint8)
