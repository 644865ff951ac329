"""Red cells of a smear image by classical segmentation: how large a cell is, and where the cells are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from reddino.errors import RedDinoError
from reddino.smears.circles import circle_diameter, find_edges, radial_votes
from reddino.smears.foreground import Foreground, StainModel, find_foreground, model_stain
from reddino.smears.illumination import Image, Mask, Plane
from reddino.smears.splitting import Labels, inner_distance, split_touching

Floats = npt.NDArray[np.float64]

# Pixels a cell at which the work is done: below about 20 necks between cells close, above 40 nothing is gained.
WORK_DIAMETER = 32.0
SCALE_SIDE = 400
# How often a scale that the cells found at it contradict is mended.
RETRIES = 2
# The steepest edge of a blurred cell lies inside its outline, and cells are not quite round.
EDGE_TO_CELL = 1.08
# Equivalent diameters, in typical ones, between which a piece can be a red cell.
SMALLEST, LARGEST = 0.42, 1.75


@dataclass(frozen=True)
class Cells:
    """Red cells of one image, one entry a cell, in pixels of that image.

    Attributes:
        x, y: left and top of the bounding box.
        w, h: width and height of the bounding box.
        cx, cy: centre of mass.
        area: square pixels, pallor included.
        diameter: of the circle of the same area.
        touches_border: the image border (or the rim of a round field) cuts the cell.
        typical_diameter: of a whole single cell in this image; NaN where none was found.
    """

    x: Floats
    y: Floats
    w: Floats
    h: Floats
    cx: Floats
    cy: Floats
    area: Floats
    diameter: Floats
    touches_border: npt.NDArray[np.bool_]
    typical_diameter: float

    def __len__(self) -> int:
        return len(self.x)


def estimate_diameter(image: Image) -> float:
    """Diameter in pixels of a typical single red cell of an RGB image (H, W, 3) uint8.

    Raises:
        RedDinoError: no red cell stands out from the background.
    """
    cells = find_cells(image)
    if not np.isfinite(cells.typical_diameter):
        raise RedDinoError(
            f"No red cells stand out in this {image.shape[1]}x{image.shape[0]} image: give its cell diameter "
            "in the column cell_diameter of the manifest, or leave the image out."
        )
    return cells.typical_diameter


def find_cells(image: Image, diameter: float | None = None) -> Cells:
    """Find the red cells of an RGB image (H, W, 3) uint8.

    Args:
        image: the field, or a crop of one.
        diameter: typical cell diameter in pixels where known; estimated from the image where not.

    Returns:
        The cells; none where nothing stands out. White cells, platelets, lettering and debris are left out.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise RedDinoError(f"An image must be (H, W, 3) uint8 RGB, this one is {image.shape} {image.dtype}.")
    model = model_stain(image)
    if model is None:
        return _no_cells()
    if diameter is not None:
        return _segment(image, model, diameter)
    guess = _first_scale(image, model)
    if guess is None:
        return _no_cells()
    cells = _segment(image, model, guess)
    for _ in range(RETRIES):
        if len(cells) == 0 or 0.85 < cells.typical_diameter / guess < 1.18:
            break
        guess = cells.typical_diameter
        cells = _segment(image, model, guess)
    return cells


def _no_cells() -> Cells:
    empty = np.zeros(0)
    none = np.zeros(0, np.bool_)
    return Cells(empty, empty, empty, empty, empty, empty, empty, empty, none, float("nan"))


