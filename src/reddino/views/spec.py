"""What is cut from an image before a network sees it: the whole image, patches, or a square round each cell.

Coordinates are continuous: pixel i of a row covers [i, i + 1), an image of width W covers [0, W].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reddino.foundations.errors import RedDinoError
from reddino.rbc.diameters import cell_diameters, source_diameters
from reddino.smears.decode import Failures, ImageError, image_size
from reddino.smears.manifest import Manifest
from reddino.views.cutting import ImageViews, cut_square
from reddino.views.placing import inside, place

__all__ = [
    "ImageViews",
    "ViewSpec",
    "Views",
    "cell_diameters",
    "cut_square",
    "make_view",
    "plan_views",
    "source_diameters",
]

Sizes = Mapping[str, tuple[int, int]]
Side = tuple[float, Literal["px", "diameters"]]
ViewKind = Literal["cells", "image", "patches", "random"]

#: Side of a view where none is given: a cell with its surroundings, and the paper's patch of a field.
DEFAULT_SIDES: Mapping[str, Side] = {
    "cells": (1.6, "diameters"),
    "image": (224.0, "px"),
    "patches": (224.0, "px"),
    "random": (224.0, "px"),
}


class ViewSpec(BaseModel):
    """Which squares are cut, and how large they become.

    Attributes:
        kind: `image`, the whole image in one square; `cells`, a square round each cell's centre; `patches`, a
            grid that does not overlap, centred in the image; `random`, `per_image` squares at random places.
        side: side of the square in the image (not for `image`).
        unit: of `side`: pixels, or diameters of a red cell of that image.
        output: side of the result in pixels.
        border: `pad` mirrors the image where a square reaches past it; a whole image becomes square that way,
            without being stretched. `drop` leaves such squares out; of a whole image it keeps the central
            square.
        per_image: number of random squares an image.
        seed: of the random squares.
        mask_centre: diameter of a disc round the centre, in diameters of a red cell, that is filled with the
            image's mean colour: a control that shows what the surroundings alone give away. 0: none. Only for
            `cells`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ViewKind = "cells"
    side: float = Field(default=64.0, gt=0)
    unit: Literal["px", "diameters"] = "px"
    output: int = Field(default=224, ge=1)
    border: Literal["pad", "drop"] = "pad"
    per_image: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0)
    mask_centre: float = Field(default=0.0, ge=0)

    def metadata(self) -> dict[str, Any]:
        """The settings that bear on the pixels, for the metadata of a table; `ViewSpec(**...)` reads them.

        Two specs cut the same squares exactly if their metadata are equal.
        """
        ignored = {"image": {"side", "unit", "per_image", "seed"}, "random": set[str]()}
        unmasked = set[str]() if self.mask_centre else {"mask_centre"}
        return self.model_dump(exclude=ignored.get(self.kind, {"per_image", "seed"}) | unmasked)

    @property
    def needs_diameters(self) -> bool:
        """Whether the red-cell diameter of every image must be known."""
        return (self.unit == "diameters" and self.kind != "image") or self.mask_centre > 0


