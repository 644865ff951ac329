"""Where the zones of a whole smear lie: empty glass, thick part, monolayer and feathered edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.whole_slide.faults import Fault, draw_faults

Real = NDArray[np.float64]

#: The zones, by their number in masks.
ZONES = ("empty glass", "thick part", "monolayer", "feathered edge")
EMPTY, THICK, MONOLAYER, FEATHERED = range(4)
#: Red cells in 10,000 square micrometres at the begin and at the end of each zone.
DENSITY = {THICK: (220.0, 150.0), MONOLAYER: (58.0, 42.0), FEATHERED: (34.0, 12.0)}
#: Where the zones begin and the smear ends, as fractions of the slide's width.
_BORDERS = (0.05, 0.36, 0.72, 0.88)


@dataclass(frozen=True)
class Layout:
    """A whole smear; lengths in micrometres from the slide's top-left corner.

    Attributes:
        width, height: of the slide.
        waves: (4, 3, 3) of each border: amplitude, frequency and phase of the waves along it.
        faults: that lie on it, the first of two that overlap on top.
    """

    width: float
    height: float
    waves: Real
    faults: tuple[Fault, ...]

    def along(self, y: Real) -> Real:
        """Return where the zones begin and the smear ends at heights y (n,).

        Returns:
            (n, 4) in micrometres from the left.
        """
        v = 2.0 * y / self.height - 1.0
        wavy = self.waves[..., 0] * np.sin(self.waves[..., 1] * v[:, None, None] + self.waves[..., 2])
        tongue = -0.06 * v[:, None] ** 2 * np.array([0.0, 0.5, 1.0, 1.4])
        return np.asarray((np.array(_BORDERS) + tongue + wavy.sum(axis=2)) * self.width)

    def zone(self, x: Real, y: Real) -> NDArray[np.uint8]:
        """Return the zone at places (n,) by its number in `ZONES`."""
        borders = self.along(y)
        number = (x[:, None] >= borders).sum(axis=1)
        outside = np.abs(2.0 * y / self.height - 1.0) > 0.9 + 4.0 * self.waves[0, 0, 0] * np.sin(
            9.0 * x / self.width
        )
        return np.asarray(np.where(outside | (number == 4), 0, number), np.uint8)

    def density(self, x: Real, y: Real) -> Real:
        """Return how many red cells lie in 10,000 square micrometres about places (n,)."""
        borders, zone = self.along(y), self.zone(x, y)
        found = np.zeros(len(x))
        for number, (first, last) in DENSITY.items():
            inside = zone == number
            start, end = borders[inside, number - 1], borders[inside, number]
            found[inside] = first + (last - first) * (x[inside] - start) / (end - start)
        return found


def draw_layout(width: float, height: float, seed: int, *, faults: bool = True) -> Layout:
    """Draw where zones and faults of a slide lie; a pure function of its arguments.

    Args:
        width: in micrometres.
        height: in micrometres.
        seed: not negative.
        faults: whether there are any.
    """
    rng = np.random.default_rng([seed, 21])
    waves = np.stack(
        [
            rng.uniform(0.002, 0.007, (4, 3)),
            rng.uniform(1.5, 7.0, (4, 3)),
            rng.uniform(0.0, 2.0 * np.pi, (4, 3)),
        ],
        axis=2,
    )
    return Layout(width, height, waves, draw_faults(rng, width, height) if faults else ())
