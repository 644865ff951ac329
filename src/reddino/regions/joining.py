"""Join the cells of overlapping regions: each cell of the slide is kept exactly once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

#: Red-cell diameters between the centres of one cell that two regions see, at most.
SAME = 0.5
#: Intersection over union of its two boxes, from which it is the same at any distance.
OVERLAPPING = 0.5


def kept_once(
    boxes: Real, region: Numbers, own: Flags, diameter: float, *, cut: Flags | None = None
) -> Flags:
    """Return which cells (n,) of a slide are kept, so that none is kept twice.

    A region is sure of a cell whose centre lies in its core (`own`), and has seen those whose centre lies a
    little outside. Two regions may place one cell's centre differently: both in their own core (one of the
    two is kept), or each in the other's (one of the two is kept too). What only a neighbour saw in a region's
    core is no cell for that region, which saw all of it, and is not kept.

    Args:
        boxes: (n, 4) left, top, width and height in pixels of level 0.
        region: (n,) number of the region that found the cell.
        own: (n,) whether its centre lies in the core of that region.
        diameter: of a red cell in pixels.
        cut: (n,) whether the border of the region cuts it, where that matters: of two, the whole one is kept.
    """
    from scipy.spatial import cKDTree  # slow to import

    centres = boxes[:, :2] + boxes[:, 2:] / 2
    if len(boxes) < 2:
        return own.copy()
    pairs = cKDTree(centres).query_pairs(2.0 * diameter, output_type="ndarray")
    pairs = pairs[region[pairs[:, 0]] != region[pairs[:, 1]]]
    near = np.hypot(*(centres[pairs[:, 0]] - centres[pairs[:, 1]]).T) < SAME * diameter
    pairs = pairs[near | (_overlap(boxes[pairs[:, 0]], boxes[pairs[:, 1]]) > OVERLAPPING)]
    partners: dict[int, list[int]] = {}
    for first, second in pairs.tolist():
        partners.setdefault(first, []).append(second)
        partners.setdefault(second, []).append(first)
    kept = own.copy()
    # Sure ones before seen ones, of these whole ones first, and then the first region.
    parted = np.zeros(len(boxes), np.bool_) if cut is None else cut
    order = np.lexsort((np.arange(len(boxes)), region, parted, ~own))
    turn = np.empty(len(boxes), np.int64)
    turn[order] = np.arange(len(boxes))
    for cell in sorted(partners, key=turn.__getitem__):
        kept[cell] = not any(kept[other] for other in partners[cell] if turn[other] < turn[cell])
    return kept


def _overlap(first: Real, second: Real) -> Real:
    """Return the intersection over union (n,) of boxes."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    union = first[:, 2] * first[:, 3] + second[:, 2] * second[:, 3] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
