"""How cut cells look: the colour of their background, their own stain, their sharpness and their size."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Views = npt.NDArray[np.uint8]
Measures = npt.NDArray[np.float64]

#: What is measured, in the order of the columns. Brightness is a natural logarithm of 1 + intensity,
#: absorbance one of background over cell; `red` and `blue` are those channels over green.
MEASURES = (
    "background brightness",
    "background red",
    "background blue",
    "cell absorbance",
    "cell red",
    "cell blue",
    "sharpness",
    "size in the view",
)
#: Pixels of background and of cell that a view must show to be measured.
_LEAST = 24
#: Cell diameters from the centre within which pixels are the cell's, and within which its outline lies.
_CORE, _OUTLINE = 0.5, 0.75

_LOG = np.log(np.arange(256, dtype=np.float32) + 1)


def measure_views(views: Views, across: float) -> Measures:
    """Measure cut cells.

    Args:
        views: (n, s, s, 3) uint8 RGB, each with a cell in its middle.
        across: side of a view in cell diameters.

    Returns:
        (n, 8) in the order of `MEASURES`; NaN where a view shows no background, or no cell. Sharpness is the
        logarithm of the steepest change of green, over the cell's contrast, in one cell diameter.
    """
    measured = np.full((len(views), len(MEASURES)), np.nan)
    if not len(views):
        return measured
    side = views.shape[1]
    ys, xs = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(ys, xs) / (side / across)
    for row, view in zip(measured, views, strict=True):
        row[:] = _measure(view, radius, side / across)
    return measured


def _measure(view: Views, radius: npt.NDArray[np.float64], diameter: float) -> Measures:
    """Return the measures (8,) of one view; `diameter` in its pixels, `radius` (s, s) in diameters."""
    nothing = np.full(len(MEASURES), np.nan)
    green = np.ascontiguousarray(view[..., 1])
    level, _ = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ground = green > level
    core = ~ground & (radius < _CORE)
    if ground.sum() < _LEAST or core.sum() < _LEAST:
        return nothing
    logs = _LOG[view]
    light = np.median(logs[ground], axis=0)
    stain = light - np.median(logs[core], axis=0)
    if stain[1] <= 0:
        return nothing
    smooth = cv2.GaussianBlur(logs[..., 1], (0, 0), 0.7)
    steep = np.hypot(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    )
    edge = float(np.percentile(steep[radius < _OUTLINE], 97)) * diameter / max(float(stain[1]), 0.03)
    return np.array(
        [
            light[1],
            light[0] - light[1],
            light[2] - light[1],
            stain[1],
            stain[0] - stain[1],
            stain[2] - stain[1],
            np.log(max(edge, 1e-3)),
            np.sqrt(4 * core.sum() / np.pi) / diameter,
        ]
    )
