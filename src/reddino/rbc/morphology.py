"""Hand-crafted features of the cell at the centre of a view: the classical way, which a network must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reddino.foundations.provenance import hash_bytes
from reddino.rbc.morphology_scales import SCALES
from reddino.rbc.outline import Images, Mask, central_mask, depth_inside, outline_features

Real = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]

#: Every view is measured at this size, so that texture means the same whatever the size of the view.
WORK_SIZE = 64
#: Standardised features are clipped here: one odd outline must not rule a Euclidean distance.
LARGEST = 8.0
GREY_LEVELS = 16
RINGS = 5
FORMULA = "morphology 1"

NAMES = (
    *("diameter", "perimeter", "roundness", "elongation", "solidity", "convexity", "extent"),
    *("radius spread", *(f"harmonic {n}" for n in range(2, 7))),
    *("pallor", "pale share", *(f"ring {n}" for n in range(1, RINGS + 1))),
    *("grey contrast", "grey homogeneity", "grey energy", "grey correlation", "grey entropy"),
    *(f"{channel} {moment}" for moment in ("mean", "spread", "skewness") for channel in ("R", "G", "B")),
)


class Morphology:
    """Shape, pallor, texture and colour of the central cell, standardised by fixed constants.

    The constants (median and spread of each feature) were measured once on synthetic smears
    (`morphology_scales.py`), so that raw Euclidean distances weigh the features alike. A view without a cell
    gives zeros, the typical cell.
    """

    name = "morphology"
    dim = len(NAMES)
    channel_order = "RGB"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    orientations = 1
    position_resampling: str | None = None
    runtime_name = "none"
    precision = "fp32"
    choice: Mapping[str, Any] | None = None

    def __init__(self, input_size: int = WORK_SIZE) -> None:
        self.input_size = input_size

    @property
    def weights_hash(self) -> str:
        """There are no weights; formula, constants and their order stand for them."""
        return hash_bytes(FORMULA.encode(), repr(NAMES).encode(), np.asarray(SCALES).tobytes())

    def embed(self, images: Images, pooling: Any = None, /) -> Vectors:
        """Compute the features (n, len(NAMES)) of views (n, s, s, 3)."""
        vectors = np.zeros((len(images), self.dim), dtype=np.float32)
        centre, spread = np.asarray(SCALES).T
        for vector, image in zip(vectors, images, strict=True):
            features = measure(image)
            if features is not None:
                vector[:] = np.clip((features - centre) / spread, -LARGEST, LARGEST)
        return vectors


def measure(image: Images) -> Real | None:
    """Measure the features (len(NAMES),) of one view (s, s, 3), not standardised.

    Return None where there is no cell.

    Lengths are fractions of the view's side, colours 0..1, amounts of stain relative to the cell's mean.
    """
    if image.shape[0] != WORK_SIZE:
        image = cv2.resize(image, (WORK_SIZE, WORK_SIZE), interpolation=cv2.INTER_AREA)
    mask = central_mask(image)
    if mask is None:
        return None
    outline = outline_features(mask)
    if outline is None:
        return None
    stain = absorbance(image, mask)
    features = [*outline, *pallor_features(stain, mask), *texture(image[..., 1], mask), *colours(image, mask)]
    return np.nan_to_num(np.array(features, dtype=np.float64))


def absorbance(image: Images, mask: Mask) -> Real:
    """Stain (s, s): natural logarithm of the ground's green over the pixel's green."""
    green = image[..., 1].astype(np.float64)
    ground = green[~mask]
    # Bright pixels outside: the neighbours in the view are not the ground.
    bright = _quantile(ground, 0.75) if len(ground) else 255.0
    return np.asarray(np.log((max(bright, 1.0) + 1.0) / (green + 1.0)))


def pallor_features(stain: Real, mask: Mask) -> list[float]:
    """Compute how pale the middle is against the rim, the cell's pale fraction, and the stain of five rings.

    `pallor` is 1 - middle / rim, the two inner rings against the second and third from outside (the outermost
    blurs): 0 for a cell of even stain (spherocyte), towards 1 for a clear middle (hypochromic), negative for
    a dark middle (target cell).
    """
    depth = depth_inside(mask.astype(np.uint8))[mask]
    depth = depth / depth.max()
    amount = stain[mask]
    mean = max(float(amount.mean()), 1e-3)
    edges = np.minimum((depth * RINGS).astype(np.int64), RINGS - 1)
    counts = np.bincount(edges, minlength=RINGS)
    sums = np.bincount(edges, weights=amount, minlength=RINGS)
    rings = np.divide(sums, counts, out=np.full(RINGS, mean), where=counts > 0) / mean
    rim = max(float(rings[1:3].mean()), 1e-3)
    pale = float((amount < 0.5 * _quantile(amount, 0.9)).mean())
    middle = float(sums[3:].sum()) / max(int(counts[3:].sum()), 1) / mean
    return [1.0 - middle / rim, pale, *rings.tolist()]


def _quantile(values: Real, fraction: float) -> float:
    """Return the value below which `fraction` of the values (n,) lie; interpolation would take longer."""
    place = min(int(fraction * len(values)), len(values) - 1)
    return float(np.partition(values, place)[place])


def texture(grey: npt.NDArray[np.uint8], mask: Mask) -> list[float]:
    """Compute contrast, homogeneity, energy, correlation, entropy of grey-level co-occurrences in the cell.

    Haralick et al. 1973, on 16 levels between the cell's darkest and brightest pixel, over neighbours at
    distance 1 in four directions, both ways.
    """
    matrix = co_occurrences(quantised(grey, mask), mask)
    i, j = np.mgrid[0:GREY_LEVELS, 0:GREY_LEVELS]
    difference = i - j
    mean = float((matrix * i).sum())
    variance = float((matrix * (i - mean) ** 2).sum())
    covariance = float((matrix * (i - mean) * (j - mean)).sum())
    present = matrix[matrix > 0]
    return [
        float((matrix * difference**2).sum()),
        float((matrix / (1.0 + difference**2)).sum()),
        float(np.sqrt((matrix**2).sum())),
        covariance / variance if variance > 0 else 1.0,
        float(-(present * np.log(present)).sum()),
    ]


def quantised(grey: npt.NDArray[np.uint8], mask: Mask) -> npt.NDArray[np.int64]:
    """Return levels (s, s) 0..15 between the darkest and the brightest pixel of the cell."""
    inside = grey[mask]
    low, high = float(inside.min()), float(inside.max())
    levels = (grey.astype(np.float64) - low) / max(high - low, 1.0) * GREY_LEVELS
    return np.asarray(np.clip(levels, 0, GREY_LEVELS - 1).astype(np.int64))


def co_occurrences(levels: npt.NDArray[np.int64], mask: Mask) -> Real:
    """Return (16, 16) symmetric fractions of the level pairs of neighbours that both lie inside the mask."""
    counts = np.zeros(GREY_LEVELS * GREY_LEVELS, dtype=np.int64)
    height, width = levels.shape
    for down, across in ((0, 1), (1, 1), (1, 0), (1, -1)):
        left, right = max(0, -across), width - max(0, across)
        here = (slice(0, height - down), slice(left, right))
        there = (slice(down, height), slice(left + across, right + across))
        both = mask[here] & mask[there]
        pairs = levels[here][both] * GREY_LEVELS + levels[there][both]
        counts += np.bincount(pairs, minlength=GREY_LEVELS * GREY_LEVELS)
    square = counts.reshape(GREY_LEVELS, GREY_LEVELS).astype(np.float64)
    square += square.T
    return square / max(float(square.sum()), 1.0)


def colours(image: Images, mask: Mask) -> list[float]:
    """Compute mean, standard deviation and skewness (cube root of the third moment) of each channel."""
    inside = image[mask].astype(np.float64) / 255.0
    mean = inside.mean(axis=0)
    centred = inside - mean
    squared = centred * centred
    third = np.cbrt((squared * centred).mean(axis=0))
    return [*mean.tolist(), *np.sqrt(squared.mean(axis=0)).tolist(), *third.tolist()]
