"""The empty background of a smear image: the lit field, and what the light alone would give."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]

# Natural-log absorbance in green beyond which a class of pixels is nuclei, not red cells.
DARKER_THAN_RED_CELLS = 0.85

_LOG = np.log(np.arange(256, dtype=np.float32) + 1)


def log_intensity(image: Image) -> Plane:
    """Return the natural logarithm of 1 + intensity, (H, W, 3)."""
    return np.asarray(cv2.LUT(image, _LOG), np.float32)


def lit_field(image: Image) -> Mask:
    """Return the mask (H, W) of the lit field.

    It is all True unless a black surround covers a good part of the border.
    """
    grey = image.max(axis=2)
    bright = 0.4 * float(np.percentile(grey, 90))
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if float(np.mean(edge < bright)) < 0.3:
        return np.ones(grey.shape, np.bool_)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((grey >= bright).astype(np.uint8), connectivity=4)
    largest = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outline, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # One pixel of frame, so that the erosion also takes the margin off where the field runs out of the image.
    field = np.zeros((grey.shape[0] + 2, grey.shape[1] + 2), np.uint8)
    cv2.fillConvexPoly(field, cv2.convexHull(np.concatenate(outline)) + 1, 1)
    margin = max(2, round(0.012 * max(grey.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return np.asarray(cv2.erode(field, kernel)[1:-1, 1:-1] > 0)


def otsu(values: npt.NDArray[np.floating]) -> float:
    """Return Otsu's threshold of a sample of any range; the value itself for a constant sample."""
    low, high = (float(v) for v in np.percentile(values, (0.2, 99.8)))
    if high - low < 1e-6:
        return low
    scaled = np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8).reshape(-1, 1)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (float(level) + 0.5) * (high - low) / 255


def ground_level(values: npt.NDArray[np.floating]) -> float:
    """Return the log intensity between the empty background, the brightest class, and everything darker.

    Otsu first, and once more on the bright side where that is itself clearly two classes: next to a big
    white cell the first level parts the nucleus from all else, and red cells would pass for background.
    """
    level = otsu(values)
    bright, dark = values[values > level], values[values <= level]
    if len(bright) < 32 or len(dark) == 0:
        return level
    second = otsu(bright)
    upper, lower = bright[bright > second], bright[bright <= second]
    if len(lower) < 0.1 * len(bright) or len(upper) < 0.05 * len(values):
        return level
    apart, first = float(upper.mean() - lower.mean()), float(bright.mean() - dark.mean())
    fraction = len(upper) / len(bright)
    separability = fraction * (1 - fraction) * apart**2 / float(bright.var())
    two_classes = separability > 0.66 and apart > 0.12 * first and first > 0.4
    nuclei = first > DARKER_THAN_RED_CELLS
    # Dirt or ink: too few pixels to be the red cells, while the rest is spread wide.
    dirt = len(dark) < 0.05 * len(values) and apart > max(0.1, 0.15 * first)
    return second if apart > 0.06 and (two_classes or nuclei or dirt) else level


def background_surface(logs: Plane, field: Mask) -> Plane:
    """Log intensity (H, W, 3) of the empty background: a polynomial surface a channel.

    It is fitted in turns with the choice of the pixels that show it (`ground_level` of the residual in
    green, which haemoglobin and eosin darken most). Where few pixels show it, a penalty keeps the surface
    flat.
    """
    terms = _surface_terms(*field.shape)
    green, penalty = logs[..., 1:2], 0.002 * float(field.sum())
    empty = field & (green[..., 0] > ground_level(green[field][:, 0]))
    for _ in range(5):
        residual = (green - _fit(terms[empty], green[empty], penalty, terms))[..., 0]
        empty = field & (residual > min(ground_level(residual[field]), -0.01)) & (residual < 0.12)
    return _fit(terms[empty], logs[empty], penalty, terms)


def _surface_terms(height: int, width: int) -> Plane:
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    squared = x * x + y * y
    # Quadratic for the lamp, and the next radial terms for the fall of light towards the corners.
    terms = [np.ones_like(x), x, y, x * x, x * y, y * y, x * squared, y * squared, squared * squared]
    return np.stack(terms, axis=-1).astype(np.float32)


def _fit(terms: Plane, logs: Plane, penalty: float, everywhere: Plane) -> Plane:
    """Fit a ridge regression of `logs` (n, c) on `terms` (n, k).

    Return its values on the terms (H, W, k): (H, W, c).
    """
    if len(terms) == 0:
        return np.zeros((*everywhere.shape[:2], logs.shape[1]), np.float32)
    centre = np.median(logs, axis=0)
    normal = (terms.T @ terms).astype(np.float64) + np.diag([1e-6, *[penalty] * (terms.shape[1] - 1)])
    solution = np.linalg.solve(normal, (terms.T @ (logs - centre)).astype(np.float64))
    return np.asarray(everywhere @ solution.astype(np.float32) + centre, np.float32)
