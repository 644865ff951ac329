"""Morphologies: how each named shape of red cell is drawn, and how large it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from reddino.synthetic import outlines
from reddino.synthetic.cells import CellShape, Habit, Pallor, RedCell, Ring


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _off_centre(rng: np.random.Generator, spread: float) -> tuple[float, float]:
    x, y = spread * rng.standard_normal(2)
    return float(x), float(y)


def _central_pallor(rng: np.random.Generator, habit: Habit, stretch: float = 1.0) -> Pallor:
    radius = habit.pallor_radius * _between(rng, 0.8, 1.2)
    depth = float(np.clip(habit.pallor_depth * _between(rng, 0.6, 1.35), 0.2, 0.8))
    x, y = _off_centre(rng, 0.06)
    aspect = np.sqrt(stretch) * _between(rng, 0.88, 1.14)
    return Pallor(depth, radius * aspect, radius / aspect, _between(rng, 0.2, 0.42), x, y)


def _discocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    aspect = 1.0 + abs(0.06 * rng.standard_normal())
    return CellShape(outlines.disc(rng, habit.wobble, min(aspect, 1.15)), (_central_pallor(rng, habit),))


def _spherocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    outline = outlines.disc(rng, 0.6 * habit.wobble, 1.0 + abs(0.03 * rng.standard_normal()))
    return CellShape(outline, (), _between(rng, 0.25, 0.6), _between(rng, 1.02, 1.3))


def _target(rng: np.random.Generator, habit: Habit) -> CellShape:
    outline = outlines.disc(rng, habit.wobble, min(1.0 + abs(0.08 * rng.standard_normal()), 1.25))
    ring = _between(rng, 0.68, 0.82)
    x, y = _off_centre(rng, 0.05)
    pale = Pallor(_between(rng, 0.58, 0.85), ring, ring * _between(rng, 0.88, 1.0), 0.13, x, y)
    bull = ring * _between(rng, 0.38, 0.54)
    dx, dy = _off_centre(rng, 0.06)
    angle = _between(rng, 0.0, np.pi)
    length = bull * _between(rng, 1.0, 1.35)
    # what brings the centre back to 0.7 to 1.1 of the rim
    restored = _between(rng, 0.7, 1.1) / (1.0 - pale.depth) - 1.0
    centre = Pallor(-restored, length, bull, 0.17, x + dx, y + dy, angle)
    return CellShape(outline, (pale, centre))


def _stomatocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    outline = outlines.disc(rng, habit.wobble, min(1.0 + abs(0.09 * rng.standard_normal()), 1.25))
    length = _between(rng, 0.46, 0.72)
    x, y = _off_centre(rng, 0.07)
    slit = Pallor(
        depth=_between(rng, 0.45, 0.8),
        length=length,
        width=length * _between(rng, 0.22, 0.42),
        soft=0.26,
        x=x,
        y=y,
        angle=_between(rng, 0.0, np.pi),
        bend=_between(rng, -0.45, 0.45),
    )
    return CellShape(outline, (slit,))


def _hypochromic(rng: np.random.Generator, habit: Habit) -> CellShape:
    aspect = min(1.0 + abs(0.09 * rng.standard_normal()), 1.25)
    radius = _between(rng, 0.64, 0.8)
    x, y = _off_centre(rng, 0.05)
    wide = Pallor(_between(rng, 0.62, 0.9), radius * np.sqrt(aspect), radius / np.sqrt(aspect), 0.16, x, y)
    return CellShape(
        outlines.disc(rng, 1.3 * habit.wobble, aspect), (wide,), density=_between(rng, 0.72, 1.0)
    )


def _ovalocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    aspect = _between(rng, 1.24, 1.55)
    outline = outlines.oval(rng, aspect, _between(rng, -0.16, 0.16), _between(rng, 1.95, 2.2), habit.wobble)
    return CellShape(outline, (_central_pallor(rng, habit, aspect),))


def _elliptocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    aspect = _between(rng, 1.7, 2.9)
    outline = outlines.oval(rng, aspect, _between(rng, -0.1, 0.1), _between(rng, 2.0, 2.7), habit.wobble)
    pallor = _central_pallor(rng, habit, aspect)
    return CellShape(outline, (replace(pallor, depth=pallor.depth * _between(rng, 0.3, 1.0)),))


def _teardrop(rng: np.random.Generator, habit: Habit) -> CellShape:
    length = _between(rng, 1.75, 3.0)
    outline = outlines.teardrop(rng, length, _between(rng, 0.4, 0.8), _between(rng, -0.16, 0.16))
    pallor = _central_pallor(rng, habit)
    return CellShape(outline, (replace(pallor, x=pallor.x - 0.14 * length, depth=0.8 * pallor.depth),))


def _burr(rng: np.random.Generator, habit: Habit) -> CellShape:
    spikes = int(rng.integers(10, 20))
    height = _between(rng, 0.07, 0.15)
    outline = outlines.spiked(
        rng, spikes, height, uneven=0.0, wobble=habit.wobble, aspect=_between(rng, 1.0, 1.25)
    )
    bumps = []
    for _ in range(int(rng.integers(0, 6))):
        turn, out = _between(rng, 0.0, 2.0 * np.pi), _between(rng, 0.2, 0.75)
        size = _between(rng, 0.07, 0.12)
        place = out * np.cos(turn), out * np.sin(turn)
        bumps.append(Pallor(-_between(rng, 0.15, 0.5), size, size, 0.4, *place))
    return CellShape(outline, (_central_pallor(rng, habit), *bumps))


def _schistocyte(rng: np.random.Generator, habit: Habit) -> CellShape:
    shape = (outlines.helmet, outlines.triangle, outlines.fragment)[int(rng.choice(3, p=[0.5, 0.22, 0.28]))]
    pallor = _central_pallor(rng, habit)
    faint = replace(pallor, depth=pallor.depth * _between(rng, 0.0, 0.8), soft=0.4)
    return CellShape(shape(rng), (faint,), density=_between(rng, 0.9, 1.15))


def _sickle(rng: np.random.Generator, habit: Habit) -> CellShape:
    slender = _between(rng, 3.0, 5.2)
    # the inner side is hollow where the sweep exceeds 4 / slender
    sweep = _between(rng, 1.1, 2.3) * 4.0 / slender
    outline = outlines.crescent(rng, slender, sweep, _between(rng, 1.7, 3.2))
    return CellShape(outline, (), _between(rng, 0.0, 0.2), _between(rng, 1.0, 1.25))


def _ring(rng: np.random.Generator) -> Ring:
    radius = _between(rng, 0.75, 1.25)
    out, turn = 0.55 * np.sqrt(rng.uniform(0.0, 1.0)), _between(rng, 0.0, 2.0 * np.pi)
    side = _between(rng, 0.0, 2.0 * np.pi)
    dots = []
    for k in range(1 + int(rng.random() < 0.2)):
        at = side + k * _between(rng, 0.6, 2.8)
        dots.append((radius * float(np.cos(at)), radius * float(np.sin(at)), _between(rng, 0.3, 0.46)))
    return Ring(
        x=float(out * np.cos(turn)),
        y=float(out * np.sin(turn)),
        radius=radius,
        thickness=_between(rng, 0.16, 0.28),
        dots=tuple(dots),
        strength=_between(rng, 0.75, 1.25),
        squash=_between(rng, 0.7, 1.0),
        angle=_between(rng, 0.0, np.pi),
    )


def _parasitised(rng: np.random.Generator, habit: Habit) -> CellShape:
    look = _discocyte(rng, habit)
    faint = tuple(replace(p, depth=0.7 * p.depth) for p in look.pallors)
    return replace(look, pallors=faint, rings=tuple(_ring(rng) for _ in range(1 + int(rng.random() < 0.12))))


@dataclass(frozen=True)
class _Morphology:
    """A shape and how it is drawn; diameters are the patient's times `size`, within `limits` (um)."""

    draw: Callable[[np.random.Generator, Habit], CellShape]
    size: float
    limits: tuple[float, float] = (4.2, 10.5)


