"""The stained pixels of a smear image: absorbance over the background, cells, nuclei and lettering."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.illumination import (
    DARKER_THAN_RED_CELLS,
    Image,
    Mask,
    Plane,
    background_surface,
    ground_level,
    lit_field,
    log_intensity,
    otsu,
)

Colour = npt.NDArray[np.float32]

# Below this contrast (natural-log absorbance of cells over background) an image holds noise, not cells.
MIN_CONTRAST = 0.03
# Noise that is cut in two by force spreads about half as far as its halves are apart; images of cells less.
MAX_NOISE = 0.38
# No cell is brighter than the empty background in any channel; coloured and white lettering is.
BRIGHTER_THAN_EMPTY = -0.25
# Pixels of the working resolution: enough against compression noise, too little to close gaps between cells.
BLUR = 0.6
# Longest side in pixels at which light and stain are estimated: they are smooth, and it is fast.
MODEL_SIDE = 192


@dataclass(frozen=True)
class StainModel:
    """Light and stain of one image, estimated on a small copy (h, w).

    Attributes:
        field: lit pixels (h, w).
        surface: log intensity of the empty background (h, w, 3).
        cell: absorbance of a typical red cell, (3,) RGB.
        weights: direction (3,) along which a typical red cell has stain 1.
        level: stain that parts cells from background.
        noise: standard deviation of the stain of the background.
    """

    field: Mask
    surface: Plane
    cell: Colour
    weights: Colour
    level: float
    noise: float


@dataclass(frozen=True)
class Foreground:
    """The stained pixels at one resolution; all planes are (H, W).

    Attributes:
        field: pixels that the optics lit (False on the black surround of a phone picture).
        stain: absorbance along the direction that separates cells from background; 1 = a typical red cell.
        cells: pixels above the threshold, holes not filled.
        nuclei: pixels stained much darker or bluer than a red cell: nuclei, platelets, pigment, black ink.
    """

    field: Mask
    stain: Plane
    cells: Mask
    nuclei: Mask


def model_stain(image: Image) -> StainModel | None:
    """Estimate light and stain of an RGB image (H, W, 3); None where nothing stands out."""
    scale = min(1.0, MODEL_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    field = lit_field(small)
    if field.sum() < 64:
        return None
    logs = log_intensity(small)
    surface = background_surface(logs, field)
    density = (surface - logs)[field]
    dark = density[:, 1] > -ground_level(-density[:, 1])
    if dark.sum() < 16 or (~dark).sum() < 16:
        return None
    cell, ground = _red_cell_colour(density[dark]), np.median(density[~dark], axis=0)
    contrast = cell - ground
    if float(contrast.max()) < MIN_CONTRAST:
        return None
    variance = _deviation(density[dark]) ** 2 + _deviation(density[~dark]) ** 2
    weights = np.maximum(contrast, 0) / (variance + 1e-4)
    weights /= weights @ contrast
    stain = (density - ground) @ weights
    level = otsu(np.clip(stain, -0.3, 1.4))
    unstained = stain[stain < level]
    if float(_deviation(unstained)) > MAX_NOISE:
        return None
    # Pale cells lie on the dark side of the background, so the bright side alone shows its noise.
    middle = np.median(unstained)
    noise = 1.4826 * float(np.median(middle - unstained[unstained <= middle]))
    return StainModel(field, surface - ground, contrast, weights.astype(np.float32), level, noise)


def _red_cell_colour(density: Plane) -> Plane:
    """Return the median absorbance (3,) of stained pixels (n, 3), without nuclei where they form a class."""
    green = density[:, 1]
    pale = green < otsu(green)
    few = pale.sum() < 0.2 * len(green) or pale.all()
    if few or green[~pale].mean() <= max(DARKER_THAN_RED_CELLS, 1.8 * green[pale].mean()):
        pale[:] = True
    return np.asarray(np.median(density[pale], axis=0))


def _deviation(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the standard deviation by the median absolute deviation, along the first axis."""
    return np.asarray(1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0))


def find_foreground(image: Image, model: StainModel) -> Foreground:
    """Apply the model of light and stain to the image (H, W, 3), which may have another resolution."""
    size = image.shape[1::-1]
    field = cv2.resize(model.field.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    surface = cv2.resize(model.surface, size, interpolation=cv2.INTER_LINEAR)
    density = cv2.GaussianBlur(cv2.subtract(surface, log_intensity(image)), (0, 0), BLUR)
    stain = cv2.transform(density, model.weights.reshape(1, 3))
    # Half of what the neighbourhood holds: pale cells are found and dense ones do not swell by their blur.
    ceiling = min(0.45, model.level)
    floor = min(max(0.14, 4 * model.noise), 0.4, ceiling)
    threshold = np.clip(0.45 * _neighbourhood(stain), floor, ceiling)
    nuclei = field & dark_stain(density, model.cell)
    lettering = density.min(axis=2) < BRIGHTER_THAN_EMPTY
    return Foreground(field, stain, field & ~lettering & ((stain > threshold) | nuclei), nuclei)


def _neighbourhood(stain: Plane) -> Plane:
    """Smooth local maximum of the stain."""
    size = max(3, round(0.02 * max(stain.shape)) | 1)
    high = cv2.dilate(cv2.GaussianBlur(stain, (0, 0), 1.0), np.ones((size, size), np.uint8))
    return np.asarray(cv2.blur(high, (size, size)))


def dark_stain(density: Plane, cell: Colour) -> Mask:
    """Return the pixels that absorb far more than a typical red cell, in red or in green.

    They are nuclei, platelets and black ink.

    Chromatin's azure dye absorbs red, haemoglobin and eosin hardly do; magenta stains show in green alone.
    """
    red, green = density[..., 0], density[..., 1]
    return np.asarray((red > max(0.22, 1.8 * float(cell[0]) + 0.1)) | (green > 2.2 * float(cell[1]) + 0.15))
