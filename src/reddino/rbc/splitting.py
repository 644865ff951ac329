"""Split touching cells: distance transform, watershed, and merging of pieces that are one cell."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.illumination import Mask, Plane

# How much the agreement of edges counts next to the distance from the background (1 = a cell's middle).
VOTE_WEIGHT = 1.0
# Depth, in typical radii, from which on a pixel is no likelier to be the middle of a cell.
DEEPEST_SUMMIT = 1.2
# Two pieces without a waist between them (in parts of the smaller one's depth), together no larger than this
# (in typical areas), are one long cell: two discs have a waist unless they overlap by over two thirds.
WAIST, LARGEST_OVAL = 0.95, 1.8
# Together larger than that, up to this area, they are one if their outline is convex: its area over that of
# its hull. Two discs that overlap so much as to have no waist are no larger than 1.4, but two cells that are
# pressed together may be. So it must spare this fraction of all cells: then those of the field are long, and
# what was taken for their diameter is their width.
LONGEST, CONVEX, MANY_LONG = 3.0, 0.95, 0.1
# How deep, in typical radii, a cell of either kind may be: deeper is a clump.
DEEPEST_OVAL, DEEPEST_LONG = 1.15, 1.4

Labels = npt.NDArray[np.int32]


def inner_distance(mask: Mask) -> Plane:
    """Return the distance of each pixel of `mask` (H, W) to the background.

    The image border is not background.
    """
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def inscribed_radius(labels: Labels) -> npt.NDArray[np.float64]:
    """Return the radius (count,) of the greatest circle inside each label (H, W), background (0) included."""
    alone = labels > 0
    alone[:, 1:] &= labels[:, 1:] == labels[:, :-1]
    alone[1:] &= labels[1:] == labels[:-1]
    return _greatest(labels, inner_distance(alone)) + 0.25


def split_touching(mask: Mask, votes: Plane, diameter: float) -> Labels:
    """Label (H, W) the cells of a filled mask, 0 = background.

    A watershed grows from every summit of a height that is great where a pixel is far from the background
    and many edges agree on it as a centre. Neighbours with hardly a saddle between them are put together
    again, more readily where the sum is still one cell in size.

    Args:
        mask: cells with their pallor filled.
        votes: agreement of the edges on each pixel as a centre; 1 = a full circle of typical contrast.
        diameter: of a typical cell in pixels of the mask.
    """
    from skimage.segmentation import watershed  # takes a second to import

    depth = inner_distance(mask) / (0.5 * diameter)
    height = np.minimum(depth, DEEPEST_SUMMIT) + VOTE_WEIGHT * np.minimum(votes, 1.5)
    height = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.04 * diameter))
    height[~mask] = 0
    seeds = _peaks(height, radius=max(1, round(0.12 * diameter)), floor=0.25)
    labels = np.asarray(watershed(-height, seeds, mask=mask), np.int32)
    strict = merge_pieces(labels, height, depth, diameter)
    long = merge_pieces(labels, height, depth, diameter, long_cells=True)
    return long if long.max() < (1 - MANY_LONG) * strict.max() else strict


def _peaks(height: Plane, radius: int, floor: float) -> Labels:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    summit = (height >= cv2.dilate(height, kernel) - 1e-4) & (height > floor)
    _, seeds = cv2.connectedComponents(summit.astype(np.uint8), connectivity=8)
    return np.asarray(seeds, np.int32)


def merge_pieces(
    labels: Labels, height: Plane, depth: Plane, diameter: float, *, long_cells: bool = False
) -> Labels:
    """Join watershed pieces (H, W) of one cell.

    Args:
        labels: pieces, 0 = background.
        height: what the pieces were grown on.
        depth: distance from the background in typical radii.
        diameter: of a typical cell in pixels.
        long_cells: join also what is larger than one cell but convex.
    """
    from scipy.ndimage import find_objects  # slow to import

    count = int(labels.max()) + 1
    area = np.bincount(labels.ravel(), minlength=count) / (np.pi / 4 * diameter**2)
    pairs, saddle, shoal = _borders(labels, height, depth)
    peak, deepest = _greatest(labels, height), _greatest(labels, depth)
    parent = np.arange(count)
    boxes = find_objects(labels)

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = int(parent[label])
        return label

    for index in np.argsort(-saddle / np.minimum(peak[pairs[:, 0]], peak[pairs[:, 1]])):
        one, two = (root(int(label)) for label in pairs[index])
        if one == two:
            continue
        joint, smaller = area[one] + area[two], min(area[one], area[two])
        depths = sorted((deepest[one], deepest[two]))
        one_cell = saddle[index] > merge_ratio(joint, smaller) * min(peak[one], peak[two])
        if not one_cell and shoal[index] > WAIST * depths[0]:
            one_cell = joint < LARGEST_OVAL and depths[1] < DEEPEST_OVAL
            if long_cells and not one_cell and joint < LONGEST and depths[1] < DEEPEST_LONG:
                pieces = [label for label in range(1, count) if root(label) in (one, two)]
                one_cell = convexity(labels, pieces, boxes) > CONVEX
        if one_cell:
            parent[two] = one
            area[one] = joint
            peak[one], deepest[one] = max(peak[one], peak[two]), max(deepest[one], deepest[two])
    _, compact = np.unique([root(label) for label in range(count)], return_inverse=True)
    return np.asarray(compact, np.int32)[labels]


def convexity(labels: Labels, pieces: Sequence[int], boxes: Sequence[tuple[slice, ...] | None]) -> float:
    """Return the area of some pieces together over that of their convex hull, both by their outlines.

    Args:
        labels: (H, W) pieces.
        pieces: their labels.
        boxes: where each label lies, from 1 on.
    """
    places = [box for label in pieces if (box := boxes[label - 1]) is not None]
    rows, columns = (
        slice(min(box[axis].start for box in places), max(box[axis].stop for box in places))
        for axis in (0, 1)
    )
    union = np.isin(labels[rows, columns], pieces).astype(np.uint8)
    outlines, _ = cv2.findContours(union, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(outlines)))
    return sum(cv2.contourArea(outline) for outline in outlines) / max(hull, 1.0)


def _greatest(labels: Labels, plane: Plane) -> npt.NDArray[np.float64]:
    """Return the greatest value of each label (count,), at least 0; that of the background is 0."""
    greatest = np.zeros(int(labels.max()) + 1)
    inside = np.flatnonzero(labels.ravel())
    # Of one type, for which NumPy has a loop that is many times faster.
    np.maximum.at(greatest, labels.ravel()[inside].astype(np.intp), plane.ravel()[inside].astype(np.float64))
    return greatest


def merge_ratio(joint: float, smaller: float) -> float:
    """Return how wide a neck must be, in parts of the smaller piece, for two pieces to be one cell.

    Args:
        joint: area of both pieces together, in typical cell areas.
        smaller: area of the smaller piece, in typical cell areas.
    """
    if joint < 1.15:
        return 0.70 if smaller > 0.3 else 0.55
    if joint < 1.5:
        return 0.86 if smaller > 0.3 else 0.7
    return 0.95 if smaller > 0.3 else 0.85


def _borders(
    labels: Labels, height: Plane, depth: Plane
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return pairs (n, 2) of labels that share a border, and the greatest height and depth along it."""
    count = int(labels.max()) + 1
    keys: list[npt.NDArray[np.int64]] = []
    levels: list[Plane] = []
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        first, second = labels[here], labels[there]
        touching = (first != second) & (first > 0) & (second > 0)
        low = np.minimum(first[touching], second[touching]).astype(np.int64)
        keys.append(low * count + np.maximum(first[touching], second[touching]))
        levels.append(
            np.stack([np.minimum(plane[here][touching], plane[there][touching]) for plane in (height, depth)])
        )
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    greatest = np.zeros((2, len(key)))
    for row, level in zip(greatest, np.concatenate(levels, axis=1), strict=True):
        np.maximum.at(row, place, level.astype(np.float64))
    return np.stack([key // count, key % count], axis=1), greatest[0], greatest[1]
