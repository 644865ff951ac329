"""What covers a smear: pen marks, the rims of air bubbles and folds, and grains of precipitated stain."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.illumination import Image, Mask, Plane, log_intensity

#: Pixels a cell at which large artefacts are sought.
COARSE = 7.0
#: Stain of nuclei (chromatin and azure) as natural-log absorbance RGB, of any amount.
_CHROMATIN = np.array([1.15, 1.45, 0.45])
#: Natural-log absorbance that no stain explains, beyond which pixels are a rim or a fold.
_NEUTRAL = 0.3
#: Ink: red above green, blue above red, or neutral, by this much absorbance.
_RED, _BLUE, _BLACK = 0.3, 0.55, 0.7
#: Cell diameters: a pen mark is everywhere this wide, a rim or a fold this long.
_WIDE, _LONG = 4.0, 5.0
#: Cell diameters of the largest and of the smallest grain of precipitate.
_GRAIN, _LEAST_GRAIN = 0.22, 0.055


def coarse_density(image: Image, light: Plane, diameter: float) -> Plane:
    """Return the absorbance (h, w, 3) of an image at `COARSE` pixels a cell.

    Args:
        image: (H, W, 3) uint8 RGB.
        light: log intensity of empty glass, (3,) or a surface of any size (h, w, 3).
        diameter: of a red cell in pixels of the image.
    """
    scale = min(COARSE / diameter, 1.0)
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if light.ndim == 3:
        light = cv2.resize(light, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(light - log_intensity(small), np.float32)


def pen_marks(density: Plane) -> Mask:
    """Return the pixels (h, w) of solid ink, of an absorbance at `COARSE` pixels a cell."""
    red, green, blue = cv2.split(density)
    ink = (red - green > _RED) | (blue - red > _BLUE) | (density.min(axis=2) > _BLACK)
    side = 2 * round(_WIDE * COARSE / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    framed = cv2.copyMakeBorder(ink.astype(np.uint8), side, side, side, side, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(framed, cv2.MORPH_OPEN, kernel)
    return np.asarray(opened[side:-side, side:-side] > 0)


def without_ink(image: Image, light: Plane, diameter: float) -> tuple[Image, Mask | None]:
    """Return an image with its pen marks painted over in the colour of empty glass.

    What is dark by ink would else pass for the stain of the cells, and the cells for background.

    Args:
        image: (H, W, 3) uint8 RGB.
        light: log intensity (3,) of empty glass.
        diameter: of a red cell in pixels.

    Returns:
        The image itself where there is no ink; and the pixels (H, W) that were painted, or None.
    """
    ink = pen_marks(coarse_density(image, light, diameter))
    if not ink.any():
        return image, None
    wide = cv2.dilate(ink.astype(np.uint8), _disc(2.0 * COARSE))
    covered = cv2.resize(wide, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0
    painted = image.copy()
    painted[covered] = np.clip(np.rint(np.exp(light) - 1.0), 0, 255).astype(np.uint8)
    return painted, np.asarray(covered)


def rims_and_folds(density: Plane, cell: npt.NDArray[np.floating]) -> Mask:
    """Return the pixels (h, w) of long dark structures that no stain explains.

    The absorbance is taken apart into that of red cells, of nuclei and an even grey: the rim of an air bubble
    and the edge of a fold bend light away, of every colour alike.

    Args:
        density: absorbance at `COARSE` pixels a cell.
        cell: (3,) absorbance of a typical red cell.
    """
    colour = np.asarray(cell, np.float64) / max(float(np.linalg.norm(cell)), 1e-6)
    parts = np.stack([colour, _CHROMATIN / np.linalg.norm(_CHROMATIN), np.ones(3)], axis=1)
    if np.linalg.cond(parts) > 60:
        parts[:, 0] = (0.41, 0.83, 0.37)
    grey = cv2.transform(density, np.linalg.inv(parts)[2:3].astype(np.float32))
    dark = ((grey > _NEUTRAL) & (density.min(axis=2) > _NEUTRAL)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) > _LONG * COARSE
    long[0] = False
    return np.asarray(long[labels])


def grains(nuclei: Mask, stained: Mask, diameter: float) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return dark grains between the cells that are too small for platelets.

    Grains on cells cannot be separated from parasites, granules and the fringes of a lens.

    Args:
        nuclei: dark stain (H, W).
        stained: what is stained at all (H, W).
        diameter: of a red cell in its pixels.

    Returns:
        Their centres (n, 2) as x and y in pixels, and the background (H, W) in which they are sought.
    """
    bodies = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_OPEN, _disc(0.3 * diameter))
    background = cv2.dilate(bodies, _disc(0.3 * diameter)) == 0
    _, _, stats, centres = cv2.connectedComponentsWithStats(nuclei.astype(np.uint8), connectivity=8)
    across = np.sqrt(4 * stats[:, cv2.CC_STAT_AREA] / np.pi) / diameter
    longest = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) / diameter
    small = (across < _GRAIN) & (across > _LEAST_GRAIN) & (longest < 1.5 * _GRAIN)
    small[0] = False
    places = centres[small]
    rows, columns = np.rint(places[:, 1]).astype(np.int64), np.rint(places[:, 0]).astype(np.int64)
    return np.asarray(places[background[rows, columns]], np.float64), np.asarray(background)


def _disc(across: float) -> npt.NDArray[np.uint8]:
    side = max(3, round(across) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
