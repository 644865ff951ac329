"""Reinhard's colour transfer: each channel of CIELAB gets the mean and the spread of a reference.

Reinhard, Ashikhmin, Gooch, Shirley 2001, "Color transfer between images", equations 10 and 11; in CIELAB, as
the libraries of pathology have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Lab = NDArray[np.float32]


@dataclass(frozen=True)
class LabStatistics:
    """Mean and standard deviation (3,) of L (0..100), a and b of a picture."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def to_lab(image: Pixels) -> Lab:
    """Return CIELAB (H, W, 3) of sRGB pixels (H, W, 3), under D65."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def lab_statistics(lab: Lab) -> LabStatistics:
    """Return the statistics of pixels (n, 3)."""
    return LabStatistics(lab.mean(axis=0, dtype=np.float64), lab.std(axis=0, dtype=np.float64))


def half_and_half(glass: Lab, cells: Lab) -> LabStatistics:
    """Return the statistics that pixels would have of which half are glass and half are cells.

    Those of a field as it is follow the number of its cells, and normalised colours would follow it too.

    Args:
        glass: (n, 3) pixels of empty background.
        cells: (k, 3) stained pixels.
    """
    one, other = lab_statistics(glass), lab_statistics(cells)
    within = (one.spread**2 + other.spread**2) / 2
    return LabStatistics((one.mean + other.mean) / 2, np.sqrt(within + ((one.mean - other.mean) / 2) ** 2))


def transfer(image: Pixels, own: LabStatistics, wanted: LabStatistics) -> Pixels:
    """Return the picture (H, W, 3) with other statistics than its own.

    Args:
        image: uint8 RGB.
        own: statistics of the picture; no spread is zero.
        wanted: statistics of the reference.
    """
    factor = (wanted.spread / own.spread).astype(np.float32)
    shift = (wanted.mean - own.mean * factor).astype(np.float32)
    moved = np.asarray(cv2.transform(to_lab(image), np.column_stack([np.diag(factor), shift])), np.float32)
    # OpenCV's way back is exact only where L is one.
    moved[..., 0].clip(0, 100, out=moved[..., 0])
    rgb = np.asarray(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), np.float32)
    return np.asarray(cv2.convertScaleAbs(rgb.clip(0, 1, out=rgb), alpha=255), np.uint8)
