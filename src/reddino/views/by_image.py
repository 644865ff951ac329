"""The views of a manifest, an image at a time: each image is opened, and its views placed, in its turn.

Nothing is read before that, not even headers, so that a pass over a million images starts at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.views.cutting import Pixels, cut_squares, require_inside, require_sides
from reddino.views.placing import inside, place
from reddino.views.spec import ViewSpec, require_maskable, view_masks, view_sides

#: A square: number of its image, row of the manifest, centre and side in pixels; diameter in pixels of the
#: disc that hides its centre (NaN: none); and of a cell that was found its box (top-left corner and size) and
#: the typical cell diameter of its image, in pixels, else NaN.
SQUARE = np.dtype(
    [("image", "i8"), ("row", "i8")]
    + [(name, "f8") for name in ("cx", "cy", "side", "mask", "x", "y", "w", "h", "cell_diameter")]
)
FOUND_COLUMNS = ("x", "y", "w", "h", "cell_diameter")
Squares = NDArray[np.void]


@dataclass(frozen=True)
class OpenedImage:
    """An image and the squares to cut from it.

    Attributes:
        number: of the image, in the order of the manifest.
        pixels: (H, W, 3) uint8 RGB; empty where nothing is to be cut.
        squares: (n,) of dtype `SQUARE`.
        dropped: (k,) rows of squares that were left out, since they leave the image.
    """

    number: int
    pixels: Pixels
    squares: Squares
    dropped: NDArray[np.int64]

    def cut(self, start: int, stop: int, output: int) -> Pixels:
        """The pixels (n, output, output, 3) of squares `start` to `stop`."""
        chosen = self.squares[start:stop]
        mask = None if np.isnan(chosen["mask"]).any() else chosen["mask"]
        return cut_squares(self.pixels, chosen["cx"], chosen["cy"], chosen["side"], output, mask=mask)


class ViewsByImage:
    """The views of a manifest, by number of the image.

    Args:
        manifest: images and cells.
        spec: what to cut.
        diameters: red-cell diameter in pixels by source, where the manifest's own `cell_diameter` is empty.
        find_cells: look for the cells of each image by classical segmentation; `spec` is of kind `cells`.

    Raises:
        RedDinoError: no cells to cut, or cells to find where the manifest lists some, or a cell diameter is
            needed and not known.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: ViewSpec,
        *,
        diameters: Mapping[str, float] | None = None,
        find_cells: bool = False,
    ) -> None:
        self.manifest, self.spec, self.find_cells = manifest, spec, find_cells
        self.names, codes = manifest.images()
        self._readings = Readings(manifest.table)
        self.first = np.unique(codes, return_index=True)[1].astype(np.int64)
        is_cell = manifest.is_cell()
        _check_cells(spec, find_cells, bool(is_cell.any()))
        self._mask: NDArray[np.float64] | None = None
        if find_cells:
            self._given = manifest.numbers("cell_diameter")[self.first]
        elif spec.kind == "cells":
            rows = np.flatnonzero(is_cell).astype(np.int64)
            self._rows = rows[np.argsort(codes[rows], kind="stable")]
            counts = np.bincount(codes[rows], minlength=len(self.names))
            self._starts = np.concatenate([[0], np.cumsum(counts)])
            self._centres = manifest.centres()[self._rows]
            self._side = view_sides(manifest, spec, diameters, self._rows)
            self._mask = view_masks(manifest, spec, diameters, self._rows)
        else:
            self._side = view_sides(manifest, spec, diameters, self.first)

    def __len__(self) -> int:
        """Images of the manifest."""
        return len(self.names)

    def asked_for(self) -> int:
        """Images that are opened: all, or those that list cells."""
        if self.spec.kind == "cells" and not self.find_cells:
            return int((np.diff(self._starts) > 0).sum())
        return len(self)

    def expected(self) -> NDArray[np.int64] | None:
        """Views (m,) that each image should give; None where only its pixels tell."""
        if self.find_cells or self.spec.kind == "patches":
            return None
        if self.spec.kind == "cells":
            return np.diff(self._starts)
        return np.full(len(self), self.spec.per_image if self.spec.kind == "random" else 1, dtype=np.int64)

    def open(self, number: int) -> OpenedImage:
        """Decode image `number` and place its squares.

        Raises:
            ImageError: it cannot be decoded, a cell lies outside of it, or no cell is found where one was
                looked for.
        """
        path = self.manifest.root / self.names[number]
        if self.spec.kind == "cells" and not self.find_cells:
            return self._open_listed(number)
        pixels = decode_image(path, **self._readings.of(self.names[number]))
        if self.find_cells:
            return self._open_found(number, pixels)
        size = np.array([[pixels.shape[1], pixels.shape[0]]], dtype=np.float64)
        one = slice(number, number + 1)
        rows, centres, side, dropped = place(self.first[one], size, self._side[one], self.spec)
        squares = new_squares(number, rows, centres, side)
        require_sides(path, pixels, side)
        return OpenedImage(number, pixels, squares, np.repeat(self.first[one], dropped))

    def _open_listed(self, number: int) -> OpenedImage:
        """The cells that the manifest lists; without any the image is not opened."""
        mine = slice(int(self._starts[number]), int(self._starts[number + 1]))
        squares = new_squares(number, self._rows[mine], self._centres[mine], self._side[mine])
        if self._mask is not None:
            squares["mask"] = self._mask[mine]
        if len(squares) == 0:
            return OpenedImage(number, np.empty((0, 0, 3), np.uint8), squares, squares["row"])
        path = self.manifest.root / self.names[number]
        pixels = decode_image(path, **self._readings.of(self.names[number]))
        require_inside(path, pixels, squares["cx"], squares["cy"])
        require_sides(path, pixels, squares["side"])
        return self._without_dropped(number, pixels, squares)

    def _open_found(self, number: int, pixels: Pixels) -> OpenedImage:
        from reddino.rbc.finding import find_cells  # scikit-image takes a second to import

        path = self.manifest.root / self.names[number]
        given = float(self._given[number])
        try:
            cells = find_cells(pixels, given if np.isfinite(given) else None)
        except RedDinoError as error:
            raise ImageError(path, str(error)) from error
        if len(cells) == 0 or not np.isfinite(cells.typical_diameter):
            raise ImageError(path, "no red cells stand out from the background")
        unit = cells.typical_diameter if self.spec.unit == "diameters" else 1.0
        require_sides(path, pixels, np.array([self.spec.side * unit]))
        rows = np.full(len(cells), self.first[number])
        centres = np.stack([cells.x + cells.w / 2, cells.y + cells.h / 2], axis=1)
        squares = new_squares(number, rows, centres, np.full(len(cells), self.spec.side * unit))
        for name in ("x", "y", "w", "h"):
            squares[name] = getattr(cells, name)
        squares["cell_diameter"] = cells.typical_diameter
        if self.spec.mask_centre:
            squares["mask"] = self.spec.mask_centre * cells.typical_diameter
        return self._without_dropped(number, pixels, squares)

    def _without_dropped(self, number: int, pixels: Pixels, squares: Squares) -> OpenedImage:
        if self.spec.border == "pad":
            return OpenedImage(number, pixels, squares, np.empty(0, np.int64))
        size = np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float64)
        fits = inside(np.stack([squares["cx"], squares["cy"]], axis=1), squares["side"], size)
        return OpenedImage(number, pixels, squares[fits], squares["row"][~fits])


def new_squares(
    image: int, rows: NDArray[np.int64], centres: NDArray[np.float64], side: NDArray[np.float64]
) -> Squares:
    """Squares (n,) with their rows, centres (n, 2) and sides in pixels, of cells that nobody had to find."""
    squares = np.zeros(len(rows), dtype=SQUARE)
    squares["image"], squares["row"], squares["side"] = image, rows, side
    squares["cx"], squares["cy"] = centres[:, 0], centres[:, 1]
    for name in ("mask", *FOUND_COLUMNS):
        squares[name] = np.nan
    return squares


def _check_cells(spec: ViewSpec, find_cells: bool, listed: bool) -> None:
    require_maskable(spec)
    if find_cells and spec.kind != "cells":
        raise RedDinoError(f"cells are found for views of kind cells, not {spec.kind}: choose one of them")
    if find_cells and listed:
        raise RedDinoError(
            "the manifest lists cells already: leave --find-cells out, or find them anew with `reddino cells`"
        )
    if spec.kind == "cells" and not (find_cells or listed):
        raise RedDinoError(
            "The manifest lists no cells (x and y are empty): let them be found (--find-cells), or choose "
            "views of kind image, patches or random."
        )
