"""The diameters that views are measured in: one way for embedding, fitting, predicting and evaluating."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from reddino.rbc.diameters import missing_diameters
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.smears.manifest import Manifest
from reddino.smears.pixel_sizes import require_pixel_sizes
from reddino.views.spec import ViewSpec

#: Red-cell diameters in pixels where a manifest has none: by source, or measured in each picture.
Diameters: TypeAlias = Mapping[str, float] | PictureDiameters
#: Measures the diameters of the sources of a manifest; None where its rows have their own.
Measure: TypeAlias = Callable[[Manifest], Mapping[str, float] | None]
log = logging.getLogger(__name__)
#: Sentences on the scale of views that were logged: once for each command, however often views are planned.
_logged: set[str] = set()
#: Pixels between a box and the border of its picture at which the cell is still cut by it.
TOUCHING = 1.0


def view_diameters(
    manifest: Manifest,
    spec: ViewSpec,
    of_sources: Callable[[Measure], Mapping[str, float] | None] | None = None,
) -> Diameters | None:
    """Return the diameters that `ViewsByImage` needs for a view; None where it needs none.

    Views of cells in pixels are measured too: what lies at the border depends on it, and whether a classifier
    sees cells of the size that it learned on.

    Args:
        manifest: of the views.
        spec: of the views.
        of_sources: returns the diameters by source where some of the sources were measured before; takes what
            measures those of a manifest (`reddino.embedding.growth.Growth.diameters`).

    Raises:
        RedDinoError: with scale `source`, a source whose pictures are of several magnifications, or one in
            which no cell can be measured.
    """
    if spec.scale == "source" and spec.needs_diameters:
        measure = partial(missing_diameters, refuse_mixed=True)
        return measure(manifest) if of_sources is None else of_sources(measure)
    return PictureDiameters(manifest) if spec.kind == "cells" or spec.needs_diameters else None


def view_pixel_sizes(manifest: Manifest, spec: ViewSpec) -> NDArray[np.float64]:
    """Return the micrometres of a pixel of each image (m,), which is logged once; NaN where views need none.

    Raises:
        RedDinoError: views in micrometres, and an image of which it is not known.
    """
    if not spec.needs_um:
        return np.full(len(manifest.images()[0]), np.nan)
    found = require_pixel_sizes(manifest)
    sentence = f"views of {spec.side:g} um: {found.sentence()}"
    if sentence not in _logged:
        _logged.add(sentence)
        log.warning("%s", sentence)
    return found.um


def by_source(diameters: Diameters | None) -> dict[str, float]:
    """Return the diameters by source that place the views; none where each picture has its own."""
    return {} if diameters is None or isinstance(diameters, PictureDiameters) else dict(diameters)


def at_border(
    boxes: NDArray[np.float64],
    centres: NDArray[np.float64],
    diameter: NDArray[np.float64],
    size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return which cells (n,) reach past the border of their picture, or touch it: 1, 0, or NaN (unknown).

    Args:
        boxes: (n, 4) left, top, width and height in pixels; NaN of cells that have none.
        centres: (n, 2) in pixels.
        diameter: (n,) of a typical red cell of the picture, for cells without a box; NaN where not known.
        size: (n, 2) or (2,) width and height of the picture.
    """
    boxed = np.asarray(np.isfinite(boxes).all(axis=1))
    box = boxed[:, None]
    low = np.where(box, boxes[:, :2] - TOUCHING, centres - diameter[:, None] / 2)
    high = np.where(box, boxes[:, :2] + boxes[:, 2:] + TOUCHING, centres + diameter[:, None] / 2)
    past = np.concatenate([low <= 0, high >= size], axis=1)
    # A box that touches all four sides is that of a picture of one cell, which is whole.
    cut = past.any(axis=1) & ~(past.all(axis=1) & boxed)
    return np.where(np.isfinite(low).all(axis=1), cut.astype(np.float64), np.nan)