def make_view(**settings: Any) -> ViewSpec:
    """A `ViewSpec` of what a person asked for.

    Raises:
        RedDinoError: a number out of range or an unknown name; says which.
    """
    try:
        return ViewSpec(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RedDinoError(f"the view's {key} is {first['input']!r}: {first['msg'].lower()}") from error


@dataclass(frozen=True)
class Views:
    """Squares to cut, ordered by image.

    Attributes:
        row: (n,) row of the manifest; for kinds other than `cells` the first row of the image.
        cx: (n,) centre in pixels, from the left.
        cy: (n,) centre in pixels, from the top.
        side: (n,) side in pixels.
        dropped: (rows of the manifest,) squares of each row that were left out since they leave the image.
        output: side of each cut square in pixels.
        mask: (n,) diameter in pixels of the disc that is filled round each centre; None: no disc.
    """

    row: NDArray[np.int64]
    cx: NDArray[np.float64]
    cy: NDArray[np.float64]
    side: NDArray[np.float64]
    dropped: NDArray[np.int64]
    output: int
    mask: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def select(self, views: ArrayLike) -> Views:
        """The views chosen by a boolean mask or by indices."""
        chosen = np.asarray(views)
        mask = None if self.mask is None else self.mask[chosen]
        return Views(
            self.row[chosen],
            self.cx[chosen],
            self.cy[chosen],
            self.side[chosen],
            self.dropped,
            self.output,
            mask,
        )


def plan_views(
    manifest: Manifest,
    spec: ViewSpec,
    *,
    diameters: Mapping[str, float] | None = None,
    sizes: Sizes | None = None,
    failures: Failures | None = None,
) -> Views:
    """Work out every square to cut; no pixel is decoded.

    With kind `cells`, each row with coordinates gives a view and whole-image rows give none. With the other
    kinds each image gives its views once, however many rows (cells) it has; the label of a row that is a cell
    does not describe such a view.

    Args:
        manifest: images and cells.
        spec: what to cut.
        diameters: red-cell diameter in pixels by source, where the manifest's own `cell_diameter` is empty.
        sizes: (width, height) by path as it stands in the manifest; read from the image headers where needed.
        failures: collects images whose header cannot be read; without it they raise.

    Raises:
        RedDinoError: no cells to cut, or a cell diameter is needed and not known.
        ImageError: an image header cannot be read, and `failures` is not given.
    """
    require_maskable(spec)
    if spec.kind == "cells":
        return _plan_cells(manifest, spec, diameters, sizes, failures)
    return _plan_fields(manifest, spec, diameters, sizes, failures)


def view_sides(
    manifest: Manifest, spec: ViewSpec, diameters: Mapping[str, float] | None, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Side in pixels for each of `rows`."""
    if spec.unit == "px" or spec.kind == "image":
        return np.full(len(rows), spec.side)
    return spec.side * cell_diameters(manifest, diameters, rows)


def view_masks(
    manifest: Manifest, spec: ViewSpec, diameters: Mapping[str, float] | None, rows: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Diameter in pixels of the disc that is filled round each of `rows`; None: no disc."""
    return spec.mask_centre * cell_diameters(manifest, diameters, rows) if spec.mask_centre else None


def require_maskable(spec: ViewSpec) -> None:
    """Refuse to mask the centre of views that have none."""
    if spec.mask_centre and spec.kind != "cells":
        raise RedDinoError(f"Only views round cells have a centre to mask, not views of kind '{spec.kind}'.")


def _measure(
    manifest: Manifest, images: Sequence[str], sizes: Sizes | None, failures: Failures | None
) -> NDArray[np.float64]:
    """(m, 2) width and height of each image; NaN where the header cannot be read."""
    measured = np.full((len(images), 2), np.nan)
    for index, path in enumerate(images):
        if sizes is not None and path in sizes:
            measured[index] = sizes[path]
            continue
        try:
            measured[index] = image_size(manifest.root / path)
        except ImageError as error:
            if failures is None:
                raise
            failures.add(error.path, error.reason)
    return measured


def _plan_cells(
    manifest: Manifest,
    spec: ViewSpec,
    diameters: Mapping[str, float] | None,
    sizes: Sizes | None,
    failures: Failures | None,
) -> Views:
    centres = manifest.centres()
    rows = np.flatnonzero(manifest.is_cell()).astype(np.int64)
    if len(rows) == 0:
        raise RedDinoError(
            "The manifest lists no cells (x and y are empty): choose views of kind image, patches or random."
        )
    side = view_sides(manifest, spec, diameters, rows)
    dropped = np.zeros(len(manifest), dtype=np.int64)
    images, codes = manifest.images()
    if spec.border == "drop":
        size = _measure(manifest, images, sizes, failures)[codes[rows]]
        readable = ~np.isnan(size[:, 0])
        rows, side, size = rows[readable], side[readable], size[readable]
        fits = inside(centres[rows], side, size)
        dropped[rows[~fits]] = 1
        rows, side = rows[fits], side[fits]
    order = np.argsort(codes[rows], kind="stable")
    rows, side = rows[order], side[order]
    mask = view_masks(manifest, spec, diameters, rows)
    return Views(rows, centres[rows, 0], centres[rows, 1], side, dropped, spec.output, mask)


def _plan_fields(
    manifest: Manifest,
    spec: ViewSpec,
    diameters: Mapping[str, float] | None,
    sizes: Sizes | None,
    failures: Failures | None,
) -> Views:
    images, codes = manifest.images()
    first = np.unique(codes, return_index=True)[1].astype(np.int64)
    size = _measure(manifest, images, sizes, failures)
    readable = ~np.isnan(size[:, 0])
    first, size = first[readable], size[readable]
    side = view_sides(manifest, spec, diameters, first)
    dropped = np.zeros(len(manifest), dtype=np.int64)
    row, centre, side, left_out = place(first, size, side, spec)
    dropped[first] = left_out
    return Views(row, centre[:, 0], centre[:, 1], side, dropped, spec.output)
