"""Touching cells told apart: distance transform, watershed, and merging of pieces that are one cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from skimage.segmentation import watershed

from reddino.smears.illumination import Mask, Plane

# How much the agreement of edges counts beside the distance from the background (1 = the middle of a cell).
VOTE_WEIGHT = 1.0

Labels = npt.NDArray[np.int32]


def inner_distance(mask: Mask) -> Plane:
    """Distance of each pixel of `mask` (H, W) to the background; the image border is not background."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def inscribed_radius(labels: Labels) -> npt.NDArray[np.float64]:
    """Radius (count,) of the greatest circle inside each label of (H, W), 0 = background included."""
    alone = labels > 0
    alone[:, 1:] &= labels[:, 1:] == labels[:, :-1]
    alone[1:] &= labels[1:] == labels[:-1]
    radius = np.zeros(int(labels.max()) + 1)
    np.maximum.at(radius, labels.ravel(), inner_distance(alone).ravel())
    return radius + 0.25


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
    depth = np.minimum(inner_distance(mask) / (0.5 * diameter), 1.2)
    height = cv2.GaussianBlur(depth + VOTE_WEIGHT * np.minimum(votes, 1.5), (0, 0), max(0.8, 0.04 * diameter))
    height[~mask] = 0
    seeds = _peaks(height, radius=max(1, round(0.12 * diameter)), floor=0.25)
    labels = np.asarray(watershed(-height, seeds, mask=mask), np.int32)
    return merge_pieces(labels, height, diameter)


def _peaks(height: Plane, radius: int, floor: float) -> Labels:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    summit = (height >= cv2.dilate(height, kernel) - 1e-4) & (height > floor)
    _, seeds = cv2.connectedComponents(summit.astype(np.uint8), connectivity=8)
    return np.asarray(seeds, np.int32)


def merge_pieces(labels: Labels, height: Plane, diameter: float) -> Labels:
    """Join watershed pieces of one cell; `height` is the smoothed distance transform they were grown on."""
    count = int(labels.max()) + 1
    if count < 3:
        return labels
    peak = np.zeros(count)
    np.maximum.at(peak, labels.ravel(), height.ravel())
    area = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    pairs, saddle = _borders(labels, height, count)
    typical = np.pi / 4 * diameter**2
    parent = np.arange(count)

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = int(parent[label])
        return label

    ratio = saddle / np.minimum(peak[pairs[:, 0]], peak[pairs[:, 1]]) if len(pairs) else np.zeros(0)
    for index in np.argsort(-ratio):
        one, two = root(int(pairs[index, 0])), root(int(pairs[index, 1]))
        if one == two:
            continue
        narrow = saddle[index] / min(peak[one], peak[two])
        if narrow > merge_ratio((area[one] + area[two]) / typical, min(area[one], area[two]) / typical):
            parent[two] = one
            area[one] += area[two]
            peak[one] = max(peak[one], peak[two])
    roots = np.array([root(label) for label in range(count)])
    _, compact = np.unique(roots, return_inverse=True)
    return np.asarray(compact, np.int32)[labels]


def merge_ratio(joint: float, smaller: float) -> float:
    """How wide a neck must be, in parts of the smaller piece, for two pieces to be one cell.

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
    labels: Labels, height: Plane, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pairs (n, 2) of labels that share a border, and the greatest height along each border."""
    keys: list[npt.NDArray[np.int64]] = []
    levels: list[Plane] = []
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        first, second = labels[here], labels[there]
        touching = (first != second) & (first > 0) & (second > 0)
        low = np.minimum(first[touching], second[touching]).astype(np.int64)
        high = np.maximum(first[touching], second[touching]).astype(np.int64)
        keys.append(low * count + high)
        levels.append(np.minimum(height[here][touching], height[there][touching]))
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    saddle = np.zeros(len(key))
    np.maximum.at(saddle, place, np.concatenate(levels))
    return np.stack([key // count, key % count], axis=1), saddle
