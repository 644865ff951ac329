"""The view pipeline: place and cut the views of a manifest, one image at a time.

An image is read when its turn comes, so that a pass over a million images starts at once. `place_all` reads
the headers of all images first, for callers that need the number of views before they cut any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.cores import usable_cores
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.rbc.diameters import cell_diameters
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.smears.column_names import AT_BORDER
from reddino.smears.decode import decode_image, image_size
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.views.cutting import Pixels, require_inside, require_sides
from reddino.views.listed import ListedCells, require_cells, starts
from reddino.views.opened import OpenedImage, nothing_of
from reddino.views.placing import Squares, inside, new_squares, place
from reddino.views.scales import Diameters, by_source, view_pixel_sizes
from reddino.views.spec import ViewSpec
from reddino.views.stain_normaliser import StainNormaliser

#: Threads that measure pictures before their views are placed.
_THREADS = 4


class ViewsByImage:
    """The views of a manifest, by number of the image.

    With kind `cells`, each row with coordinates has a view and whole-image rows have none. With the other
    kinds each image has its views once, however many rows (cells) it has: the label of a row that is a cell
    does not describe such a view.

    Args:
        manifest: images and cells.
        spec: the views to cut.
        diameters: where the manifest's own `cell_diameter` is empty: red-cell diameters in pixels by source,
            or those of each picture (`views.scales.view_diameters`).
        find_cells: find the cells of each image by classical segmentation; `spec` is of kind `cells`.

    Raises:
        RedDinoError: no cells to cut, or cells to find where the manifest lists some, or a cell diameter is
            needed and not known; or the size of a pixel, of views in micrometres.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: ViewSpec,
        *,
        diameters: Diameters | None = None,
        find_cells: bool = False,
    ) -> None:
        self.manifest, self.spec, self.find_cells = manifest, spec, find_cells
        self.names, codes = manifest.images()
        self.stains = StainNormaliser(spec.stain)
        self._readings = Readings(manifest.table)
        self._first = np.unique(codes, return_index=True)[1].astype(np.int64)
        require_cells(spec, find_cells=find_cells, listed=bool(manifest.is_cell().any()))
        if find_cells or (diameters is None and spec.scale == "picture" and spec.needs_diameters):
            # Cells that are found are measured where they are found.
            diameters = PictureDiameters(manifest)
        self.by_picture = diameters if isinstance(diameters, PictureDiameters) else None
        self._cells = ListedCells(manifest) if spec.kind == "cells" and not find_cells else None
        rows = self._first if self._cells is None else self._cells.rows
        self._unit = manifest.numbers("cell_diameter")[rows]
        self._um = view_pixel_sizes(manifest, spec)
        if spec.needs_diameters and self.by_picture is None:
            self._unit = cell_diameters(manifest, by_source(diameters), rows)

    def __len__(self) -> int:
        """Return the number of images of the manifest."""
        return len(self.names)

    def borrowed(self) -> list[str]:
        """Return the images opened so far with too few red cells to measure, which took others' diameter."""
        return [] if self.by_picture is None else self.by_picture.borrowed()

    def images_to_open(self) -> int:
        """Return the number of images that are opened: all, or those that list cells."""
        if self._cells is not None:
            return int((self._cells.counts > 0).sum())
        return len(self)

    def expected(self) -> NDArray[np.int64] | None:
        """Return the number of views that each image should give (m,); None where its pixels decide."""
        if self.find_cells or self.spec.kind == "patches":
            return None
        if self._cells is not None:
            return self._cells.counts
        return np.full(len(self), self.spec.per_image if self.spec.kind == "random" else 1, dtype=np.int64)

    def open(self, number: int) -> OpenedImage:
        """Decode image `number` and place its squares; an image without listed cells is not read.

        Raises:
            ImageError: the image cannot be decoded, a cell lies outside of it, or its cells are to be
                found and there are none.
        """
        if self.find_cells:
            return self._open_found(number)
        if self._cells is not None:
            which = self._of_image(number)
            if which.start == which.stop:
                return nothing_of(number, self.names[number], self.stains)
            pixels = self._decode(number)
            unit = self._units(which, self._measured(number, pixels))
            squares = self._cells.squares(
                number,
                which,
                unit=unit,
                size=_size(pixels),
                spec=self.spec,
                um_per_px=float(self._um[number]),
            )
            return self._without_dropped(self._to_cut(number, pixels, squares))
        pixels = self._decode(number)
        diameter = np.array([self._measured(number, pixels)])
        squares, dropped = self._place_fields(np.array([number]), _size(pixels)[None], diameter)
        require_sides(self._path(number), pixels, squares["side"])
        return self._opened(number, pixels, squares, dropped)

    def open_for(self, number: int, squares: Squares) -> OpenedImage:
        """Decode image `number` to cut squares that `place_all` placed in it.

        Raises:
            ImageError: the image cannot be decoded, or a square's centre lies outside of it.
        """
        return self._to_cut(number, self._decode(number), squares)

    def _to_cut(self, number: int, pixels: Pixels, squares: Squares) -> OpenedImage:
        require_inside(self._path(number), pixels, squares)
        require_sides(self._path(number), pixels, squares["side"])
        return self._opened(number, pixels, squares)

    def _opened(
        self, number: int, pixels: Pixels, squares: Squares, dropped: NDArray[np.int64] | None = None
    ) -> OpenedImage:
        """Return an image whose views are cut in the stain of the reference, where they are to be."""
        none = np.empty(0, np.int64)
        return OpenedImage(
            number, pixels, squares, none if dropped is None else dropped, self.names[number], self.stains
        )

    def place_all(self, failures: Failures) -> tuple[Squares, NDArray[np.int64]]:
        """Place the squares of all images by their headers.

        Pixels are decoded only of images whose red-cell diameter has to be measured.

        Args:
            failures: collects the images that cannot be read, or measured.

        Returns:
            All squares (n,) in the order of the images, and the rows (k,) of those that were left out since
            they leave their image.

        Raises:
            ValueError: cells are to be found, which takes the pixels.
        """
        if self.find_cells:
            raise ValueError("cells that are to be found cannot be placed by the headers of their images")
        size, diameter = self._survey(failures)
        readable = ~np.isnan(size[:, 0])
        if self._cells is None:
            return self._place_fields(np.flatnonzero(readable), size[readable], diameter[readable])
        image = np.repeat(np.arange(len(self)), self._cells.counts)
        unit = self._units(slice(None), diameter[image])
        squares = self._cells.squares(
            image, slice(None), unit=unit, size=size[image], spec=self.spec, um_per_px=self._um[image]
        )
        squares = squares[readable[squares["image"]]]
        if self.spec.border == "pad":
            return squares, np.empty(0, np.int64)
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
        begin = starts(squares["image"], len(self))
        for number in np.flatnonzero(np.diff(begin)).tolist():
            start, stop = int(begin[number]), int(begin[number + 1])
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

    def _of_image(self, number: int) -> slice:
        """Return which of the diameters (and listed cells) are of an image."""
        return slice(number, number + 1) if self._cells is None else self._cells.of_image(number)

    def _units(
        self, which: slice | NDArray[np.int64], measured: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return red-cell diameters in pixels: the manifest's, or its source's, else the measured ones."""
        known = self._unit[which]
        return np.where(np.isnan(known), measured, known)

    def _to_measure(self, number: int) -> bool:
        """Return whether the red-cell diameter of an image has to be measured in its pixels."""
        return self.by_picture is not None and bool(np.isnan(self._unit[self._of_image(number)]).any())

    def _measured(self, number: int, pixels: Pixels) -> float:
        """Return the red-cell diameter of an image; NaN where none has to be measured.

        Raises:
            ImageError: the views are measured in it, and nothing shows it.
        """
        if self.by_picture is None or not self._to_measure(number):
            return float("nan")
        diameter = self.by_picture.of(number, pixels).diameter
        if self.spec.needs_diameters and not np.isfinite(diameter):
            raise ImageError(
                self._path(number),
                "no red cells could be measured in it, nor in others of its source and size; fill the column "
                "cell_diameter (pixels) of the manifest",
            )
        return diameter

    def _survey(self, failures: Failures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the width and height (m, 2) of images that have views, and their measured diameters (m,).

        Both are NaN for images that cannot be used, which go to `failures`.
        """
        size, diameter = np.full((len(self), 2), np.nan), np.full(len(self), np.nan)

        def see(number: int) -> ImageError | None:
            try:
                if not self._to_measure(number):
                    size[number] = image_size(self._path(number))
                    return None
                pixels = self._decode(number)
                diameter[number] = self._measured(number, pixels)
                size[number] = _size(pixels)
            except ImageError as error:
                return error
            return None

        wanted = [number for number in range(len(self)) if self._has_views(number)]
        name = "measuring red cells" if any(map(self._to_measure, wanted)) else "reading headers"
        with (
            stage(name) as advance,
            ThreadPoolExecutor(min(_THREADS, usable_cores()), thread_name_prefix="survey") as pool,
        ):
            for done, error in enumerate(pool.map(see, wanted), start=1):
                advance(done, len(wanted))
                if error is not None:
                    failures.add(error.path, error.reason)
        return size, diameter

    def _has_views(self, number: int) -> bool:
        which = self._of_image(number)
        return int(which.stop) > int(which.start)

    def _place_fields(
        self, numbers: NDArray[np.int64], size: NDArray[np.float64], diameter: NDArray[np.float64]
    ) -> tuple[Squares, NDArray[np.int64]]:
        """Place the squares of images `numbers` (m,) by their width and height (m, 2) and diameters (m,).

        Returns:
            The squares (n,), and the rows (k,) of those that were left out.
        """
        first = self._first[numbers]
        unit = self._units(numbers, diameter)
        rows, centres, side, dropped = place(first, size, self.spec.sides(unit, self._um[numbers]), self.spec)
        at = np.searchsorted(first, rows)
        squares = new_squares(numbers[at], rows, centres, side)
        squares["cell_diameter"] = unit[at]
        return squares, np.repeat(first, dropped)

    def _open_found(self, number: int) -> OpenedImage:
        """Decode image `number` and find its cells."""
        path, pixels = self._path(number), self._decode(number)
        try:
            cells, found = self._picture_diameters().find(number, pixels)
        except RedDinoError as error:
            raise ImageError(path, str(error)) from error
        if len(cells) == 0 or not np.isfinite(found.diameter):
            raise ImageError(path, "no red cells stand out from the background")
        side = self.spec.sides(np.full(len(cells), found.diameter), float(self._um[number]))
        require_sides(path, pixels, side)
        centres = np.stack([cells.x + cells.w / 2, cells.y + cells.h / 2], axis=1)
        squares = new_squares(number, np.full(len(cells), self._first[number]), centres, side)
        for name in ("x", "y", "w", "h"):
            squares[name] = getattr(cells, name)
        squares["cell_diameter"] = found.diameter
        squares[AT_BORDER] = cells.touches_border
        if self.spec.mask_centre:
            squares["mask"] = self.spec.mask_centre * found.diameter
        return self._without_dropped(self._opened(number, pixels, squares))

    def _picture_diameters(self) -> PictureDiameters:
        if self.by_picture is None:
            raise ValueError("cells are found at the scale of their picture")
        return self.by_picture

    def _without_dropped(self, image: OpenedImage) -> OpenedImage:
        """Leave out the squares that leave the image, where the views are to be dropped there."""
        if self.spec.border == "pad":
            return image
        fits = inside(image.squares, _size(image.pixels))
        return replace(image, squares=image.squares[fits], dropped=image.squares["row"][~fits])


def _size(pixels: Pixels) -> NDArray[np.float64]:
    """Return the width and height (2,)."""
    return np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float64)
