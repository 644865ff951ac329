"""Votes of an image's edges along their gradient, for the scale and for the centres of cells.

Every edge pixel votes for the point one radius up its gradient, into the stained side. The outline of a
cell, also the part of it that lies inside an overlap, votes for that cell's centre, however many cells it
touches (the idea of Loy & Zelinsky 2003, fast radial symmetry, with the contrast of the vote kept).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.illumination import Mask, Plane

# Votes are gathered in a Gaussian of this fraction of the radius.
REACH = 0.2
# Mean agreement below which edges are those of noise or of a shadow (measured: noise up to 0.05, smears
# 0.06-0.24).
MIN_AGREEMENT = 0.05


@dataclass(frozen=True)
class Edges:
    """Edge pixels of a plane: position, unit direction towards the stained side, contrast a pixel."""

    x: Plane
    y: Plane
    ux: Plane
    uy: Plane
    strength: Plane
    shape: tuple[int, int]


def find_edges(stain: Plane, smoothing: float, ignore: Mask | None = None) -> Edges:
    """Return the edges of `stain` (H, W) after a Gaussian of `smoothing` pixels, outside of `ignore`."""
    blurred = cv2.GaussianBlur(stain, (0, 0), smoothing)
    gx = cv2.Sobel(blurred, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(blurred, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    strength = cv2.magnitude(gx, gy)
    strong = strength > 0.1 / (smoothing + 2)
    if ignore is not None:
        strong &= ~ignore
    ys, xs = np.nonzero(strong)
    weight = strength[ys, xs]
    return Edges(
        xs.astype(np.float32),
        ys.astype(np.float32),
        gx[ys, xs] / weight,
        gy[ys, xs] / weight,
        weight,
        (stain.shape[0], stain.shape[1]),
    )


def radial_votes(edges: Edges, radii: npt.NDArray[np.float64]) -> Plane:
    """Return the votes (H, W) of the edges for centres at any of `radii` (pixels).

    1 means: a full circle of unit contrast around this pixel, seen at one of the radii.
    """
    height, width = edges.shape
    votes = np.zeros(height * width)
    for radius in radii:
        column = np.rint(edges.x + np.float32(radius) * edges.ux).astype(np.int32)
        row = np.rint(edges.y + np.float32(radius) * edges.uy).astype(np.int32)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        fraction = edges.strength[inside] / (2 * np.pi * radius)
        votes += np.bincount(row[inside] * width + column[inside], fraction, height * width)
    reach = REACH * float(np.mean(radii))
    gathered = cv2.GaussianBlur(votes.reshape(height, width).astype(np.float32), (0, 0), reach)
    return np.asarray(gathered * (2 * np.pi * reach**2), np.float32)


def circle_diameter(stain: Plane, ignore: Mask, smallest: float = 8.0) -> float | None:
    """Return the diameter (pixels) on which the edges of `stain` agree best; None where they agree on none.

    The score of a radius is the mean agreement that a vote meets, sum(V^2) / sum(V): about a half for discs
    of just that radius, near 0 for straight or random edges. Each octave of radii is searched at half the
    resolution of the one before.
    """
    diameters: list[float] = []
    scores: list[float] = []
    plane, zoom = stain, 1.0
    while min(plane.shape) > 1.2 * smallest:
        edges = find_edges(plane, 0.08 * smallest, ignore)
        for radius in smallest / 2 * 2 ** (np.arange(6) / 6):
            votes = radial_votes(edges, np.array([radius])).astype(np.float64)
            total = float(votes.sum())
            diameters.append(2 * radius * zoom)
            scores.append(float((votes**2).sum()) / total if total > 0 else 0.0)
        plane = cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        ignore = cv2.resize(ignore.astype(np.uint8), plane.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        zoom *= 2
    if not scores:
        return None
    smooth = np.convolve(np.pad(scores, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return diameters[int(np.argmax(smooth))] if smooth.max() > MIN_AGREEMENT else None
