"""The views that are cut from an image for a network: the whole image, patches, or a square around each cell.

Coordinates are continuous: pixel i of a row covers [i, i + 1), an image of width W covers [0, W].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reddino.foundations.errors import RedDinoError
from reddino.views.choices import Border, Scale, Side, Stain, Unit, ViewKind

#: Side of a view where none is given: a cell with its surroundings, and the paper's patch of a field.
DEFAULT_SIDES: Mapping[str, Side] = {
    "cells": (1.6, "diameters"),
    "image": (224.0, "px"),
    "patches": (224.0, "px"),
    "random": (224.0, "px"),
}


class ViewSpec(BaseModel):
    """The squares to cut and the size to which they are brought.

    Attributes:
        kind: `image`, the whole image in one square; `cells`, a square around each cell's centre; `patches`,
            a grid that does not overlap, centred in the image; `random`, `per_image` squares at random
            places.
        side: side of the square in the image (not for `image`).
        unit: of `side`: pixels, diameters of a red cell of that image, or micrometres.
        output: side of the result in pixels.
        border: `pad` mirrors the image where a square reaches past it; a whole image becomes square that way,
            without being stretched. `drop` leaves such squares out; of a whole image it keeps the central
            square.
        per_image: number of random squares per image.
        seed: of the random squares.
        mask_centre: diameter of a disc around the centre, in diameters of a red cell, that is filled with
            the image's mean colour: a control that shows what the surroundings alone give away. 0: no disc.
            Only for `cells`.
        scale: whose red-cell diameter `diameters` are: that of each `picture`, which is the same whatever
            other pictures are along, or the median of its `source`. Tables and classifiers made before there
            was a choice lack it, and mean `source`.
        stain: bring the stain of each picture to `stain_reference.REFERENCE` before the squares are cut, by
            Reinhard's or Macenko's way; cells are found and measured before that. Tables and classifiers made
            before there was a choice lack it, and mean `none`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ViewKind = "cells"
    side: float = Field(default=64.0, gt=0)
    unit: Unit = "px"
    output: int = Field(default=224, ge=1)
    border: Border = "pad"
    per_image: int = Field(default=8, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    mask_centre: float = Field(default=0.0, ge=0)
    scale: Scale = "source"
    stain: Stain = "none"

    def metadata(self) -> dict[str, Any]:
        """Return the settings that bear on the pixels, for the metadata of a table.

        `ViewSpec(**...)` reads them. Two specs cut the same squares exactly if their metadata are equal.
        """
        ignored = {"image": {"side", "unit", "per_image", "seed"}, "random": set[str]()}
        unmasked = set[str]() if self.mask_centre else {"mask_centre"}
        # Absent in what was made before, where it was the source's; of views in pixels there is none.
        unscaled = set[str]() if self.scale == "picture" and self.needs_diameters else {"scale"}
        unchanged = {"stain"} if self.stain == "none" else set[str]()
        absent = unmasked | unscaled | unchanged
        return self.model_dump(exclude=ignored.get(self.kind, {"per_image", "seed"}) | absent)

    @property
    def needs_diameters(self) -> bool:
        """Whether the red-cell diameter of every image must be known."""
        return (self.unit == "diameters" and self.kind != "image") or self.mask_centre > 0

    @property
    def needs_um(self) -> bool:
        """Whether the size of a pixel of every image must be known."""
        return self.unit == "um" and self.kind != "image"

    def sides(
        self, unit: NDArray[np.float64], um_per_px: NDArray[np.float64] | float = np.nan
    ) -> NDArray[np.float64]:
        """Return the sides of views (n,) in pixels.

        Args:
            unit: (n,) pixels that red cells are across.
            um_per_px: (n,) or one for all, micrometres of a pixel; only views in micrometres need it.
        """
        if self.needs_um:
            return np.broadcast_to(self.side / um_per_px, unit.shape).copy()
        if self.unit == "px" or self.kind == "image":
            return np.full(len(unit), self.side)
        return self.side * unit


def make_view(**settings: Any) -> ViewSpec:
    """Return a `ViewSpec` of the user's settings.

    Raises:
        RedDinoError: a number out of range or an unknown name; the message names it.
    """
    try:
        return ViewSpec(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RedDinoError(f"the view's {key} is {first['input']!r}: {first['msg'].lower()}") from error


def require_maskable(spec: ViewSpec) -> None:
    """Refuse a masked centre for views that are not cut around cells.

    Raises:
        RedDinoError: the views are of another kind.
    """
    if spec.mask_centre and spec.kind != "cells":
        raise RedDinoError(f"views of kind '{spec.kind}' have no centre to mask: only views of kind cells do")
