"""What the network learns of a picture: at each place how deep it lies in a cell, and how far its outline is.

Lengths are those of the grid on which the network answers; its point (row, column) lies at column + 0.5,
row + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Directions in which the distance to the outline is learned.
RAYS = 16
ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
DIRECTIONS: Floats = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


@dataclass(frozen=True)
class Targets:
    """Depth (H, W), 1 in the middle of a cell and 0 outside; distances (H, W, 16) to its outline, 0 outside.

    `owner` (H, W) is the number of the cell that a place belongs to, -1 outside of all.
    """

    depth: NDArray[np.float32]
    rays: NDArray[np.float32]
    owner: NDArray[np.int32]


def ellipse(box: Sequence[float], points: int = 32) -> Floats:
    """Return the ellipse (points, 2) inscribed in a box x, y, w, h."""
    x, y, w, h = box
    turns = 2 * np.pi * np.arange(points) / points
    return np.stack(
        [x + w / 2 + 0.5 * w * np.cos(turns), y + h / 2 + 0.5 * h * np.sin(turns)],
        axis=1,
    )


def uncut(box: Sequence[float], size: tuple[int, int], diameter: float, margin: float = 2.0) -> Floats:
    """Return a box (4,) as it would be if the picture did not end.

    Args:
        box: x, y, w, h in pixels.
        size: width and height of the picture.
        diameter: of a typical cell in pixels.
        margin: pixels from the border within which a box counts as cut.
    """
    low, length = np.array(box[:2], np.float64), np.array(box[2:], np.float64)
    high = low + length
    first, last = low <= margin, high >= np.array(size) - margin
    for axis in (0, 1):
        other = diameter if first[1 - axis] or last[1 - axis] else length[1 - axis]
        missing = max(other - length[axis], 0.0)
        if first[axis] and not last[axis]:
            low[axis] -= missing
        elif last[axis] and not first[axis]:
            high[axis] += missing
    return np.concatenate([low, high - low])


def outline_distances(points: Floats, outline: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Measure points (n, 2) against a closed outline (m, 2).

    Returns:
        The distance (n, 16) to where each ray first crosses the outline (0 where it does not), the distance
        (n,) to its nearest point, and which points (n,) lie inside.
    """
    start, edge = outline, np.roll(outline, -1, axis=0) - outline
    away = start[None] - points[:, None]
    # point + t * direction = start + s * edge
    turn = DIRECTIONS[:, None, 0] * edge[None, :, 1] - DIRECTIONS[:, None, 1] * edge[None, :, 0]
    turn = np.where(np.abs(turn) < 1e-12, 1e-12, turn)
    along = (away[..., 0] * edge[:, 1] - away[..., 1] * edge[:, 0])[:, None] / turn
    across = (
        away[:, None, :, 0] * DIRECTIONS[None, :, None, 1]
        - away[:, None, :, 1] * DIRECTIONS[None, :, None, 0]
    )
    share = across / turn
    crossed = (along > 0) & (share >= 0) & (share < 1)
    rays = np.where(crossed, along, np.inf).min(axis=2)
    inside = crossed[:, 0].sum(axis=1) % 2 == 1
    length = np.maximum((edge**2).sum(axis=1), 1e-12)
    foot = np.clip(-(away * edge).sum(axis=2) / length, 0, 1)
    nearest = np.sqrt(((away + foot[..., None] * edge) ** 2).sum(axis=2).min(axis=1))
    return np.where(np.isfinite(rays), rays, 0.0), nearest, np.asarray(inside)


def star_targets(outlines: Sequence[Floats], shape: tuple[int, int]) -> Targets:
    """Return the targets of a picture's cells, whole ones in overlaps too.

    The depth in a cell is the distance to its outline over the greatest in that cell (StarDist normalises
    likewise); where cells overlap, the one counts in which a place lies deeper.

    Args:
        outlines: (m, 2) each, x and y on the grid.
        shape: height and width of the grid.
    """
    height, width = shape
    depth = np.zeros(shape, np.float32)
    rays = np.zeros((*shape, RAYS), np.float32)
    owner = np.full(shape, -1, np.int32)
    for number, outline in enumerate(outlines):
        left, top = np.floor(outline.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(outline.max(axis=0)).astype(int).tolist()
        rows, columns = np.mgrid[top:bottom, left:right]
        spots = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
        far, nearest, inside = outline_distances(spots, outline)
        if not inside.any():
            continue
        here = nearest / nearest[inside].max()
        seen = inside & (rows.ravel() >= 0) & (rows.ravel() < height)
        seen &= (columns.ravel() >= 0) & (columns.ravel() < width)
        at = rows.ravel()[seen], columns.ravel()[seen]
        deeper = here[seen] > depth[at]
        at = at[0][deeper], at[1][deeper]
        depth[at], rays[at], owner[at] = here[seen][deeper], far[seen][deeper], number
    return Targets(depth, rays, owner)
