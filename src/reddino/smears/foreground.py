"""Which pixels of a smear image belong to cells: illumination, stain absorbance, threshold, filled pallor, nuclei."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]

# Below this contrast (natural-log absorbance between background and cells) an image holds noise, not cells.
MIN_CONTRAST = 0.03


@dataclass(frozen=True)
class Foreground:
    """What stands out from the background of one image; all planes are (H, W).

    Attributes:
        field: pixels that the optics lit (False on the black surround of a phone picture).
        stain: absorbance along the direction that tells cells from background; 1 = a typical red cell.
        cells: pixels above the threshold, holes not filled.
        nuclei: pixels stained much darker or bluer than a red cell: nuclei, platelets, pigment, black lettering.
        noise: spread of `stain` on the background.
    """

    field: Mask
    stain: Plane
    cells: Mask
    nuclei: Mask
    noise: float


def lit_field(image: Image) -> Mask:
    """Mask (H, W) of the lit field; all True unless a black surround covers a good part of the border."""
    grey = image.max(axis=2)
    height, width = grey.shape
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    bright = float(np.percentile(grey, 90))
    dark = grey < 0.4 * bright
    if float(np.mean(edge < 0.4 * bright)) < 0.3:
        return np.ones((height, width), np.bool_)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~dark).astype(np.uint8), connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    outline, _ = cv2.findContours(
        (labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    field = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(field, cv2.convexHull(np.concatenate(outline)), 1)
    margin = max(3, round(0.012 * max(height, width)) | 1)
    field = cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    field = cv2.erode(field, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1)))
    return np.asarray(field[1:-1, 1:-1] > 0)


def otsu(values: npt.NDArray[np.floating]) -> float:
    """Otsu's threshold of a sample of any range; 0 for a constant sample."""
    low, high = (float(v) for v in np.percentile(values, (0.2, 99.8)))
    if high - low < 1e-6:
        return low
    scaled = np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8).reshape(-1, 1)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (float(level) + 0.5) * (high - low) / 255


def ground_level(values: npt.NDArray[np.floating]) -> float:
    """Level between the empty background (the brightest class) and everything darker, on log intensities.

    Otsu first, and once more on the bright side where that is itself clearly two classes: beside a big white cell the
    first level parts the nucleus from all else, and red cells would pass for background.
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
    share = len(upper) / len(bright)
    separability = share * (1 - share) * apart**2 / float(bright.var())
    return second if separability > 0.66 and apart > max(0.06, 0.12 * first) and first > 0.4 else level


def absorbance(image: Image, field: Mask) -> tuple[Plane, Mask]:
    """Natural-log absorbance (H, W, 3) over a smooth estimate of the empty background.

    The background is a quadratic surface a channel, fitted in turns with the choice of the pixels that show it
    (Otsu on the residual of the green channel, which haemoglobin and eosin darken most).

    Returns:
        The absorbance and, at the resolution of the fit, the mask of background pixels (for noise estimates).
    """
    height, width = field.shape
    scale = min(1.0, 192 / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lit = cv2.resize(field.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    logs = np.log(small.astype(np.float32) + 1)
    terms = _surface_terms(small.shape[0], small.shape[1])
    empty = lit & (logs[..., 1] > ground_level(logs[..., 1][lit]))
    coefficients = np.zeros((6, 3))
    for _ in range(5):
        coefficients = _fit_surface(terms[empty], logs[empty], ridge=0.005 * lit.sum())
        residual = logs[..., 1] - terms @ coefficients[:, 1]
        empty = lit & (residual > min(ground_level(residual[lit]), -0.01)) & (residual < 0.12)
    surface = (_surface_terms(height, width) @ coefficients.astype(np.float32)).astype(np.float32)
    return surface - np.log(image.astype(np.float32) + 1), empty


def _surface_terms(height: int, width: int) -> Plane:
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)


def _fit_surface(
    terms: npt.NDArray[np.floating], logs: npt.NDArray[np.floating], ridge: float
) -> npt.NDArray[np.float64]:
    if len(terms) == 0:
        return np.zeros((6, 3))
    penalty = np.diag([1e-6, *[ridge] * 5])
    centre = np.median(logs, axis=0).astype(np.float64)
    normal = terms.T.astype(np.float64) @ terms + penalty
    solution = np.linalg.solve(normal, terms.T.astype(np.float64) @ (logs - centre))
    solution[0] += centre
    return np.asarray(solution)


def find_foreground(image: Image) -> Foreground | None:
    """Separate cells from background in an RGB image (H, W, 3); None where nothing stands out."""
    field = lit_field(image)
    if field.sum() < 64:
        return None
    density, _ = absorbance(image, field)
    density = cv2.GaussianBlur(density, (0, 0), 0.8)
    sample = density[field][:: max(1, int(field.sum()) // 60000)]
    green = sample[:, 1]
    inside = green > -ground_level(-green)
    if inside.sum() < 16 or (~inside).sum() < 16:
        return None
    cell, ground = np.median(sample[inside], axis=0), np.median(sample[~inside], axis=0)
    noise = 1.4826 * np.median(np.abs(sample[~inside] - ground), axis=0)
    spread = 1.4826 * np.median(np.abs(sample[inside] - cell), axis=0)
    if float((cell - ground).max()) < MIN_CONTRAST:
        return None
    weights = np.maximum(cell - ground, 0) / (noise**2 + spread**2 + 1e-4)
    weights /= float(weights @ (cell - ground))
    stain = ((density - ground) @ weights.astype(np.float32)).astype(np.float32)
    values = stain[field][:: max(1, int(field.sum()) // 60000)]
    level = otsu(np.clip(values, -0.3, 1.4))
    background = values[values < level]
    sigma = float(1.4826 * np.median(np.abs(background - np.median(background))))
    # Half of what the neighbourhood holds: pale cells are found and dense ones do not swell by their blur.
    threshold = np.clip(0.45 * _neighbourhood(stain), max(0.14, min(4 * sigma, 0.4)), min(0.45, level))
    nuclei = field & dark_stain(density - ground, cell - ground)
    return Foreground(field, stain, field & ((stain > threshold) | nuclei), nuclei, sigma)


def _neighbourhood(stain: Plane) -> Plane:
    """Smooth local maximum of the stain."""
    size = max(3, round(0.02 * max(stain.shape)) | 1)
    high = cv2.dilate(cv2.GaussianBlur(stain, (0, 0), 1.0), np.ones((size, size), np.uint8))
    return np.asarray(cv2.blur(high, (size, size)))


def dark_stain(density: Plane, cell: npt.NDArray[np.floating]) -> Mask:
    """Pixels that absorb far more than a typical red cell, in red or in green: nuclei, platelets, black ink.

    Chromatin's azure dye absorbs red, haemoglobin and eosin hardly do; magenta stains show in green alone.
    """
    return np.asarray(
        (density[..., 0] > max(0.22, 1.8 * float(cell[0]) + 0.1))
        | (density[..., 1] > 2.2 * float(cell[1]) + 0.15)
    )
