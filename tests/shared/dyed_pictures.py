"""Pictures of cells whose dyes are known: discs of eosin, some with a nucleus of azure, on coloured glass."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
#: Absorbance of azure and eosin, each of length 1, as columns.
DYES = np.array([[0.70, 0.20], [0.60, 0.92], [0.39, 0.34]])
DYES = DYES / np.linalg.norm(DYES, axis=0)


def dyed(
    light: Sequence[float] = (200, 210, 190),
    *,
    dyes: NDArray[np.float64] = DYES,
    strength: float = 1.0,
    nuclei: bool = True,
    cells: int = 24,
    size: int = 240,
    noise: float = 1.0,
) -> Image:
    """Return a picture (size, size, 3)."""
    rng = np.random.default_rng(3)
    amounts = np.zeros((size, size, 2), np.float32)
    for number in range(cells):
        x, y = rng.integers(15, size - 15, 2).tolist()
        disc = np.zeros((size, size), np.uint8)
        cv2.circle(disc, (x, y), 13, 1, -1)
        amounts[..., 1] += strength * rng.uniform(0.5, 0.8) * disc
        if nuclei and number % 3 == 0:
            core = np.zeros((size, size), np.uint8)
            cv2.circle(core, (x, y), 7, 1, -1)
            amounts[..., 0] += strength * rng.uniform(0.8, 1.2) * core
    amounts = cv2.GaussianBlur(amounts, (0, 0), 1.0)
    pixels = np.array(light) * np.exp(-amounts.astype(np.float64) @ dyes.T)
    noisy = np.rint(pixels + rng.normal(0, noise, pixels.shape))
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)
