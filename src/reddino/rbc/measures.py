"""Measure each piece of a segmentation, and choose the pieces that are red cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.foreground import Foreground
from reddino.rbc.splitting import Labels, inscribed_radius

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Equivalent diameters, in typical ones, between which a piece can be a red cell.
SMALLEST, LARGEST = 0.42, 1.75
# What the border leaves of a cell may be smaller.
SMALLEST_CUT = 0.3
# A piece with more of its area in dark stain than this is a white cell, a platelet or ink; parasites hold
# less.
MOST_DARK = 0.25
# Mean stain, in that of a typical red cell, below which a piece is background or the ghost of a cell.
LEAST_STAIN = 0.12
# Diameter of the inscribed circle over that of equal area: 1 for a disc, less for two that overlap.
ROUND = 0.84


@dataclass(frozen=True)
class Cells:
    """Red cells of one image, one entry a cell, in pixels of that image.

    Attributes:
        x, y: left and top of the bounding box.
        w, h: width and height of the bounding box.
        cx, cy: centre of mass.
        area: square pixels, pallor included.
        diameter: of the circle of the same area.
        touches_border: the image border (or the rim of a round field) cuts the cell, or a scale bar covers
            it.
        typical_diameter: of a whole single cell in this image; NaN where none was found.
    """

    x: Floats
    y: Floats
    w: Floats
    h: Floats
    cx: Floats
    cy: Floats
    area: Floats
    diameter: Floats
    touches_border: npt.NDArray[np.bool_]
    typical_diameter: float

    def __len__(self) -> int:
        return len(self.x)


def no_cells() -> Cells:
    """Return the measures of an image without red cells."""
    empty = np.zeros(0)
    none = np.zeros(0, np.bool_)
    return Cells(empty, empty, empty, empty, empty, empty, empty, empty, none, float("nan"))


@dataclass(frozen=True)
class _Pieces:
    """Measures of every label of a segmentation, background (0) included, in its pixels."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    cx: Floats
    cy: Floats
    area: Floats
    inscribed: Floats
    dark: Floats
    stain: Floats
    cut: Flags

    @property
    def diameter(self) -> Floats:
        return np.sqrt(4 * self.area / np.pi)


def measure_cells(
    labels: Labels, foreground: Foreground, diameter: float, stretch: tuple[float, float]
) -> Cells:
    """Measure the pieces of a segmentation and keep those that are red cells.

    Args:
        labels: (H, W), 0 = background.
        foreground: stain, nuclei and lit field of the same (H, W).
        diameter: of a typical cell, in pixels of the labels.
        stretch: pixels of the full image in a pixel of the labels, along x and y.
    """
    pieces = _measure(labels, foreground)
    keep = _red_cells(pieces, diameter)
    sx, sy = stretch
    mean = float(np.sqrt(sx * sy))
    x, y = pieces.left[keep] * sx, pieces.top[keep] * sy
    return Cells(
        x=x,
        y=y,
        w=pieces.right[keep] * sx - x,
        h=pieces.bottom[keep] * sy - y,
        cx=(pieces.cx[keep] + 0.5) * sx - 0.5,
        cy=(pieces.cy[keep] + 0.5) * sy - 0.5,
        area=pieces.area[keep] * sx * sy,
        diameter=pieces.diameter[keep] * mean,
        touches_border=pieces.cut[keep],
        typical_diameter=_typical_diameter(pieces, keep) * mean,
    )


def _measure(labels: Labels, foreground: Foreground) -> _Pieces:
    from scipy.ndimage import find_objects  # slow to import

    height, width = labels.shape
    flat = labels.ravel()
    count = int(labels.max()) + 1
    area = np.bincount(flat, minlength=count).astype(np.float64)

    def mean(values: npt.NDArray[np.generic]) -> Floats:
        return np.asarray(np.bincount(flat, values.ravel(), count) / np.maximum(area, 1), np.float64)

    ys, xs = np.divmod(np.arange(flat.size), width)
    boxes = [box or (slice(0, 0), slice(0, 0)) for box in [None, *find_objects(labels)]]
    top, bottom = np.array([(box[0].start, box[0].stop) for box in boxes], np.float64).T
    left, right = np.array([(box[1].start, box[1].stop) for box in boxes], np.float64).T
    rim = cv2.dilate((~foreground.field).astype(np.uint8), np.ones((3, 3), np.uint8))
    cut = (left <= 0) | (top <= 0) | (right >= width) | (bottom >= height) | (mean(rim) > 0)
    return _Pieces(
        left, top, right, bottom, mean(xs), mean(ys), area, inscribed_radius(labels),
        mean(foreground.nuclei), mean(foreground.stain), cut,
    )  # fmt: skip


def _red_cells(pieces: _Pieces, typical: float) -> Flags:
    smallest = np.where(pieces.cut, SMALLEST_CUT, SMALLEST) * typical
    narrowest = np.where(pieces.cut, 0.5 * SMALLEST_CUT, 0.7 * SMALLEST) * typical
    keep = (pieces.dark < MOST_DARK) & (pieces.stain > LEAST_STAIN)
    keep &= (pieces.diameter > smallest) & (pieces.diameter < LARGEST * typical)
    keep &= 2 * pieces.inscribed > narrowest
    keep[0] = False
    return np.asarray(keep)


def _typical_diameter(pieces: _Pieces, keep: Flags) -> float:
    """Return the diameter of a whole single cell.

    Round pieces decide if there are enough, cut ones only if alone.
    """
    whole = keep & ~pieces.cut
    single = whole & (2 * pieces.inscribed > ROUND * pieces.diameter)
    if single.sum() > 0.3 * whole.sum():
        return _weighted_median(pieces.diameter[single])
    # An inscribed circle falls a little short of the cell that the border cuts.
    return _weighted_median(pieces.diameter[whole] if whole.any() else 2.15 * pieces.inscribed[keep])


def _weighted_median(diameters: Floats) -> float:
    """Return the area-weighted median, so that fragments do not pull it down."""
    if len(diameters) == 0:
        return float("nan")
    ordered = np.sort(diameters)
    weight = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(weight, 0.5 * weight[-1])])