_MORPHOLOGIES = {
    "normal": _Morphology(_discocyte, 1.0, (6.3, 8.4)),
    "macrocyte": _Morphology(_discocyte, 1.22, (8.2, 10.5)),
    "microcyte": _Morphology(_discocyte, 0.79, (4.6, 6.4)),
    "spherocyte": _Morphology(_spherocyte, 0.88, (4.8, 8.4)),
    "target": _Morphology(_target, 1.05, (5.4, 9.6)),
    "stomatocyte": _Morphology(_stomatocyte, 1.02, (5.4, 9.4)),
    "hypochromia": _Morphology(_hypochromic, 0.96, (5.2, 8.8)),
    "ovalocyte": _Morphology(_ovalocyte, 1.02, (5.2, 9.8)),
    "elliptocyte": _Morphology(_elliptocyte, 0.98, (5.2, 9.0)),
    "teardrop": _Morphology(_teardrop, 0.94, (4.8, 8.8)),
    "burr": _Morphology(_burr, 0.97, (5.2, 8.8)),
    "schistocyte": _Morphology(_schistocyte, 0.76, (3.6, 7.6)),
    "sickle": _Morphology(_sickle, 0.86, (5.0, 8.0)),
    "ring-stage parasite": _Morphology(_parasitised, 1.0, (5.4, 9.0)),
}

MORPHOLOGIES = tuple(_MORPHOLOGIES)
"""The names of the shapes, as they stand in a manifest's `label`."""


def _diameter(rng: np.random.Generator, kind: _Morphology, mean: float, cv: float) -> float:
    low, high = kind.limits
    for _ in range(20):
        diameter = mean * kind.size * float(np.exp(cv * rng.standard_normal()))
        if low <= diameter <= high:
            return diameter
    # the patient's cells lie outside what the name allows: the near third of the allowed sizes
    third = (high - low) / 3.0
    return (
        _between(rng, low, low + third)
        if mean * kind.size < (low + high) / 2.0
        else _between(rng, high - third, high)
    )


def draw_cell(rng: np.random.Generator, morphology: str, habit: Habit) -> RedCell:
    """Draw a red cell at the origin.

    Args:
        rng: source of every random choice.
        morphology: one of `MORPHOLOGIES`.
        habit: what the patient's cells have in common.
    """
    kind = _MORPHOLOGIES[morphology]
    look = kind.draw(rng, habit)
    diameter = _diameter(rng, kind, habit.diameter, habit.cv)
    angle = _between(rng, 0.0, 2.0 * np.pi)
    mirror = [1.0, float(rng.choice([-1.0, 1.0]))]
    return RedCell(
        morphology=morphology,
        x=0.0,
        y=0.0,
        diameter=diameter,
        angle=angle,
        outline=outlines.turned(look.outline * mirror, angle) * (diameter / 2.0),
        pallors=tuple(replace(p, y=p.y * mirror[1], angle=p.angle * mirror[1]) for p in look.pallors),
        dome=look.dome,
        density=look.density * habit.chromia * float(np.exp(0.09 * rng.standard_normal())),
        rings=look.rings,
        edge=_between(rng, 0.12, 0.3),
        rim=_between(rng, 0.6, 1.4),
        blue=_between(rng, 0.2, 0.6) if rng.random() < habit.blue else 0.0,
        blur=abs(0.16 * float(rng.standard_normal())),
    )
