"""The paper's pixel operations by name, and the draw of four of them for each crop.

The published configuration lists 33 names while the paper says 32; nothing published tells which one the
paper leaves out, so `PIXEL_OPERATIONS` holds all 33 in the configured order and a recipe may leave any out
by name. albumentations computes them, but for those that are its slowest, which `fast_ops` computes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from reddino.errors import RedDinoError
from reddino.pretrain.albumentations_ops import ALBUMENTATIONS, AlbumentationsOperation
from reddino.pretrain.fast_ops import FAST_OPERATIONS

Image = NDArray[np.uint8]
Operation = Callable[[Image, np.random.Generator], Image]
"""(s, s, 3) uint8 RGB and a generator -> the changed crop, a function of both alone; the argument is left as
it is."""


def _make(name: str) -> Operation:
    return FAST_OPERATIONS[name] if name in FAST_OPERATIONS else AlbumentationsOperation(name)


PIXEL_OPERATIONS: dict[str, Callable[[], Operation]] = {name: partial(_make, name) for name in ALBUMENTATIONS}
"""Name -> factory of the operation, always applied: the draw and its probability are `PixelOperations`'."""


class PixelOperations:
    """Apply `choose` different operations, drawn uniformly, in the drawn order, each with `probability`.

    This is albumentations' `SomeOf(n, replace=False)`, except that 2.0.8 sorts the drawn operations back
    into the order of the list, so that an early one would never follow a late one. Not to be shared between
    threads: the operations of albumentations carry their random state.
    """

    def __init__(self, names: Sequence[str], choose: int = 4, probability: float = 0.85) -> None:
        """Build the operations once.

        Args:
            names: operations to draw from, keys of `PIXEL_OPERATIONS`; empty switches pixel operations off.
            choose: how many different ones are drawn for a crop.
            probability: that a drawn one is applied.

        Raises:
            RedDinoError: a name is unknown or given twice, or there are fewer names than `choose`.
        """
        unknown = [name for name in names if name not in PIXEL_OPERATIONS]
        if unknown:
            raise RedDinoError(
                f"Unknown pixel operation {', '.join(unknown)}; choose among {', '.join(PIXEL_OPERATIONS)}."
            )
        if len(set(names)) < len(names):
            raise RedDinoError("A pixel operation is listed twice; list each name once.")
        if names and choose > len(names):
            raise RedDinoError(
                f"Cannot draw {choose} pixel operations from {len(names)}; list more or draw fewer."
            )
        self.names = tuple(names)
        self.choose = choose if names else 0
        self.probability = probability
        self._operations = [PIXEL_OPERATIONS[name]() for name in names]

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Indices into `names` of the operations to apply, in order of application."""
        if not self.choose:
            return []
        drawn = rng.choice(len(self.names), size=self.choose, replace=False)
        applied = rng.random(self.choose) < self.probability
        return [int(index) for index, apply in zip(drawn, applied, strict=True) if apply]

    def __call__(self, crop: Image, rng: np.random.Generator) -> Image:
        """Return the changed crop, a function of `crop` and the state of `rng` alone.

        Args:
            crop: (s, s, 3) uint8 RGB; it is not modified.
        """
        for index in self.draw(rng):
            crop = self._operations[index](crop, rng)
        return crop
