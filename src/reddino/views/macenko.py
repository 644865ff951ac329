"""Macenko's normalisation: two stains are separated by their absorbance, and mixed as a reference has them.

Macenko et al. 2009, "A method for normalizing histology slides for quantitative analysis" (ISBI), with the
percentiles of its usual implementations.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Absorbance = NDArray[np.float64]
#: Percentile, from either end, of the angles that are taken for pure stains, and of their amounts.
EXTREME = 1.0


@dataclass(frozen=True)
class Stains:
    """Two stains of a picture.

    Attributes:
        vectors: (3, 2) absorbance of azure and eosin in red, green and blue, each of length 1. Azure is the
            one that absorbs more red.
        amounts: (2,) of each, at the 99th percentile.
        contrast: standard deviation of absorbance across the plane of both, by which they are separated.
        planar: by how much its square exceeds the variance out of that plane. Noise alone: 1.
    """

    vectors: NDArray[np.float64]
    amounts: NDArray[np.float64]
    contrast: float = np.inf
    planar: float = np.inf

    @property
    def angle(self) -> float:
        """Degrees between the stains."""
        return float(np.degrees(np.arccos(np.clip(self.vectors[:, 0] @ self.vectors[:, 1], -1.0, 1.0))))


def absorbance(pixels: Pixels, light: NDArray[np.float64]) -> Absorbance:
    """Return the absorbance (n, 3) of pixels (n, 3), where `light` (3,) passes the empty glass."""
    return np.asarray(np.log(light) - np.log(pixels.astype(np.float64) + 1))


def separate(stained: Absorbance, counted: Absorbance) -> Stains | None:
    """Return the stains of a picture; None where its pixels do not span a plane.

    Args:
        stained: (n, 3) absorbance of the pixels by which the stains are found.
        counted: (k, 3) absorbance of those by which their amounts are.
    """
    if len(stained) < 3:
        return None
    variance, axes = np.linalg.eigh(np.cov(stained.T))
    if not np.isfinite(variance).all() or variance[1] <= 1e-10:
        return None
    plane = axes[:, 1:]
    middle = plane.T @ stained.mean(axis=0)
    if np.linalg.norm(middle) < 1e-6:
        return None
    # Angles from the mean colour, so that none of them passes from 180 to -180 degrees.
    ahead = middle / np.linalg.norm(middle)
    plane = plane @ np.column_stack([ahead, [-ahead[1], ahead[0]]])
    across = stained @ plane
    ends = np.percentile(np.arctan2(across[:, 1], across[:, 0]), [EXTREME, 100 - EXTREME])
    vectors = plane @ np.stack([np.cos(ends), np.sin(ends)])
    if vectors[0, 0] < vectors[0, 1]:
        vectors = vectors[:, ::-1]
    if abs(float(vectors[:, 0] @ vectors[:, 1])) > 1 - 1e-9:
        return None
    amounts = np.percentile(counted @ np.linalg.pinv(vectors).T, 100 - EXTREME, axis=0)
    return Stains(vectors, amounts, float(np.sqrt(variance[1])), float(variance[1] / max(variance[0], 1e-12)))


def exchange(own: Stains, wanted: Stains) -> NDArray[np.float64]:
    """Return what turns the absorbance (3,) of a picture's stains into that of others: (3, 3)."""
    return np.asarray(wanted.vectors @ np.diag(wanted.amounts / own.amounts) @ np.linalg.pinv(own.vectors))


def remix(
    image: Pixels,
    own: Stains,
    wanted: Stains,
    light: NDArray[np.float64],
    wanted_light: NDArray[np.float64],
) -> Pixels:
    """Return the picture (H, W, 3) in the stains and the light of a reference.

    Args:
        image: uint8 RGB.
        own: stains of the picture; no amount is zero.
        wanted: stains of the reference.
        light: (3,) 1 + intensity of empty glass in the picture.
        wanted_light: the same in the reference.
    """
    levels = np.log(np.arange(256) + 1.0)
    table = (levels[:, None] - np.log(light)).astype(np.float32).reshape(1, 256, 3)
    logs = cv2.transform(
        cv2.LUT(image, table),
        np.column_stack([exchange(own, wanted), np.log(wanted_light)]).astype(np.float32),
    )
    return np.asarray(cv2.subtract(cv2.exp(logs), (1.0, 1.0, 1.0, 0.0), dtype=cv2.CV_8U), np.uint8)
