"""Faults of a slide with known places: out of focus, precipitate, air bubbles, folds and pen marks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

#: The kinds of faults; the n-th is bit n of a mask, from 0.
FAULTS = ("out of focus", "precipitate", "air bubble", "fold", "pen mark")


@dataclass(frozen=True)
class Fault:
    """A fault: an ellipse, or what lies within a distance of a line; in micrometres.

    Attributes:
        kind: one of `FAULTS`.
        places: (1, 2) centre of an ellipse, or (n, 2) points of a line.
        size: (2,) half axes of an ellipse; half the width of a line, twice.
        angle: of an ellipse's first axis, in radians.
    """

    kind: str
    places: Real
    size: tuple[float, float]
    angle: float = 0.0

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of what may belong to it."""
        reach = max(self.size)
        (left, top), (right, bottom) = self.places.min(axis=0) - reach, self.places.max(axis=0) + reach
        return float(left), float(top), float(right), float(bottom)

    def depth(self, x: Real, y: Real) -> Real:
        """Return how deep inside of it places of any one shape lie, in micrometres; below 0: outside."""
        if len(self.places) > 1:
            return np.asarray(self.size[0] - _from_line(self.places, x, y))
        c, s = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.places[0, 0], y - self.places[0, 1]
        a, b = (c * dx + s * dy) / self.size[0], (c * dy - s * dx) / self.size[1]
        return np.asarray((1.0 - np.hypot(a, b)) * min(self.size))


def _from_line(places: Real, x: Real, y: Real) -> Real:
    """Return the distance of places to a line through points (n, 2)."""
    nearest = np.full(np.broadcast(x, y).shape, np.inf)
    for (ax, ay), (bx, by) in pairwise(places):
        ux, uy = bx - ax, by - ay
        t = np.clip(((x - ax) * ux + (y - ay) * uy) / (ux * ux + uy * uy), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - ax - t * ux, y - ay - t * uy))
    return nearest


def draw_faults(rng: np.random.Generator, width: float, height: float) -> tuple[Fault, ...]:
    """Draw the faults of a slide: two or three of each kind, spread over the smear."""
    unit = min(width / 2.0, height)
    found: list[Fault] = []

    def spot() -> Real:
        return np.array([[rng.uniform(0.12, 0.82) * width, rng.uniform(0.15, 0.85) * height]])

    for kind, low, high in (
        ("pen mark", 0.02, 0.03),
        ("fold", 0.012, 0.016),
    ):
        middle = spot()[0]
        turn, length = rng.uniform(0.0, np.pi), unit * rng.uniform(0.3, 0.5)
        along = np.linspace(-0.5, 0.5, 7)[:, None] * length * [np.cos(turn), np.sin(turn)]
        bend = 0.05 * unit * rng.standard_normal((7, 2))
        half = unit * rng.uniform(low, high)
        # a pen is never as thin as a cell
        half = max(half, 24.0) if kind == "pen mark" else half
        found.append(Fault(kind, middle + along + bend, (half, half)))
    for _ in range(2):
        radius = unit * rng.uniform(0.05, 0.08)
        found.append(Fault("air bubble", spot(), (radius, radius * rng.uniform(0.9, 1.1))))
    for kind in ("precipitate", "out of focus", "precipitate", "out of focus"):
        size = unit * rng.uniform(0.09, 0.16, 2)
        found.append(Fault(kind, spot(), (float(size[0]), float(size[1])), rng.uniform(0.0, np.pi)))
    return tuple(found)
