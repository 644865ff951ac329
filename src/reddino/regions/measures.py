"""What squares of a region measure: cells, how they lie, focus, pallor, and what covers them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reddino.rbc.appearance import MEASURES as LOOKS
from reddino.rbc.appearance import measure_views
from reddino.rbc.field_measures import NEAR
from reddino.rbc.finding import Cells, Segmented
from reddino.rbc.illumination import Image, Plane, log_intensity
from reddino.rbc.morphology import absorbance, pallor_features
from reddino.rbc.outline import central_mask
from reddino.rbc.scale_bars import scale_bar
from reddino.regions.artefacts import coarse_density, grains, pen_marks, rims_and_folds
from reddino.views.cutting import cut_square

Real = npt.NDArray[np.float64]
#: Red-cell diameters of a square's side, about.
SQUARE_SIDE = 16.0
#: Cells of a square that are looked at, pixels a side of their views, and cell diameters across these.
SAMPLED, VIEW, ACROSS = 16, 64, 1.6
#: 1 - palest ring / rim, from which a cell has a pale centre.
PALE = 0.12
#: Stain, in that of a red cell, from which a pixel is covered.
COVERED = 0.35
#: Background, in cell diameters squared, below which grains are not counted by its area.
LEAST_GROUND = 12.0
#: Shortest side in pixels of a picture that bears no scale bar: regions of slides bear none.
FIELD = 1600
#: Brightness below which the border of a field is its black surround, as a fraction of the bright ground.
_BLACK = 0.3
#: What is measured of a square, in the order of the columns.
COLUMNS = (
    *("x", "y", "w", "h", "cells", "stained", "overlap", "pale", "sharpness", "grains", "rims", "ink"),
)


@dataclass(frozen=True)
class Core:
    """The part of a region that is its own, in pixels of what was read: the rest is margin."""

    x: int
    y: int
    w: int
    h: int


def light_of(image: Image) -> Plane:
    """Return the log intensity (3,) of the brightest tenth of an image, by channel."""
    return np.asarray(np.percentile(log_intensity(image).reshape(-1, 3), 95, axis=0), np.float32)


def measure_squares(
    image: Image, found: Segmented, diameter: float, core: Core, light: Plane | None = None
) -> Real:
    """Measure the squares of a region's core.

    Args:
        image: (H, W, 3) uint8 RGB, core and margin.
        found: its cells, and what they were found in.
        diameter: of a red cell in pixels.
        core: of the region.
        light: log intensity (3,) of empty glass; None: that of the image's own background.

    Returns:
        (n, 12) in the order of `COLUMNS`. `x`, `y`, `w`, `h`: place in pixels of the image. `cells`: centres
        within. `stained`: fraction of the area that is covered. `overlap`: fraction of the cells whose
        nearest neighbour is nearer than `NEAR` diameters or that are clumps. `pale`: fraction with a pale
        centre. `sharpness`: natural logarithm, as in `reddino.rbc.appearance`, median over cells. `grains`:
        in the area of a square of one cell diameter. `rims` and `ink`: fractions of the area. NaN: not
        measured.
    """
    squares = _places(core, diameter)
    table = np.full((len(squares), len(COLUMNS)), np.nan)
    table[:, :4] = squares
    number = _square_of(found.cells.cx, found.cells.cy, core, squares)
    table[:, 4] = np.bincount(number[number >= 0], minlength=len(squares))
    own = light if light is not None else light_of(image)
    if light is None and found.model is not None:
        own = found.model.surface
    density = coarse_density(image, own, diameter)
    typical = np.array([0.25, 0.5, 0.22]) if found.model is None else found.model.cell
    open_field = _open_field(image, found, density.shape[:2])
    table[:, 10] = _fractions(rims_and_folds(density, typical) & open_field, squares, image)
    table[:, 11] = _fractions(pen_marks(density) & open_field, squares, image)
    table[:, 5] = _stained(found, density, squares, image)
    table[:, 9] = _grains(found, image, squares, core, diameter)
    crowded = _crowded(found.cells, diameter)
    rng = np.random.default_rng(0)
    for square in range(len(squares)):
        inside = np.flatnonzero(number == square)
        if len(inside):
            table[square, 6] = float(crowded[inside].mean())
            table[square, 7:9] = _looks(image, found.cells, _sample(rng, inside, crowded), diameter)
    return table


def _places(core: Core, diameter: float) -> Real:
    """Return left, top, width and height (n, 4) of the squares of a core, in reading order."""
    columns = max(1, round(core.w / (SQUARE_SIDE * diameter)))
    rows = max(1, round(core.h / (SQUARE_SIDE * diameter)))
    w, h = core.w / columns, core.h / rows
    return np.array(
        [(core.x + c * w, core.y + r * h, w, h) for r in range(rows) for c in range(columns)], np.float64
    )


def _square_of(x: Real, y: Real, core: Core, squares: Real) -> npt.NDArray[np.int64]:
    """Return the square (n,) of each place; -1 outside of the core."""
    w, h = squares[0, 2:]
    columns = round(core.w / w)
    c, r = np.floor((x - core.x) / w), np.floor((y - core.y) / h)
    inside = (x >= core.x) & (y >= core.y) & (x < core.x + core.w) & (y < core.y + core.h)
    return np.asarray(np.where(inside, r * columns + c, -1).astype(np.int64))


def _fractions(mask: npt.NDArray[np.bool_], squares: Real, image: Image) -> Real:
    """Return the fraction (n,) of each square that a mask of any resolution covers."""
    sx, sy = mask.shape[1] / image.shape[1], mask.shape[0] / image.shape[0]
    found = np.zeros(len(squares))
    for square, (x, y, w, h) in enumerate(squares):
        part = mask[int(y * sy) : max(int((y + h) * sy), int(y * sy) + 1),
                    int(x * sx) : max(int((x + w) * sx), int(x * sx) + 1)]  # fmt: skip
        found[square] = float(part.mean()) if part.size else 0.0
    return found


def _open_field(image: Image, found: Segmented, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels (h, w) that the optics lit and no scale bar covers."""
    size = shape[::-1]
    field = np.ones(shape, np.uint8)
    if found.model is not None:
        field = cv2.resize(found.model.field.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        # The light falls off at the rim of a round field.
        field = cv2.erode(field, np.ones((21, 21), np.uint8), borderType=cv2.BORDER_REPLICATE)
    if min(image.shape[:2]) >= FIELD:
        return np.asarray(field > 0)
    field[_surround(image, size) > 0] = 0
    bar = scale_bar(image)
    if bar is not None:
        sx, sy = shape[1] / image.shape[1], shape[0] / image.shape[0]
        rows = slice(max(int(bar[1] * sy) - 2, 0), int((bar[1] + bar[3]) * sy) + 3)
        field[rows, max(int(bar[0] * sx) - 2, 0) : int((bar[0] + bar[2]) * sx) + 3] = 0
    return np.asarray(field > 0)


def _surround(image: Image, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the black corners of a picture's round field, of its copy of this width and height."""
    grey = cv2.resize(image.max(axis=2), size, interpolation=cv2.INTER_AREA)
    dark = (grey < _BLACK * float(np.percentile(grey, 90))).astype(np.uint8)
    labels = cv2.connectedComponents(dark, connectivity=8)[1]
    edges = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    corners = (np.isin(labels, edges[edges > 0])).astype(np.uint8)
    return np.asarray(cv2.dilate(corners, np.ones((9, 9), np.uint8)))


def _stained(found: Segmented, density: Plane, squares: Real, image: Image) -> Real:
    if found.foreground is not None:
        return _fractions(found.foreground.stain > COVERED, squares, image)
    return _fractions(density[..., 1] > 0.12, squares, image)


def _grains(found: Segmented, image: Image, squares: Real, core: Core, diameter: float) -> Real:
    """Return the grains in the area of a cell's diameter squared, of each square (n,)."""
    if found.foreground is None:
        return np.full(len(squares), np.nan)
    scale = found.foreground.stain.shape[1] / image.shape[1]
    stained = found.foreground.cells
    places, background = grains(found.foreground.nuclei, stained, diameter * scale)
    number = _square_of(places[:, 0] / scale, places[:, 1] / scale, core, squares)
    area = squares[:, 2] * squares[:, 3] / diameter**2 * _fractions(background, squares, image)
    counts = np.bincount(number[number >= 0], minlength=len(squares))
    return np.asarray(counts / np.maximum(area, LEAST_GROUND))


def _crowded(cells: Cells, diameter: float) -> npt.NDArray[np.bool_]:
    """Return which cells (n,) lie on another."""
    from scipy.spatial import cKDTree  # slow to import

    if len(cells) < 2:
        return np.zeros(len(cells), np.bool_)
    points = np.column_stack([cells.cx, cells.cy])
    nearest = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
    return np.asarray((nearest < NEAR * diameter) | (cells.diameter > 1.45 * diameter))


def _sample(
    rng: np.random.Generator, inside: npt.NDArray[np.int64], crowded: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return some cells of a square, those that lie apart first."""
    shuffled = rng.permutation(inside)
    return np.asarray(shuffled[np.argsort(crowded[shuffled], kind="stable")][:SAMPLED])


def _looks(image: Image, cells: Cells, chosen: npt.NDArray[np.int64], diameter: float) -> tuple[float, float]:
    """Return the fraction of some cells that have a pale centre, and the median of their sharpness."""
    middle = cells.x + cells.w / 2, cells.y + cells.h / 2
    views = np.stack(
        [
            cut_square(image, float(middle[0][i]), float(middle[1][i]), ACROSS * diameter, VIEW)
            for i in chosen.tolist()
        ]
    )
    sharp = measure_views(views, ACROSS)[:, LOOKS.index("sharpness")]
    pale = [_is_pale(view) for view in views]
    known = [one for one in pale if one is not None]
    return (
        float(np.mean(known)) if known else float("nan"),
        float(np.nanmedian(sharp)) if np.isfinite(sharp).any() else float("nan"),
    )


def _is_pale(view: Image) -> bool | None:
    """Return whether the cell in the middle of a view has a paler ring or centre; None without a cell."""
    mask = central_mask(view)
    if mask is None:
        return None
    rings = pallor_features(smooth_absorbance(view, mask), mask)[2:]
    return bool(1.0 - min(rings[2:]) / max(*rings[1:3], 1e-3) > PALE)


def smooth_absorbance(view: Image, mask: npt.NDArray[np.bool_]) -> Real:
    """Return the absorbance of a view, slightly smoothed: noise must not make a pale ring."""
    return absorbance(cv2.GaussianBlur(view, (0, 0), 1.2), mask)
