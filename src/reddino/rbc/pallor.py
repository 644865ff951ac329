"""Pale centres: holes of the stained area that belong to a cell, as opposed to gaps between cells."""

from __future__ import annotations

import cv2
import numpy as np

from reddino.rbc.foreground import Foreground
from reddino.rbc.illumination import Mask, Plane

# A hole is a pale centre if it is this convex and stained, or this convex and the edges agree on it as a
# centre.
CONVEX, STAINED, AGREED = 0.7, 0.2, 0.2
# Breaks in an outline that are closed, in cell diameters: more would close the gaps between neighbours.
CLOSE = 0.03
# Holes below this fraction of a cell's area are noise and are filled; beyond the other fractions they are
# background.
SPECK, LARGEST_HOLE, LARGEST_CUT_HOLE = 0.03, 0.6, 0.25


def filled_cells(foreground: Foreground, votes: Plane, diameter: float) -> Mask:
    """Fill the pallor of cells and remove specks; gaps between touching cells stay open."""
    size = max(1, round(CLOSE * diameter))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    solid = cv2.morphologyEx(foreground.cells.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    holes = ((solid == 0) & foreground.field).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=4)
    fraction = stats[:, cv2.CC_STAT_AREA] / (np.pi / 4 * diameter**2)
    fill = fraction < SPECK
    for label in np.nonzero(~fill & (fraction < LARGEST_HOLE))[0].tolist():
        x, y, w, h, area = (int(v) for v in stats[label])
        cut = x == 0 or y == 0 or x + w == solid.shape[1] or y + h == solid.shape[0]
        window = slice(y, y + h), slice(x, x + w)
        if not cut or fraction[label] < LARGEST_CUT_HOLE:
            fill[label] = _is_pallor(labels[window] == label, foreground.stain[window], votes[window], area)
    fill[0] = False
    solid[fill[labels]] = 1
    return np.asarray(cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel) > 0)


def _is_pallor(hole: Mask, stain: Plane, votes: Plane, area: int) -> bool:
    """Return whether a hole is a pale centre: it is convex, and the outline of its cell runs around it."""
    if float(np.median(stain[hole])) < STAINED and float(votes[hole].max()) < AGREED:
        return False
    outline, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outline))
    # The hull runs through pixel centres: half a pixel is missing on all sides.
    return area > CONVEX * (cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, closed=True) + 1)
