"""Bring the stain of each picture to a reference, by what the picture itself shows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.rbc.foreground import find_foreground, model_stain
from reddino.views.choices import Stain
from reddino.views.macenko import Stains, absorbance, exchange, remix, separate
from reddino.views.reinhard import LabStatistics, half_and_half, to_lab, transfer
from reddino.views.stain_reference import REFERENCE

log = logging.getLogger(__name__)
Pixels = NDArray[np.uint8]
#: Longest side in pixels of the copy by which a picture's stain is estimated: noise of single pixels, which
#: would pass for a second stain, is averaged out.
_SIDE = 512
#: Pixels of glass, and of cells, that the copy must show.
_LEAST = 64
#: Intensity of glass below which a picture is not of transmitted light.
_DARK = 60.0
#: Degrees between two stains.
_ANGLES = (10.0, 85.0)
#: Absorbance by which colours must differ across the plane of two stains, and how much more than out of it.
#: Red cells without any nucleus among them stay below: noise and the fringes of lenses.
_CONTRAST, _PLANAR = 0.035, 1.5
#: Absorbance below which no stain goes: cameras that correct colours make small negative ones.
_NEGATIVE = -0.2
#: Times that a spread, and the amount of a stain, may be stretched: beyond, it is the noise of the camera.
_SPREAD, _AMOUNT = 4.0, 6.0
#: Absorbance below zero at which a normalised pixel is too bright, the fractions of glass and of cells that
#: may be so, and the largest spread of normalised glass.
_BRIGHT, _BRIGHT_GLASS, _BRIGHT_CELLS, _ROUGH = -0.15, 0.05, 0.003, 0.15
#: Spread of L, and of both a and b together, below which a picture shows nothing, or no colour.
_FLAT, _GREY = 1.5, 1.5


@dataclass(frozen=True)
class PictureStain:
    """What a picture shows of its stain.

    Attributes:
        light: (3,) 1 + intensity of empty glass.
        glass: (n, 3) pixels of it.
        cells: (k, 3) stained pixels.
    """

    light: NDArray[np.float64]
    glass: Pixels
    cells: Pixels


def measure_stain(image: Pixels) -> PictureStain | str:
    """Return what a picture (H, W, 3) shows of its stain, or why it shows none.

    Glass and cells are separated by the model of light and stain that finds cells too.
    """
    model = model_stain(image)
    if model is None:
        return "no stained cells stand out from the background"
    light = np.exp(np.median(model.surface[model.field], axis=0).astype(np.float64))
    if light.max() < _DARK:
        return "its background is dark"
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    small = image
    if scale < 1:
        small = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    front = find_foreground(small, model)
    glass = small[front.field & ~front.cells]
    cells = small[front.cells]
    if len(glass) < _LEAST or len(cells) < _LEAST:
        return "it shows too little glass, or too few stained pixels"
    return PictureStain(light, glass, cells)


def reinhard_statistics(shown: PictureStain) -> LabStatistics:
    """Return the statistics of a picture of which half were glass and half were cells."""
    return half_and_half(to_lab(shown.glass[None])[0], to_lab(shown.cells[None])[0])


def macenko_stains(shown: PictureStain) -> Stains | None:
    """Return the two stains of the cells of a picture; None where they do not span a plane."""
    cells = absorbance(shown.cells, shown.light)
    return separate(cells, cells)


def normalise_stain(image: Pixels, stain: Stain) -> Pixels | str:
    """Return a picture (H, W, 3) in the stain of the reference, or why its own cannot be estimated."""
    shown = measure_stain(image)
    if isinstance(shown, str):
        return shown
    if stain == "reinhard":
        own = reinhard_statistics(shown)
        if own.spread[0] < _FLAT or np.hypot(*own.spread[1:]) < _GREY:
            return "it is grey, or has hardly any contrast"
        least = np.maximum(own.spread, REFERENCE.lab.spread / _SPREAD)
        return transfer(image, replace(own, spread=least), REFERENCE.lab)
    stains = macenko_stains(shown)
    wrong = "its pixels have one colour" if stains is None else why_not_exchanged(shown, stains)
    if stains is None or wrong:
        return wrong
    return remix(image, stains, REFERENCE.stains, shown.light, REFERENCE.light)


def why_not_exchanged(shown: PictureStain, stains: Stains) -> str:
    """Return why the stains of a picture cannot be exchanged for the reference's; "" where they can."""
    if wrong := not_two_stains(stains):
        return wrong
    turned = exchange(stains, REFERENCE.stains).T
    glass, cells = (absorbance(pixels, shown.light) @ turned for pixels in (shown.glass, shown.cells))
    bright_glass, bright_cells = ((one.min(axis=1) < _BRIGHT).mean() for one in (glass, cells))
    rough = glass.std(axis=0).max() > _ROUGH
    if rough or bright_glass > _BRIGHT_GLASS or bright_cells > _BRIGHT_CELLS:
        return "in other stains, its glass or its cells would have false colours"
    return ""


def not_two_stains(stains: Stains) -> str:
    """Return why what was separated is not two stains; "" where it is."""
    if stains.contrast < _CONTRAST or stains.planar < _PLANAR or stains.angle < _ANGLES[0]:
        return "it shows one stain only"
    if stains.angle > _ANGLES[1] or stains.vectors.min() < _NEGATIVE:
        return "its colours are not those of two dyes"
    if (stains.amounts * _AMOUNT < REFERENCE.stains.amounts).any():
        return "one of its stains is hardly there"
    return ""


@dataclass
class StainNormaliser:
    """Normalises pictures one by one and keeps count of those that had to be left as they are.

    Attributes:
        stain: how.
        left: why pictures were left as they are, by name.
    """

    stain: Stain
    left: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def of(self, name: str, image: Pixels) -> Pixels:
        """Return the pixels to cut from picture `name` (H, W, 3): normalised, or as they are."""
        if self.stain == "none":
            return image
        found = normalise_stain(image, self.stain)
        if not isinstance(found, str):
            return found
        with self._lock:
            self.left[name] = found
        return image

    def report(self) -> None:
        """Log how many pictures were left as they are, and the first of them with the reason."""
        if self.left:
            name = min(self.left)
            log.warning(
                "the stain of %s could not be estimated, whose colours were left as they are; %s: %s",
                counted(len(self.left), "picture"), name, self.left[name],
            )  # fmt: skip
