"""The view pipeline: place and cut the views of a manifest, one image at a time.

An image is read when its turn comes, so that a pass over a million images starts at once. `place_all` reads
the headers of all images first, for callers that need the number of views before they cut any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import find_cells
from reddino.smears.decode import decode_image, image_size
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.views.cutting import Pixels, cut_squares, require_inside, require_sides
from reddino.views.placing import Squares, inside, new_squares, place
from reddino.views.spec import ViewSpec, require_maskable, view_masks, view_sides


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
        """Cut squares `start` to `stop`: (n, output, output, 3) uint8 RGB."""
        return cut_squares(self.pixels, self.squares[start:stop], output)


class ViewsByImage:
    """The views of a manifest, by number of the image.

    With kind `cells`, each row with coordinates has a view and whole-image rows have none. With the other
    kinds each image has its views once, however many rows (cells) it has: the label of a row that is a cell
    does not describe such a view.

    Args:
        manifest: images and cells.
        spec: the views to cut.
        diameters: red-cell diameter in pixels by source, where the manifest's own `cell_diameter` is empty.
        find_cells: find the cells of each image by classical segmentation; `spec` is of kind `cells`.

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
        self._first = np.unique(codes, return_index=True)[1].astype(np.int64)
        is_cell = manifest.is_cell()
        _check_cells(spec, find_cells, bool(is_cell.any()))
        if find_cells:
            self._given = manifest.numbers("cell_diameter")[self._first]
        elif spec.kind == "cells":
            rows = np.flatnonzero(is_cell).astype(np.int64)
            self._rows = rows[np.argsort(codes[rows], kind="stable")]
            self._starts = _starts(codes[rows], len(self.names))
            self._centres = manifest.centres()[self._rows]
            self._side = view_sides(manifest, spec, diameters, self._rows)
            self._mask = view_masks(manifest, spec, diameters, self._rows)
        else:
            self._side = view_sides(manifest, spec, diameters, self._first)

    def __len__(self) -> int:
        """Return the number of images of the manifest."""
        return len(self.names)

    def images_to_open(self) -> int:
        """Return the number of images that are opened: all, or those that list cells."""
        if self.spec.kind == "cells" and not self.find_cells:
            return int((np.diff(self._starts) > 0).sum())
        return len(self)

    def expected(self) -> NDArray[np.int64] | None:
        """Return the number of views that each image should give (m,); None where its pixels decide."""
        if self.find_cells or self.spec.kind == "patches":
            return None
        if self.spec.kind == "cells":
            return np.diff(self._starts)
        return np.full(len(self), self.spec.per_image if self.spec.kind == "random" else 1, dtype=np.int64)

    def open(self, number: int) -> OpenedImage:
        """Decode image `number` and place its squares; an image without listed cells is not read.

        Raises:
            ImageError: the image cannot be decoded, a cell lies outside of it, or its cells are to be
                found and there are none.
        """
        if self.find_cells:
            return self._open_found(number)
        if self.spec.kind == "cells":
            mine = self._listed(number, slice(int(self._starts[number]), int(self._starts[number + 1])))
            if len(mine) == 0:
                return OpenedImage(number, np.empty((0, 0, 3), np.uint8), mine, mine["row"])
            return self._without_dropped(self.open_for(number, mine))
        pixels = self._decode(number)
        squares, dropped = self._place_fields(np.array([number]), _size(pixels)[None])
        require_sides(self._path(number), pixels, squares["side"])
        return OpenedImage(number, pixels, squares, dropped)

    def open_for(self, number: int, squares: Squares) -> OpenedImage:
        """Decode image `number` to cut squares that `place_all` placed in it.

        Raises:
            ImageError: the image cannot be decoded, or a square's centre lies outside of it.
        """
        pixels = self._decode(number)
        require_inside(self._path(number), pixels, squares)
        require_sides(self._path(number), pixels, squares["side"])
        return OpenedImage(number, pixels, squares, np.empty(0, np.int64))

    def place_all(self, failures: Failures) -> tuple[Squares, NDArray[np.int64]]:
        """Place the squares of all images by their headers; no pixel is decoded.

        Headers are read only where the place of a square depends on them.

        Args:
            failures: collects the images whose header cannot be read.

        Returns:
            All squares (n,) in the order of the images, and the rows (k,) of those that were left out since
            they leave their image.

        Raises:
            ValueError: cells are to be found, which takes the pixels.
        """
        if self.find_cells:
            raise ValueError("cells that are to be found cannot be placed by the headers of their images")
        if self.spec.kind == "cells" and self.spec.border == "pad":
            return self._all_listed(), np.empty(0, np.int64)
        size = self._measure(failures)
        readable = ~np.isnan(size[:, 0])
        if self.spec.kind != "cells":
            return self._place_fields(np.flatnonzero(readable), size[readable])
        squares = self._all_listed()
        squares = squares[readable[squares["image"]]]
        fits = inside(squares, size[squares["image"]])
        return squares[fits], squares["row"][~fits]

    def cut_all(
        self,
        squares: Squares,
        failures: Failures,
        *,
        at_most: int = 256,
        see: Callable[[int, Pixels], None] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        """Cut squares that `place_all` placed, image by image, each image decoded once.

        Args:
            squares: (n,) in the order of their images, all of them or some.
            failures: collects the images that cannot be used.
            at_most: longest stack that is yielded, which bounds the memory of huge fields.
            see: called with the number and the pixels of each image.

        Yields:
            (k,) indices into `squares`, and (k, s, s, 3) uint8 RGB.
        """
        starts = _starts(squares["image"], len(self))
        for number in np.flatnonzero(np.diff(starts)).tolist():
            start, stop = int(starts[number]), int(starts[number + 1])
            try:
                image = self.open_for(number, squares[start:stop])
            except ImageError as error:
                failures.add(error.path, error.reason)
                continue
            if see:
                see(number, image.pixels)
            for first in range(0, stop - start, at_most):
                pixels = image.cut(first, first + at_most, self.spec.output)
                yield np.arange(start + first, start + first + len(pixels)), pixels

    def _path(self, number: int) -> Path:
        return self.manifest.root / self.names[number]

    def _decode(self, number: int) -> Pixels:
        return decode_image(self._path(number), **self._readings.of(self.names[number]))

    def _listed(self, image: int | NDArray[np.int64], which: slice) -> Squares:
        """Return the squares of cells that the manifest lists, `which` of them in the order of the images."""
        squares = new_squares(image, self._rows[which], self._centres[which], self._side[which])
        if self._mask is not None:
            squares["mask"] = self._mask[which]
        return squares

    def _all_listed(self) -> Squares:
        return self._listed(np.repeat(np.arange(len(self)), np.diff(self._starts)), slice(None))

    def _measure(self, failures: Failures) -> NDArray[np.float64]:
        """Return the width and height of each image (m, 2); NaN where its header cannot be read."""
        size = np.full((len(self), 2), np.nan)
        for number in range(len(self)):
            try:
                size[number] = image_size(self._path(number))
            except ImageError as error:
                failures.add(error.path, error.reason)
        return size

    def _place_fields(
        self, numbers: NDArray[np.int64], size: NDArray[np.float64]
    ) -> tuple[Squares, NDArray[np.int64]]:
        """Place the squares of images `numbers` (m,) by their width and height (m, 2).

        Returns:
            The squares (n,), and the rows (k,) of those that were left out.
        """
        first = self._first[numbers]
        rows, centres, side, dropped = place(first, size, self._side[numbers], self.spec)
        image = numbers[np.searchsorted(first, rows)]
        return new_squares(image, rows, centres, side), np.repeat(first, dropped)

    def _open_found(self, number: int) -> OpenedImage:
        """Decode image `number` and find its cells."""
        path, pixels = self._path(number), self._decode(number)
        given = float(self._given[number])
        try:
            cells = find_cells(pixels, given if np.isfinite(given) else None)
        except RedDinoError as error:
            raise ImageError(path, str(error)) from error
        if len(cells) == 0 or not np.isfinite(cells.typical_diameter):
            raise ImageError(path, "no red cells stand out from the background")
        unit = cells.typical_diameter if self.spec.unit == "diameters" else 1.0
        side = np.full(len(cells), self.spec.side * unit)
        require_sides(path, pixels, side)
        centres = np.stack([cells.x + cells.w / 2, cells.y + cells.h / 2], axis=1)
        squares = new_squares(number, np.full(len(cells), self._first[number]), centres, side)
        for name in ("x", "y", "w", "h"):
            squares[name] = getattr(cells, name)
        squares["cell_diameter"] = cells.typical_diameter
        if self.spec.mask_centre:
            squares["mask"] = self.spec.mask_centre * cells.typical_diameter
        return self._without_dropped(OpenedImage(number, pixels, squares, np.empty(0, np.int64)))

    def _without_dropped(self, image: OpenedImage) -> OpenedImage:
        """Leave out the squares that leave the image, where the views are to be dropped there."""
        if self.spec.border == "pad":
            return image
        fits = inside(image.squares, _size(image.pixels))
        return replace(image, squares=image.squares[fits], dropped=image.squares["row"][~fits])


def _size(pixels: Pixels) -> NDArray[np.float64]:
    """Return the width and height (2,)."""
    return np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float64)


def _starts(image: NDArray[np.int64], images: int) -> NDArray[np.int64]:
    """Return where each image's squares start among squares sorted by `image` (n,): (images + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])


def _check_cells(spec: ViewSpec, find_cells: bool, listed: bool) -> None:
    """Refuse views of cells where none can be had, and a search where cells are listed."""
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
