"""Objects between red cells: white cells, platelets, stain precipitate, dust; in micrometres."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reddino.synthetic import outlines

WHITE_KINDS = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")


@dataclass(frozen=True)
class WhiteCell:
    """A leucocyte: outline and nuclear lobes (polygons relative to x, y), and amounts of dye."""

    kind: str
    x: float
    y: float
    diameter: float
    outline: NDArray[np.float64]
    lobes: tuple[NDArray[np.float64], ...]
    eosin: float
    blue: float
    chromatin: float
    granules: float
    texture: int

    def box(self) -> tuple[float, float, float, float]:
        """Return the left, top, width and height in micrometres."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return (
            self.x + float(low[0]),
            self.y + float(low[1]),
            float(high[0] - low[0]),
            float(high[1] - low[1]),
        )


@dataclass(frozen=True)
class Platelet:
    """A platelet: a small granular purple body."""

    x: float
    y: float
    diameter: float
    outline: NDArray[np.float64]
    strength: float
    texture: int

    def box(self) -> tuple[float, float, float, float]:
        """Return the left, top, width and height in micrometres."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return (
            self.x + float(low[0]),
            self.y + float(low[1]),
            float(high[0] - low[0]),
            float(high[1] - low[1]),
        )


@dataclass(frozen=True)
class Speck:
    """A grain of precipitate (purple) or dust (dark, refractile)."""

    x: float
    y: float
    radius: float
    strength: float
    dust: bool


def _blob(rng: np.random.Generator, radius: float, wobble: float, aspect: float) -> NDArray[np.float64]:
    shape = outlines.turned(outlines.disc(rng, wobble, aspect), float(rng.uniform(0.0, 2.0 * np.pi)))
    return np.asarray(shape * radius)


def _segmented(rng: np.random.Generator, radius: float, count: int) -> tuple[NDArray[np.float64], ...]:
    """Draw nuclear lobes on an arc, joined by thin strands."""
    turn = (
        rng.uniform(0.0, 2.0 * np.pi)
        + np.arange(count) * rng.uniform(1.0, 1.5)
        + rng.uniform(-0.2, 0.2, count)
    )
    out = radius * rng.uniform(0.3, 0.52, count)
    centres = np.column_stack([np.cos(turn), np.sin(turn)]) * out[:, None]
    size = radius * rng.uniform(0.26, 0.36, count) * (1.15 if count < 4 else 1.0)
    lobes = [_blob(rng, s, 0.14, rng.uniform(1.0, 1.5)) + c for s, c in zip(size, centres, strict=True)]
    for a, b in pairwise(centres):
        side = np.array([-(b - a)[1], (b - a)[0]]) / (np.hypot(*(b - a)) + 1e-9) * rng.uniform(0.25, 0.6)
        lobes.append(np.vstack([a + side, b + side, b - side, a - side]))
    return tuple(lobes)


def _kidney(rng: np.random.Generator, radius: float) -> tuple[NDArray[np.float64], ...]:
    shape = outlines.crescent(rng, rng.uniform(1.15, 1.6), rng.uniform(1.2, 2.6), 4.0)
    shape = outlines.turned(shape, float(rng.uniform(0.0, 2.0 * np.pi)))
    return (np.asarray(shape * radius * rng.uniform(0.56, 0.66)),)


def draw_white_cell(rng: np.random.Generator, x: float, y: float) -> WhiteCell:
    """Draw a leucocyte centred at x, y."""
    kind = str(rng.choice(WHITE_KINDS, p=[0.58, 0.28, 0.1, 0.04]))
    if kind == "lymphocyte":
        radius = float(rng.uniform(3.9, 5.6))
        lobes: tuple[NDArray[np.float64], ...] = (_blob(rng, radius * rng.uniform(0.74, 0.9), 0.05, 1.08),)
        lobes = (lobes[0] + rng.uniform(-0.08, 0.08, 2) * radius,)
        eosin, blue, granules = 0.0, float(rng.uniform(0.5, 0.9)), 0.05
    elif kind == "monocyte":
        radius = float(rng.uniform(6.8, 8.6))
        lobes = _kidney(rng, radius)
        eosin, blue, granules = 0.12, float(rng.uniform(0.35, 0.55)), 0.15
    else:
        radius = float(rng.uniform(5.6, 7.0))
        lobes = _segmented(rng, radius, 2 if kind == "eosinophil" else int(rng.integers(3, 6)))
        eosin, blue, granules = (0.9, 0.1, 0.25) if kind == "eosinophil" else (0.2, 0.12, 0.2)
    return WhiteCell(
        kind=kind,
        x=x,
        y=y,
        diameter=2.0 * radius,
        outline=_blob(rng, radius, 0.07, 1.06),
        lobes=lobes,
        eosin=eosin,
        blue=blue,
        chromatin=float(rng.uniform(0.85, 1.15)),
        granules=granules,
        texture=int(rng.integers(2**31)),
    )


def draw_platelet(rng: np.random.Generator, x: float, y: float) -> Platelet:
    """Draw a platelet centred at x, y."""
    radius = float(np.exp(rng.normal(np.log(1.1), 0.25)))
    return Platelet(
        x=x,
        y=y,
        diameter=2.0 * radius,
        outline=_blob(rng, radius, 0.22, rng.uniform(1.0, 1.5)),
        strength=float(rng.uniform(0.5, 1.1)),
        texture=int(rng.integers(2**31)),
    )


def draw_specks(rng: np.random.Generator, count: int, width: float, height: float) -> tuple[Speck, ...]:
    """Scatter `count` grains over a field of `width` by `height` micrometres."""
    return tuple(
        Speck(
            x=float(rng.uniform(0.0, width)),
            y=float(rng.uniform(0.0, height)),
            radius=float(np.exp(rng.normal(np.log(0.22), 0.45))),
            strength=float(rng.uniform(0.15, 0.7)),
            dust=bool(rng.random() < 0.3),
        )
        for _ in range(count)
    )
