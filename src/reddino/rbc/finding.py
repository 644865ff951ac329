"""Red cells of a smear image by classical segmentation: how large a cell is, and where the cells are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.rbc.circles import circle_diameter, find_edges, radial_votes
from reddino.rbc.foreground import Foreground, StainModel, find_foreground, model_stain
from reddino.rbc.illumination import Image, Mask, Plane
from reddino.rbc.measures import Cells, measure_cells, no_cells
from reddino.rbc.pallor import filled_cells
from reddino.rbc.scale_bars import covered, scale_bar
from reddino.rbc.splitting import split_touching

__all__ = ["Cells", "Segmented", "estimate_diameter", "find_cells", "segment_cells"]

# Pixels a cell at which the work is done: below about 20 gaps between cells close, above 40 nothing is won.
WORK_DIAMETER = 28.0
# Longest side in pixels at which the scale is searched.
SCALE_SIDE = 400
# How often a scale that the cells found at it contradict is mended.
RETRIES = 2
# The steepest edge of a blurred cell lies inside its outline, and cells are not quite round.
EDGE_TO_CELL = 1.08
# Radii, in diameters, at which the edge of a cell is searched around its centre.
RADII = np.array([0.36, 0.42, 0.48, 0.54])


@dataclass(frozen=True)
class Segmented:
    """The red cells of an image, and what they were found in.

    Attributes:
        cells: in pixels of the image.
        model: light and stain of the image; None where nothing stands out.
        foreground: stained pixels, at the scale of the work; None where there are no cells.
    """

    cells: Cells
    model: StainModel | None
    foreground: Foreground | None


def estimate_diameter(image: Image) -> float:
    """Estimate the diameter in pixels of a typical single red cell of an RGB image (H, W, 3) uint8.

    Raises:
        RedDinoError: no red cell stands out from the background.
    """
    cells = find_cells(image)
    if not np.isfinite(cells.typical_diameter):
        raise RedDinoError(
            f"no red cells stand out in this {image.shape[1]}x{image.shape[0]} image; give its cell diameter "
            "in the column cell_diameter of the manifest, or leave the image out"
        )
    return cells.typical_diameter


def find_cells(image: Image, diameter: float | None = None) -> Cells:
    """Find the red cells of an RGB image (H, W, 3) uint8.

    Args:
        image: the field, or a crop of one.
        diameter: typical cell diameter in pixels where known; estimated from the image where not.

    Returns:
        The cells; none where nothing stands out. White cells, platelets, lettering and debris are left out.
        Cells that a scale bar covers are found, and count among those that the border cuts.
    """
    return segment_cells(image, diameter).cells


def segment_cells(image: Image, diameter: float | None = None, *, bears_bar: bool = True) -> Segmented:
    """Find the red cells of an image as `find_cells` does; return what they were found in, too.

    A region of a slide bears no scale bar, which is then not sought (`bears_bar`).
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise RedDinoError(f"an image must be (H, W, 3) uint8 RGB, this one is {image.shape} {image.dtype}")
    if diameter is not None and not 2 < diameter < 1e4:
        raise RedDinoError(f"a cell diameter must be between 2 and 10000 pixels, not {diameter}")
    model = model_stain(image)
    if model is None:
        return Segmented(no_cells(), None, None)
    cells, foreground = _find(image, model) if diameter is None else _segment(image, model, diameter)
    bar = scale_bar(image) if bears_bar and len(cells) else None
    if bar is not None:
        hidden = covered(bar, cells.x, cells.y, cells.w, cells.h)
        cells = replace(cells, touches_border=cells.touches_border | hidden)
    return Segmented(cells, model, foreground)


def _find(image: Image, model: StainModel) -> tuple[Cells, Foreground | None]:
    """Find the cells of an image of unknown scale."""
    diameter = _first_scale(image, model)
    if diameter is None:
        return no_cells(), None
    cells, foreground = _segment(image, model, diameter)
    for _ in range(RETRIES):
        if len(cells) == 0 or 0.85 < cells.typical_diameter / diameter < 1.18:
            break
        diameter = cells.typical_diameter
        cells, foreground = _segment(image, model, diameter)
    return cells, foreground


def _first_scale(image: Image, model: StainModel) -> float | None:
    """Estimate the diameter in pixels from the radius on which edges agree; None without cells."""
    scale = min(1.0, SCALE_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    foreground = find_foreground(small, model)
    diameter = circle_diameter(_voting_plane(foreground), _no_votes(foreground, 3))
    return None if diameter is None else EDGE_TO_CELL * diameter / scale


def _voting_plane(foreground: Foreground) -> Plane:
    return np.asarray(np.where(foreground.field, np.clip(foreground.stain, 0, 1), 0), np.float32)


def _no_votes(foreground: Foreground, margin: int) -> Mask:
    """Return the pixels whose edges are not those of red cells: nuclei and the rim of a round field."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate((foreground.nuclei | ~foreground.field).astype(np.uint8), kernel) > 0)


def _segment(image: Image, model: StainModel, expected: float) -> tuple[Cells, Foreground]:
    """Segment the cells once at a given scale."""
    scale = min(WORK_DIAMETER / expected, 1.5)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation)
    foreground = find_foreground(small, model)
    diameter = expected * scale
    edges = find_edges(_voting_plane(foreground), 0.05 * diameter, _no_votes(foreground, 1))
    votes = radial_votes(edges, diameter * RADII)
    mask = filled_cells(foreground, votes, diameter)
    labels = split_touching(mask, votes, diameter)
    stretch = image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]
    return measure_cells(labels, foreground, diameter, stretch), foreground