def _first_scale(image: Image, model: StainModel) -> float | None:
    """A first guess of the diameter in pixels, from the radius on which the edges agree; None without cells."""
    scale = min(1.0, SCALE_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    foreground = find_foreground(small, model)
    diameter = circle_diameter(_voting_plane(foreground), _no_votes(foreground, 3))
    return None if diameter is None else EDGE_TO_CELL * diameter / scale


def _voting_plane(foreground: Foreground) -> Plane:
    return np.asarray(np.where(foreground.field, np.clip(foreground.stain, 0, 1), 0), np.float32)


def _no_votes(foreground: Foreground, margin: int) -> Mask:
    """Pixels whose edges are not those of red cells: nuclei and the rim of a round field."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate((foreground.nuclei | ~foreground.field).astype(np.uint8), kernel) > 0)


def _segment(image: Image, model: StainModel, guess: float) -> Cells:
    """One pass at a given scale."""
    scale = min(WORK_DIAMETER / guess, 1.5)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation)
    foreground = find_foreground(small, model)
    diameter = guess * scale
    mask = _filled(foreground, diameter)
    plane = np.maximum(_voting_plane(foreground), (mask & ~foreground.cells).astype(np.float32))
    edges = find_edges(plane, 0.05 * diameter, _no_votes(foreground, 1))
    votes = radial_votes(edges, diameter * np.array([0.36, 0.42, 0.48, 0.54]))
    labels = split_touching(mask, votes, diameter)
    return _measure(
        labels, foreground, diameter, (image.shape[1] / small.shape[1], image.shape[0] / small.shape[0])
    )


def _filled(foreground: Foreground, diameter: float) -> Mask:
    """Cells with their pallor filled and specks removed; gaps between touching cells stay open."""
    size = max(1, round(0.06 * diameter))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    solid = cv2.morphologyEx(foreground.cells.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    holes = ((solid == 0) & foreground.field).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=4)
    typical = np.pi / 4 * diameter**2
    height, width = solid.shape
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        if area > 0.6 * typical or x == 0 or y == 0 or x + w == width or y + h == height:
            continue
        hole = labels[y : y + h, x : x + w] == label
        if area < 0.03 * typical or _is_pallor(hole, foreground.stain[y : y + h, x : x + w], area):
            solid[y : y + h, x : x + w][hole] = 1
    return np.asarray(cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel) > 0)


def _is_pallor(hole: Mask, stain: npt.NDArray[np.float32], area: int) -> bool:
    """A pale centre is convex; a gap between cells has concave sides and is as clear as the background."""
    outline, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outline))
    # The hull runs through pixel centres: half a pixel is missing all round.
    convexity = area / (cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, closed=True) + 1)
    return bool(convexity > 0.82 or (convexity > 0.7 and float(np.median(stain[hole])) > 0.15))


def _measure(labels: Labels, foreground: Foreground, guess: float, stretch: tuple[float, float]) -> Cells:
    """Measure the pieces, keep the red cells, and give them in pixels of the full image."""
    height, width = labels.shape
    count = int(labels.max()) + 1
    flat = labels.ravel()
    area = np.bincount(flat, minlength=count).astype(np.float64)
    safe = np.maximum(area, 1)
    ys, xs = np.divmod(np.arange(flat.size), width)
    cx = np.bincount(flat, xs, count) / safe
    cy = np.bincount(flat, ys, count) / safe
    boxes = [box or (slice(0, 0), slice(0, 0)) for box in [None, *find_objects(labels)]]
    top, bottom = np.array([(b[0].start, b[0].stop) for b in boxes]).T
    left, right = np.array([(b[1].start, b[1].stop) for b in boxes]).T
    rim = cv2.dilate((~foreground.field).astype(np.uint8), np.ones((3, 3), np.uint8)).ravel()
    cut = (
        (left <= 0)
        | (top <= 0)
        | (right >= width - 1)
        | (bottom >= height - 1)
        | (np.bincount(flat, rim, count) > 0)
    )
    dark = np.bincount(flat, foreground.nuclei.ravel(), count) / safe
    stain = np.bincount(flat, foreground.stain.ravel(), count) / safe
    diameter = np.sqrt(4 * area / np.pi)
    inscribed = np.zeros(count)
    np.maximum.at(inscribed, flat, inner_distance(labels > 0).ravel())
    keep = (np.arange(count) > 0) & (dark < 0.25) & (stain > 0.12)
    keep &= (diameter > SMALLEST * guess) & (diameter < LARGEST * guess) & (2 * inscribed > 0.3 * guess)
    whole = keep & ~cut
    typical = _typical(diameter[whole] if whole.any() else diameter[keep])
    sx, sy = stretch
    x, y = left[keep] * sx, top[keep] * sy
    return Cells(
        x=x,
        y=y,
        w=right[keep] * sx - x,
        h=bottom[keep] * sy - y,
        cx=(cx[keep] + 0.5) * sx - 0.5,
        cy=(cy[keep] + 0.5) * sy - 0.5,
        area=area[keep] * sx * sy,
        diameter=diameter[keep] * float(np.sqrt(sx * sy)),
        touches_border=cut[keep],
        typical_diameter=typical * float(np.sqrt(sx * sy)),
    )


def _typical(diameters: Floats) -> float:
    """Area-weighted median, so that fragments do not pull it down."""
    if len(diameters) == 0:
        return float("nan")
    ordered = np.sort(diameters)
    weight = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(weight, 0.5 * weight[-1])])
