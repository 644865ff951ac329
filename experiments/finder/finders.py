"""Finders that use the network: alone, or to correct the classical one where it sees one cell of several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from finder.network import STEP, USUAL, StarNetwork
from finder.pictures import Picture, looked_at
from finder.scoring import Found, of_cells
from finder.stars import LEAST, SAME, Stars, distinct, peaks
from finder.targets import RAYS, Floats
from finder.training import normalised
from reddino.rbc.finding import find_cells
from reddino.rbc.measures import Cells

#: Depth from which on a star may stand beside the classical cells, where none of them is.
ADDED = 0.6
#: Part of a star's box that lies in a classical cell's box, from which on the star is part of that cell.
WITHIN = 0.6
#: Area that a classical and a learned box share, of what they cover together, to be the same cell.
ALIKE = 0.6


@dataclass(frozen=True)
class Settings:
    """Where a peak is a cell, which outlines are one, and from which depth on a star is added."""

    least: float = LEAST
    same: float = SAME
    added: float = ADDED


def answers(network: StarNetwork, pixels: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the depth (h, w) and the distances (16, h, w) of a picture at the network's scale."""
    values = torch.from_numpy(normalised(pixels)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        out = network(values.contiguous(memory_format=torch.channels_last))[0].float()
    depth, rays = torch.sigmoid(out[0]), USUAL * torch.exp(out[1:])
    return depth.numpy(), rays.numpy().reshape(RAYS, *depth.shape)


def stars_of(
    network: StarNetwork, image: Picture, diameter: float, settings: Settings
) -> tuple[Stars, Floats]:
    """Return the stars of a picture, in steps of the grid, and their boxes (n, 4) in its pixels."""
    pixels, scale = looked_at(image, diameter)
    grid = np.array(scale) / STEP
    stars = distinct(peaks(*answers(network, pixels), settings.least), settings.same)
    high, wide = image.shape[:2]
    boxes = stars.boxes(wide * grid[0], high * grid[1]) / np.tile(grid, 2)
    whole = boxes[:, 2:].min(axis=1, initial=np.inf) > 0
    return stars.of(np.flatnonzero(whole)), boxes[whole]


def at_border(boxes: Floats, image: Picture) -> NDArray[np.bool_]:
    """Return which boxes (n, 4) reach to the border of a picture."""
    size = np.array(image.shape[1::-1])
    near = (boxes[:, :2] <= 1) | (boxes[:, :2] + boxes[:, 2:] >= size - 1)
    return np.asarray(near.any(axis=1))


def overlap(one: Floats, other: Floats) -> Floats:
    """Return the area (n, m) that boxes (n, 4) and (m, 4) share."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum((one[:, :2] + one[:, 2:])[:, None], (other[:, :2] + other[:, 2:])[None])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


@dataclass(frozen=True)
class Learned:
    """The network alone; the classical finder gives it the scale."""

    network: StarNetwork
    settings: Settings = Settings()

    def __call__(self, image: Picture) -> Found:
        """Return the cells of a picture (H, W, 3)."""
        return self.with_scale(image, find_cells(image))

    def with_scale(self, image: Picture, cells: Cells) -> Found:
        """Return the cells of a picture whose classical cells are known."""
        if not np.isfinite(cells.typical_diameter):
            return of_cells(cells)
        stars, boxes = stars_of(self.network, image, cells.typical_diameter, self.settings)
        cut = at_border(boxes, image)
        area = _areas(stars) * (boxes[:, 2:].prod(axis=1) / np.maximum(_extent(stars), 1e-9))
        single = np.sqrt(4 / np.pi * area)[~cut]
        typical = float(np.median(single)) if len(single) else cells.typical_diameter
        return Found(boxes, cut, typical)


def _areas(stars: Stars) -> Floats:
    x, y = stars.outlines[..., 0], stars.outlines[..., 1]
    return np.asarray(0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1)))


def _extent(stars: Stars) -> Floats:
    return np.asarray((stars.outlines.max(axis=1) - stars.outlines.min(axis=1)).prod(axis=1))


@dataclass(frozen=True)
class Corrected:
    """The classical finder, whose cells give way where the network sees several in one.

    Scale, outlines and whatever the network agrees to stay as they are.

    Args:
        network: that sees several.
        settings: of its stars.
        adds: put in also cells of the network where the classical finder has none.
    """

    network: StarNetwork
    settings: Settings = Settings()
    adds: bool = True

    def __call__(self, image: Picture) -> Found:
        """Return the cells of a picture (H, W, 3)."""
        return self.with_scale(image, find_cells(image))

    def with_scale(self, image: Picture, cells: Cells) -> Found:
        """Return the cells of a picture whose classical cells are known."""
        classical = of_cells(cells)
        if not len(cells) or not np.isfinite(cells.typical_diameter):
            return classical
        stars, boxes = stars_of(self.network, image, cells.typical_diameter, self.settings)
        gone, new = corrections(
            classical.boxes, boxes, stars.depth, self.settings.added if self.adds else 2.0
        )
        taken = boxes[new]
        return Found(
            np.concatenate([classical.boxes[~gone], taken]),
            np.concatenate([classical.cut[~gone], at_border(taken, image)]),
            classical.diameter,
        )


def corrections(
    classical: Floats, learned: Floats, depth: Floats, added: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which classical boxes (n, 4) give way, and which learned ones (m, 4) come in.

    A classical box gives way to two or more learned ones that lie in it, each of which belongs to the box
    that holds most of it. A learned box that lies in none comes in from the depth `added` on.
    """
    if not len(classical) or not len(learned):
        return np.zeros(len(classical), np.bool_), np.asarray(depth >= added)
    common = overlap(learned, classical)
    area = np.maximum(learned[:, 2:].prod(axis=1), 1e-9)
    size = classical[:, 2:].prod(axis=1)
    united = common / (area[:, None] + size[None] - common)
    held = common / area[:, None]
    home = held.argmax(axis=1)
    # a learned box that looks like a classical one belongs to it, however much of it another holds
    like = united.max(axis=1) > ALIKE
    home[like] = united[like].argmax(axis=1)
    inside = held[np.arange(len(learned)), home] > WITHIN
    several = np.bincount(home[inside], minlength=len(classical)) >= 2
    centre = learned[:, :2] + learned[:, 2:] / 2
    free = (held.max(axis=1) < 0.5) & ~_holds(classical, centre)
    return np.asarray(several), np.asarray((inside & several[home]) | (free & (depth >= added)))


def _holds(boxes: Floats, centres: Floats) -> NDArray[np.bool_]:
    """Return which centres (m, 2) lie in the middle half of a box (n, 4)."""
    apart = np.abs(centres[:, None] - (boxes[:, :2] + boxes[:, 2:] / 2)[None])
    return np.asarray((apart < 0.3 * boxes[None, :, 2:]).all(axis=2).any(axis=1))
