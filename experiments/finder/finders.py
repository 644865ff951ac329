"""Finders that use the network: alone, or where the classical one sees one cell of several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from finder.network import STEP, USUAL, StarNetwork
from finder.pictures import Picture, looked_at
from finder.scoring import Found, of_cells
from finder.stars import ALONE, LEAST, Stars, distinct, peaks
from finder.targets import RAYS, Floats
from finder.training import normalised
from reddino.rbc.finding import find_cells

#: Part of a star's box that lies in a classical cell's box, from which on the star is part of that cell.
WITHIN = 0.6
#: Area that a classical and a learned box share, of what they cover together, to be the same cell.
ALIKE = 0.6
#: Area of a classical cell, in typical ones, from which on it may be several: of a whole one, and of what
#: the border leaves. Long and bent single cells are smaller.
PIECE, CUT_PIECE = 1.3, 0.6
#: Diameter of a star, in typical ones, from which on it may be one of several.
PART = 0.8


def answers(network: StarNetwork, pixels: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the depth (h, w) and the distances (16, h, w) of a picture at the network's scale."""
    values = torch.from_numpy(normalised(pixels)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        out = network(values.contiguous(memory_format=torch.channels_last))[0].float()
    depth, rays = torch.sigmoid(out[0]), USUAL * torch.exp(out[1:])
    return depth.numpy(), rays.numpy().reshape(RAYS, *depth.shape)


def stars_of(network: StarNetwork, image: Picture, diameter: float, least: float) -> tuple[Stars, Floats]:
    """Return the stars of a picture, in steps of the grid, and their boxes (n, 4) in its pixels.

    Args:
        network: taught.
        image: (H, W, 3) RGB.
        diameter: of a typical cell in its pixels.
        least: depth of a peak from which on it may be a cell.
    """
    pixels, scale = looked_at(image, diameter)
    grid = np.array(scale) / STEP
    stars = distinct(peaks(*answers(network, pixels), least))
    high, wide = image.shape[:2]
    boxes = stars.boxes(wide * grid[0], high * grid[1]) / np.tile(grid, 2)
    whole = boxes[:, 2:].min(axis=1, initial=np.inf) > 0
    return stars.of(np.flatnonzero(whole)), boxes[whole]


def at_border(boxes: Floats, image: Picture) -> NDArray[np.bool_]:
    """Return which boxes (n, 4) reach to the border of a picture."""
    size = np.array(image.shape[1::-1])
    near: NDArray[np.bool_] = (boxes[:, :2] <= 1) | (boxes[:, :2] + boxes[:, 2:] >= size - 1)
    return np.asarray(near[:, 0] | near[:, 1])


def overlap(one: Floats, other: Floats) -> Floats:
    """Return the area (n, m) that boxes (n, 4) and (m, 4) share."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum((one[:, :2] + one[:, 2:])[:, None], (other[:, :2] + other[:, 2:])[None])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


@dataclass(frozen=True)
class Learned:
    """The network alone; the classical finder gives it the scale."""

    network: StarNetwork

    def __call__(self, image: Picture) -> Found:
        """Return the cells of a picture (H, W, 3)."""
        cells = find_cells(image)
        if not np.isfinite(cells.typical_diameter):
            return of_cells(cells)
        stars, boxes = stars_of(self.network, image, cells.typical_diameter, ALONE)
        cut = at_border(boxes, image)
        whole = diameters(stars)[~cut] * cells.typical_diameter
        return Found(boxes, cut, float(np.median(whole)) if len(whole) else cells.typical_diameter)


@dataclass(frozen=True)
class Parted:
    """The classical finder, whose large cells give way where the network sees several in one.

    Scale, outlines and whatever the network agrees to stay as they are.
    """

    network: StarNetwork

    def __call__(self, image: Picture) -> Found:
        """Return the cells of a picture (H, W, 3)."""
        cells = find_cells(image)
        found = of_cells(cells)
        large = cells.area >= np.where(cells.touches_border, CUT_PIECE, PIECE) * (
            np.pi / 4 * cells.typical_diameter**2
        )
        if not large.any():
            return found
        stars, boxes = stars_of(self.network, image, cells.typical_diameter, LEAST)
        parts = boxes[diameters(stars) >= PART]
        gone, new = parted(found.boxes, large, parts)
        return Found(
            np.concatenate([found.boxes[~gone], parts[new]]),
            np.concatenate([found.cut[~gone], at_border(parts[new], image)]),
            found.diameter,
        )


def diameters(stars: Stars) -> Floats:
    """Return the diameters (n,) of the discs of the stars' areas, in that of a typical cell."""
    x, y = stars.outlines[..., 0], stars.outlines[..., 1]
    area = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1))
    return np.asarray(np.sqrt(4 / np.pi * area) / (2 * USUAL))


def parted(
    classical: Floats, large: NDArray[np.bool_], learned: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which classical boxes (n, 4) give way to which learned ones (m, 4).

    A classical box that is `large` (n,) gives way to two or more learned ones that lie in it; each learned
    one belongs to the box that it is like, else to the one that holds most of it.
    """
    if not len(classical) or not len(learned):
        return np.zeros(len(classical), np.bool_), np.zeros(len(learned), np.bool_)
    common = overlap(learned, classical)
    area = np.maximum(learned[:, 2:].prod(axis=1), 1e-9)
    united = common / (area[:, None] + classical[:, 2:].prod(axis=1)[None] - common)
    held = common / area[:, None]
    home = held.argmax(axis=1)
    like = united.max(axis=1) > ALIKE
    home[like] = united[like].argmax(axis=1)
    inside = held[np.arange(len(learned)), home] > WITHIN
    several = large & (np.bincount(home[inside], minlength=len(classical)) >= 2)
    return np.asarray(several), np.asarray(inside & several[home])
