"""The canvas of bodies: a window of the dye maps, its distances to an outline, and smooth noise."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

PX_PER_UM = 8.0
"""Resolution of the dye maps: that of the finest source."""

HAEMOGLOBIN, BLUE, CHROMATIN, REFRACTION = range(4)

Plane = NDArray[np.float32]
_SHIFT = 4  # fractional bits of polygon corners


def noise_plane(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Plane:
    """Smooth noise of mean 0 and standard deviation near 1, whose features are about `grain` pixels wide."""
    height, width = shape
    small = (max(2, int(np.ceil(height / grain)) + 1), max(2, int(np.ceil(width / grain)) + 1))
    coarse = rng.standard_normal(small, dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _fill(shape: tuple[int, int], polygons: Sequence[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Return the binary image of a union of polygons given in pixels (first pixel centred at 0, 0)."""
    mask = np.zeros(shape, dtype=np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(polygon * 2**_SHIFT).astype(np.int32)], 1, shift=_SHIFT)
    return mask


class Tile:
    """A window of the dye maps about a body, with coordinates in micrometres from the body's centre."""

    def __init__(self, maps: NDArray[np.float32], x: float, y: float, reach: float) -> None:
        height, width = maps.shape[:2]
        left, top = int(np.floor((x - reach) * PX_PER_UM)), int(np.floor((y - reach) * PX_PER_UM))
        right, bottom = int(np.ceil((x + reach) * PX_PER_UM)), int(np.ceil((y + reach) * PX_PER_UM))
        self.left, self.right = max(left, 0), min(right, width)
        self.top, self.bottom = max(top, 0), min(bottom, height)
        self.empty = self.left >= self.right or self.top >= self.bottom
        self.origin = np.array([x, y])
        self.maps = maps[self.top : self.bottom, self.left : self.right]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the (height, width) of the window, in pixels."""
        return self.bottom - self.top, self.right - self.left

    def axes(self) -> tuple[Plane, Plane]:
        """Return the row vector of x and the column vector of y, in micrometres from the centre."""
        x = (np.arange(self.left, self.right, dtype=np.float32) + 0.5) / PX_PER_UM - np.float32(
            self.origin[0]
        )
        y = (np.arange(self.top, self.bottom, dtype=np.float32) + 0.5) / PX_PER_UM - np.float32(
            self.origin[1]
        )
        return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]

    def pixels(self, outline: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outline in micrometres from the centre, as pixel positions in the tile."""
        return np.asarray((outline + self.origin) * PX_PER_UM - [self.left + 0.5, self.top + 0.5])

    def depth(self, polygons: Sequence[NDArray[np.float64]]) -> Plane:
        """Return the signed distance to the boundary in micrometres, positive inside."""
        # a margin of two pixels keeps the boundary in sight where the field's edge cuts a body
        height, width = self.shape
        mask = _fill((height + 4, width + 4), [self.pixels(p) + 2.0 for p in polygons])
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
        # OpenCV fills the pixels that the boundary crosses too, half a pixel more than the polygon
        signed = np.where(mask > 0, inside - 1.0, -outside)[2:-2, 2:-2] / PX_PER_UM
        return np.asarray(signed, dtype=np.float32)


def cover(depth: Plane, soft: float = 1.0 / PX_PER_UM) -> Plane:
    """Share of each point that a body covers: a ramp of width `soft` um at the boundary."""
    return np.asarray(np.clip(depth / np.float32(soft) + np.float32(0.5), 0.0, 1.0))
