"""The draw of a few pixel operations for each crop, and their strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.augmentation.operations import PIXEL_OPERATIONS, Image, Operation

__all__ = ["PIXEL_OPERATIONS", "Image", "Operation", "PixelOperations"]


class PixelOperations:
    """Apply `choose` different operations, drawn uniformly, in the drawn order, each with `probability`.

    This is albumentations' `SomeOf(n, replace=False)`, except that 2.0.8 sorts the drawn operations back
    into the order of the list, so that an early one would never follow a late one.
    """

    def __init__(
        self,
        names: Sequence[str],
        choose: int = 4,
        probability: float = 0.85,
        strength: float = 1.0,
        strengths: Mapping[str, float] | None = None,
    ) -> None:
        """Look the operations up.

        Args:
            names: operations to draw from, keys of `PIXEL_OPERATIONS`; empty switches pixel operations off.
            choose: how many different ones are drawn for a crop.
            probability: that a drawn one is applied.
            strength: how far every pixel goes from what it was (0) to what the operation makes of it (1).
            strengths: the same for operations by name, in place of `strength`.

        Raises:
            RedDinoError: a name is unknown or given twice, there are fewer names than `choose`, or a strength
                is given for an operation that is not among the names.
        """
        _check_names(names, choose)
        own = strengths or {}
        for name in own:
            if name not in names:
                raise RedDinoError(
                    f"a strength is given for '{name}', which is not among the pixel operations listed"
                )
        self.names = tuple(names)
        self.choose = choose if names else 0
        self.probability = probability
        self._operations = [PIXEL_OPERATIONS[name] for name in names]
        self._strengths = [own.get(name, strength) for name in names]

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Draw indices into `names` of the operations to apply, in order of application."""
        if not self.choose:
            return []
        left, applied = list(range(len(self.names))), []
        places, chances = rng.random((2, self.choose)).tolist()
        for place, chance in zip(places, chances, strict=True):
            index = left.pop(int(place * len(left)))
            if chance < self.probability:
                applied.append(index)
        return applied

    def __call__(self, crop: Image, rng: np.random.Generator) -> Image:
        """Return the changed crop, a function of `crop` and the state of `rng` alone.

        Args:
            crop: (s, s, 3) uint8 RGB; it is not modified.
            rng: draws which operations are applied, and the parameters of each.
        """
        for index in self.draw(rng):
            changed = self._operations[index](crop, rng)
            if changed.dtype != np.uint8 or changed.shape != crop.shape:
                made = f"{changed.shape} {changed.dtype}, not {crop.shape} uint8"
                raise RedDinoError(f"the pixel operation {self.names[index]} returned {made}")
            crop = part_of_the_way(crop, changed, self._strengths[index])
        return crop


def part_of_the_way(crop: Image, changed: Image, strength: float) -> Image:
    """Blend (s, s, 3) uint8 crops: `crop` at strength 0, `changed` at strength 1."""
    if strength == 1:
        return changed
    return np.asarray(cv2.addWeighted(changed, strength, crop, 1 - strength, 0), np.uint8)


def _check_names(names: Sequence[str], choose: int) -> None:
    unknown = [name for name in names if name not in PIXEL_OPERATIONS]
    if unknown:
        raise RedDinoError(
            f"unknown pixel operation {', '.join(unknown)}; choose among {', '.join(PIXEL_OPERATIONS)}"
        )
    if len(set(names)) < len(names):
        raise RedDinoError("a pixel operation is listed twice; list each name once")
    if names and choose > len(names):
        raise RedDinoError(
            f"cannot draw {choose} pixel operations from {len(names)}; list more or draw fewer"
        )
