"""The cells that a manifest lists, in the order of their images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.rbc.found_cells import given_at_border
from reddino.smears.column_names import AT_BORDER
from reddino.smears.manifest import Manifest
from reddino.views.placing import Squares, new_squares
from reddino.views.scales import at_border
from reddino.views.spec import ViewSpec, require_maskable


class ListedCells:
    """Rows of a manifest that are cells.

    Attributes:
        rows: (n,) of the manifest, in the order of their images.
        counts: (m,) cells of each image.

    Args:
        manifest: of images and cells.
    """

    def __init__(self, manifest: Manifest) -> None:
        names, codes = manifest.images()
        rows = np.flatnonzero(manifest.is_cell()).astype(np.int64)
        self.rows = rows[np.argsort(codes[rows], kind="stable")]
        self.counts = np.bincount(codes[rows], minlength=len(names))
        self._starts = starts(codes[rows], len(names))
        self._centres = manifest.centres()[self.rows]
        boxes = np.stack([manifest.numbers(name)[self.rows] for name in ("x", "y", "w", "h")], axis=1)
        self._boxes = np.where((boxes[:, 2:] > 0).all(axis=1, keepdims=True), boxes, np.nan)
        self._marked_cut = given_at_border(manifest.table)[self.rows]

    def of_image(self, number: int) -> slice:
        """Return which of the cells are of image `number`."""
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def squares(
        self,
        image: int | NDArray[np.int64],
        which: slice,
        *,
        unit: NDArray[np.float64],
        size: NDArray[np.float64],
        spec: ViewSpec,
        um_per_px: NDArray[np.float64] | float = np.nan,
    ) -> Squares:
        """Return the squares (k,) of some of the cells.

        Args:
            image: number of the image, one for all or one per square.
            which: of the cells.
            unit: (k,) red-cell diameter in pixels; NaN where not known.
            size: (k, 2) or (2,) width and height of their images.
            spec: of the views.
            um_per_px: (k,) or one for all; micrometres of a pixel of their images.
        """
        squares = new_squares(image, self.rows[which], self._centres[which], spec.sides(unit, um_per_px))
        squares["cell_diameter"] = unit
        cut = at_border(self._boxes[which], self._centres[which], unit, size)
        squares[AT_BORDER] = np.where(self._marked_cut[which], 1.0, cut)
        if spec.mask_centre:
            squares["mask"] = spec.mask_centre * unit
        return squares


def starts(image: NDArray[np.int64], images: int) -> NDArray[np.int64]:
    """Return where each image's squares start among squares sorted by `image` (n,): (images + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])


def require_cells(spec: ViewSpec, *, find_cells: bool, listed: bool) -> None:
    """Refuse views of cells where none can be had, and a search where cells are listed.

    Raises:
        RedDinoError: there are no cells to cut, or more than one way to have them.
    """
    require_maskable(spec)
    if find_cells and spec.kind != "cells":
        raise RedDinoError(
            f"cells cannot be found for views of kind {spec.kind}; choose kind cells, or do not find cells"
        )
    if find_cells and listed:
        raise RedDinoError(
            "the manifest lists cells already; leave --find-cells out, or find them with `reddino cells`"
        )
    if spec.kind == "cells" and not (find_cells or listed):
        raise RedDinoError(
            "the manifest lists no cells (x and y are empty); let them be found (--find-cells), or choose "
            "views of kind image, patches or random"
        )
