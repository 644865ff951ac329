"""An image that was opened, and the pixels that are cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reddino.views.cutting import Pixels, cut_squares
from reddino.views.placing import Squares, new_squares
from reddino.views.stain_normaliser import StainNormaliser


@dataclass(frozen=True)
class OpenedImage:
    """An image and the squares to cut from it.

    Attributes:
        number: of the image, in the order of the manifest.
        pixels: (H, W, 3) uint8 RGB as decoded; empty where nothing is to be cut.
        squares: (n,) of dtype `SQUARE`.
        dropped: (k,) rows of squares that were left out, since they leave the image.
        name: of the image in the manifest.
        stains: brings its pixels to another stain before they are cut.
    """

    number: int
    pixels: Pixels
    squares: Squares
    dropped: NDArray[np.int64]
    name: str
    stains: StainNormaliser

    def cut(self, start: int, stop: int, output: int) -> Pixels:
        """Cut squares `start` to `stop`: (n, output, output, 3) uint8 RGB."""
        chosen = self.squares[start:stop]
        return cut_squares(self._normalised if len(chosen) else self.pixels, chosen, output)

    @cached_property
    def _normalised(self) -> Pixels:
        return self.stains.of(self.name, self.pixels)


def nothing_of(number: int, name: str, stains: StainNormaliser) -> OpenedImage:
    """Return an image that is not read, since nothing is to be cut from it."""
    none = new_squares(number, np.empty(0, np.int64), np.empty((0, 2)), np.empty(0))
    return OpenedImage(number, np.empty((0, 0, 3), np.uint8), none, none["row"], name, stains)
