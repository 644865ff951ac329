"""From the network's answers to cells: peaks of the depth, their outlines, which outlines are one cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from finder.targets import DIRECTIONS, Floats

#: Depth of a peak from which on it may be one of several cells, and from which on it is a cell of its own.
LEAST, ALONE = 0.3, 0.4
#: Area that two outlines share, of what they cover together, from which on they are one cell. Two discs whose
#: centres are a quarter of a diameter apart share 0.52.
SAME = 0.5


@dataclass(frozen=True)
class Stars:
    """Outlines (n, 16, 2) around places (n, 2) x, y of a depth (n,), in steps of the grid; deepest first."""

    places: Floats
    outlines: Floats
    depth: Floats

    def __len__(self) -> int:
        return len(self.depth)

    def boxes(self, width: float, height: float) -> Floats:
        """Return the boxes (n, 4) x, y, w, h of what of them lies in a grid of that size."""
        size = np.array([width, height])
        low = np.clip(self.outlines.min(axis=1), 0, size)
        return np.concatenate([low, np.clip(self.outlines.max(axis=1), 0, size) - low], axis=1)

    def of(self, rows: NDArray[np.int64]) -> Stars:
        return Stars(self.places[rows], self.outlines[rows], self.depth[rows])


def peaks(depth: NDArray[np.float32], rays: NDArray[np.float32], least: float = ALONE) -> Stars:
    """Return the stars at the local maxima of the depth (H, W) with its distances (16, H, W)."""
    rows, columns = np.nonzero((depth >= least) & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))))
    order = np.argsort(-depth[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    places = np.stack([columns + 0.5, rows + 0.5], axis=1)
    outlines = places[:, None] + rays[:, rows, columns].T[..., None] * DIRECTIONS
    return Stars(places, outlines, depth[rows, columns].astype(np.float64))


def shared(one: Floats, other: Floats, zoom: float = 3.0) -> float:
    """Return the area that two outlines (m, 2) share over the area that they cover together."""
    low = np.minimum(one.min(axis=0), other.min(axis=0))
    width, height = (
        np.ceil((np.maximum(one.max(axis=0), other.max(axis=0)) - low) * zoom).astype(int) + 1
    ).tolist()
    filled = []
    for outline in (one, other):
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.rint((outline - low) * zoom).astype(np.int32)], 1)
        filled.append(mask)
    return cv2.countNonZero(filled[0] & filled[1]) / max(1, cv2.countNonZero(filled[0] | filled[1]))


def distinct(stars: Stars, same: float = SAME) -> Stars:
    """Leave out each star that shares more than `same` with a deeper one that stays."""
    reach = np.sqrt(((stars.outlines - stars.places[:, None]) ** 2).sum(axis=2)).mean(axis=1)
    stay: list[int] = []
    for row in range(len(stars)):
        apart = np.hypot(*(stars.places[stay] - stars.places[row]).T)
        rivals = np.flatnonzero(apart < 0.7 * (reach[stay] + reach[row]))
        outline = stars.outlines[row]
        if all(shared(outline, stars.outlines[stay[rival]]) <= same for rival in rivals.tolist()):
            stay.append(row)
    return stars.of(np.array(stay, np.int64))
