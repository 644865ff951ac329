"""The outline of the cell at the centre of a view: its mask, and what its shape measures."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: A region smaller than this fraction of the view is not a cell.
LEAST_AREA = 0.01
#: Parts of a region whose depth exceeds this fraction of its greatest depth are cells of their own.
SEED_DEPTH = 0.65
HARMONICS = range(2, 7)
ANGLES = 64


def central_mask(image: Images) -> Mask | None:
    """Return the mask of the cell nearest to the centre of a view (s, s, 3).

    Return None where nothing is dark enough.

    Otsu's threshold of the green channel, in which haemoglobin is darkest, with holes filled. Of cells that
    touch, each pixel goes to the nearest middle (a part that is deep inside the joint region).
    """
    green = cv2.GaussianBlur(np.ascontiguousarray(image[..., 1]), (3, 3), 0)
    _, dark = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    side = len(green)
    large = [outline for outline in outlines if cv2.contourArea(outline) >= LEAST_AREA * side * side]
    if not large:
        return None
    middle = (side / 2, side / 2)
    central = max(large, key=lambda outline: cv2.pointPolygonTest(outline, middle, True))
    region = np.zeros((side, side), np.uint8)
    cv2.drawContours(region, [central], -1, 1, cv2.FILLED)
    return _nearest_part(region)


def depth_inside(region: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the distance (s, s) in pixels to the nearest pixel outside.

    Pixels past the border of the view are outside.
    """
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def _nearest_part(region: npt.NDArray[np.uint8]) -> Mask:
    """Return the part of a region of touching cells whose middle is nearest to the centre of the view."""
    # The border of the view is not outside here: a neighbour that it cuts is as deep as it was.
    depth = cv2.distanceTransform(region, cv2.DIST_L2, 3)
    seeds = (depth > SEED_DEPTH * depth.max()).astype(np.uint8)
    count, _, _, centres = cv2.connectedComponentsWithStats(seeds)
    if count <= 2:
        return np.asarray(region > 0)
    _, nearest = cv2.distanceTransformWithLabels(1 - seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    own = int(np.argmin(np.hypot(*(centres[1:] - len(region) / 2).T)))
    x, y = np.rint(centres[1 + own]).astype(int)
    labels = nearest[seeds > 0]
    places = np.argwhere(seeds > 0)
    label = labels[np.argmin(np.abs(places - (y, x)).sum(axis=1))]
    return np.asarray((nearest == label) & (region > 0))


def outline_features(mask: Mask) -> list[float] | None:
    """Compute thirteen features of the shape of a mask (s, s).

    Lengths are fractions of s. Return None for a mask without an area.

    Equivalent diameter, perimeter, roundness 4 pi A / P^2, elongation (minor over major axis of the ellipse
    of the same moments), solidity (area over that of the hull), convexity (perimeter of the hull over the
    own), extent (area over that of the tightest rectangle), spread of the radius over its mean, and the
    amplitudes of the radius's harmonics 2 to 6 over its mean.
    """
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)
    if len(outline) < 8:
        return None
    # The contour runs through pixel centres: half a pixel inside the cell on all sides.
    side = float(len(mask))
    area = float(mask.sum())
    smooth = _smoothed(outline[:, 0].astype(np.float64))
    perimeter = _length(smooth) + np.pi
    hull = cv2.convexHull(smooth.astype(np.float32))
    hull_length = float(cv2.arcLength(hull, True)) + np.pi
    hull_area = _hull_pixels(outline, len(mask))
    width, height = cv2.minAreaRect(smooth.astype(np.float32))[1]
    y, x = np.nonzero(mask)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(np.stack([x, y]))), 0) + 1 / 12)
    radius = _radii(smooth, x.mean(), y.mean())
    spectrum = np.abs(np.fft.rfft(radius)) * 2 / ANGLES / radius.mean()
    return [
        float(np.sqrt(4 * area / np.pi)) / side,
        perimeter / side,
        4 * np.pi * area / perimeter**2,
        float(axes[0] / axes[1]),
        area / hull_area,
        min(hull_length / perimeter, 1.0),
        area / ((width + 1) * (height + 1)),
        float(radius.std() / radius.mean()),
        *(float(spectrum[n]) for n in HARMONICS),
    ]


def _hull_pixels(outline: npt.NDArray[np.int32], side: int) -> float:
    """Return the number of pixels of the convex hull of an outline, counted as those of the mask are."""
    filled = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(outline), 1)
    return float(filled.sum())


def _smoothed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a closed outline averaged over five points: stairs of pixels are not spikes."""
    wrapped = np.concatenate([points[-2:], points, points[:2]])
    total = sum(wrapped[shift : shift + len(points)] for shift in range(5))
    return np.asarray(total / 5.0, dtype=np.float64)


def _length(points: npt.NDArray[np.float64]) -> float:
    return float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum())


def _radii(points: npt.NDArray[np.float64], cx: float, cy: float) -> npt.NDArray[np.float64]:
    """Return the distance (ANGLES,) of the outline from (cx, cy) at even angles."""
    across, down = points[:, 0] - cx, points[:, 1] - cy
    angle = np.arctan2(down, across)
    order = np.argsort(angle, kind="stable")
    wanted = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    radius = np.hypot(across, down)
    return np.asarray(np.interp(wanted, angle[order], radius[order], period=2 * np.pi)) + 0.5
