"""Malaria parasites of several stages and appearances, as marks in a red cell; sizes follow textbooks.

A ring takes up a fifth to a third of its cell's diameter, a growing trophozoite up to two thirds, a schizont
and a gametocyte most of it. Lengths are in micrometres, `size` is the cell's diameter, `amount` how strongly
the parasite is stained (1 is usual), and marks are drawn around the cell's centre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reddino.synthetic import outlines
from reddino.synthetic.cells import Mark
from reddino.synthetic.outlines import Outline

Marks = tuple[Mark, ...]

#: Diameter of a ring against its cell's, and of what it grows into.
RING, AMOEBOID, COMPACT = (0.2, 0.34), (0.4, 0.68), (0.3, 0.48)


def spot(rng: np.random.Generator, place: Outline, radius: float, wobble: float = 0.15) -> Outline:
    """Draw a small body of equal-area `radius` at `place`."""
    shape = outlines.disc(rng, wobble, float(rng.uniform(1.0, 1.4)))
    return outlines.turned(shape, float(rng.uniform(0.0, 2.0 * np.pi))) * radius + place


def somewhere(rng: np.random.Generator, reach: float) -> Outline:
    """Draw a place within `reach` of the origin, evenly."""
    out, turn = reach * np.sqrt(rng.uniform()), rng.uniform(0.0, 2.0 * np.pi)
    return np.array([out * np.cos(turn), out * np.sin(turn)])


def spots(
    rng: np.random.Generator, count: int, reach: float, radii: tuple[float, float]
) -> tuple[Outline, ...]:
    """Draw small bodies scattered within `reach` of the origin."""
    return tuple(spot(rng, somewhere(rng, reach), float(rng.uniform(*radii))) for _ in range(count))


def _moved(bodies: tuple[Outline, ...], place: Outline) -> tuple[Outline, ...]:
    return tuple(body + place for body in bodies)


def _cytoplasm(rng: np.random.Generator, shapes: tuple[Outline, ...], amount: float, left: float) -> Mark:
    return Mark(shapes, (0.0, amount, 0.04 * amount, 0.0), left, grain=0.25, texture=int(rng.integers(2**31)))


def _chromatin(shapes: tuple[Outline, ...], amount: float) -> Mark:
    return Mark(shapes, (0.0, 0.0, amount, 0.0), soft=0.2)


def _pigment(rng: np.random.Generator, count: int, reach: float, place: Outline) -> Mark:
    """Draw grains of haemozoin, brown to black, which the parasite makes of haemoglobin."""
    grains = _moved(spots(rng, count, reach, (0.07, 0.16)), place)
    return Mark(grains, (0.9 * float(rng.uniform(0.6, 1.4)), 0.0, 0.0, 1.6), soft=0.1)


def _ring_at(
    rng: np.random.Generator, place: Outline, radius: float, amount: float, *, aspect: float, turn: float
) -> Marks:
    """Draw cytoplasm around a vacuole, thin or thick, closed or open, with one to three chromatin dots."""
    band = float(rng.uniform(0.14, 0.26) if rng.random() < 0.6 else rng.uniform(0.3, 0.55))
    wobble = float(rng.uniform(0.03, 0.3))
    outer = outlines.turned(outlines.disc(rng, wobble, aspect), turn) * radius
    inner = outlines.turned(outlines.disc(rng, wobble, aspect), turn) * radius * (1.0 - band)
    lean = somewhere(rng, 1.3 * band * radius)
    blue = 0.62 * amount
    marks = [
        _cytoplasm(rng, (outer + place,), blue, 0.88),
        Mark((inner + lean + place,), (0.0, -blue, 0.0, 0.0), 0.8),
    ]
    first, dots = float(rng.uniform(0.0, 2.0 * np.pi)), []
    for k in range(int(rng.choice([1, 2, 3], p=[0.7, 0.25, 0.05]))):
        way = first + k * rng.uniform(0.7, 2.8)
        out = radius * (rng.uniform(0.0, 0.3) if rng.random() < 0.08 else 1.0 - band / 2.0)
        at = outlines.turned(out * np.array([[np.cos(way) * aspect**0.5, np.sin(way) / aspect**0.5]]), turn)[
            0
        ]
        dots.append(spot(rng, at + place, float(rng.uniform(0.2, 0.4))))
    marks.append(_chromatin(tuple(dots), 0.8 * amount))
    return tuple(marks)


def ring(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw one ring, at times two or three: within the cell, or flat along its edge (accole, applique)."""
    marks: Marks = ()
    for _ in range(int(rng.choice([1, 2, 3], p=[0.84, 0.13, 0.03]))):
        radius = size * float(rng.uniform(*RING)) / 2.0
        if rng.random() < 0.18:
            turn = float(rng.uniform(0.0, 2.0 * np.pi))
            out = size / 2.0 - radius * float(rng.uniform(0.2, 0.7))
            place = out * np.array([np.cos(turn), np.sin(turn)])
            aspect = float(rng.uniform(1.6, 2.6))
            drawn = _ring_at(rng, place, radius, amount, aspect=aspect, turn=turn + np.pi / 2.0)
            # part of it stands out over the cell's edge
            marks += tuple(replace(mark, outside=True) for mark in drawn)
        else:
            turn, aspect = float(rng.uniform(0.0, np.pi)), float(rng.uniform(1.0, 1.4))
            place = somewhere(rng, 0.46 * size - radius)
            marks += _ring_at(rng, place, radius, amount, aspect=aspect, turn=turn)
    return marks


def _amoeboid(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw an irregular body with pseudopods, vacuoles and fine pigment."""
    radius = size * float(rng.uniform(*AMOEBOID)) / 2.0
    place = somewhere(rng, 0.42 * size - radius) if radius < 0.4 * size else np.zeros(2)
    arms = outlines.spiked(
        rng, int(rng.integers(3, 7)), float(rng.uniform(0.25, 0.8)), uneven=0.9, wobble=0.35
    )
    body = outlines.turned(arms, float(rng.uniform(0.0, 2.0 * np.pi))) * radius * 0.9 + place
    blue = float(rng.uniform(0.35, 0.6)) * amount
    holes = _moved(spots(rng, int(rng.integers(1, 4)), 0.6 * radius, (0.18 * radius, 0.4 * radius)), place)
    nucleus = spot(rng, place + somewhere(rng, 0.7 * radius), float(rng.uniform(0.3, 0.55)))
    return (
        _cytoplasm(rng, (body,), blue, 0.8),
        Mark(holes, (0.0, -blue, 0.0, 0.0), 0.85),
        _chromatin((nucleus,), 0.8 * amount),
        _pigment(rng, int(rng.integers(3, 14)), 0.8 * radius, place),
    )


def _compact(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a dense round body with one clump of pigment."""
    radius = size * float(rng.uniform(*COMPACT)) / 2.0
    place = somewhere(rng, 0.44 * size - radius)
    nucleus = spot(rng, place + somewhere(rng, 0.6 * radius), float(rng.uniform(0.28, 0.5)))
    return (
        _cytoplasm(rng, (spot(rng, place, radius, 0.2),), float(rng.uniform(0.45, 0.8)) * amount, 0.75),
        _chromatin((nucleus,), 0.8 * amount),
        _pigment(rng, int(rng.integers(2, 7)), 0.3 * radius, place + somewhere(rng, 0.4 * radius)),
    )


def _band(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a strip across the cell."""
    aspect = float(rng.uniform(2.6, 4.0))
    turn = float(rng.uniform(0.0, np.pi))
    strip = outlines.oval(rng, aspect, 0.1, float(rng.uniform(2.4, 4.0)), 0.2)
    strip = outlines.turned(strip * (size * float(rng.uniform(0.42, 0.5)) / strip[:, 0].max()), turn)
    across = float(rng.uniform(-0.12, 0.12)) * size * np.array([-np.sin(turn), np.cos(turn)])
    along = float(rng.uniform(-0.25, 0.25)) * size * np.array([np.cos(turn), np.sin(turn)])
    return (
        _cytoplasm(rng, (strip + across,), float(rng.uniform(0.4, 0.7)) * amount, 0.8),
        _chromatin((spot(rng, across + along, float(rng.uniform(0.3, 0.5))),), 0.8 * amount),
        _pigment(rng, int(rng.integers(3, 10)), 0.12 * size, across - along),
    )


def trophozoite(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a growing parasite: amoeboid, compact or a band."""
    looks: tuple[Callable[[np.random.Generator, float, float], Marks], ...] = (_amoeboid, _compact, _band)
    return looks[int(rng.choice(3, p=[0.5, 0.32, 0.18]))](rng, size, amount)


def schizont(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw six to twenty merozoites around a clump of pigment."""
    reach = size * float(rng.uniform(0.25, 0.42))
    count = int(rng.integers(6, 21))
    turn = 2.0 * np.pi * np.arange(count) / count * (2.0 if count > 11 else 1.0)
    out = (
        reach * np.where(np.arange(count) % 2 * (count > 11) == 1, 0.55, 1.0) * rng.uniform(0.75, 1.0, count)
    )
    places = np.column_stack([out * np.cos(turn), out * np.sin(turn)])
    bodies = tuple(spot(rng, place, float(rng.uniform(0.4, 0.62))) for place in places)
    dots = tuple(spot(rng, place, float(rng.uniform(0.2, 0.34))) for place in places)
    return (
        _cytoplasm(rng, bodies, 0.45 * amount, 0.8),
        _chromatin(dots, 0.75 * amount),
        _pigment(rng, int(rng.integers(4, 10)), 0.3, somewhere(rng, 0.1 * size)),
    )


def gametocyte(rng: np.random.Generator, size: float, amount: float) -> Marks:
    """Draw a round body that fills most of the cell, or a crescent, with pigment around its chromatin."""
    if rng.random() < 0.5:
        radius = size * float(rng.uniform(0.32, 0.46))
        body = spot(rng, somewhere(rng, 0.47 * size - radius), radius, 0.1)
        nucleus, reach, grains = somewhere(rng, 0.5 * radius), 0.8 * radius, int(rng.integers(12, 36))
    else:
        shape = outlines.crescent(rng, float(rng.uniform(2.6, 3.6)), float(rng.uniform(0.8, 1.6)), 3.0)
        shape = outlines.turned(
            shape * (0.47 * size / np.hypot(*shape.T).max()), float(rng.uniform(0.0, 2.0 * np.pi))
        )
        body, nucleus = shape, somewhere(rng, 0.05 * size)
        reach, grains = 0.12 * size, int(rng.integers(5, 14))
    return (
        _cytoplasm(rng, (body,), float(rng.uniform(0.3, 0.6)) * amount, 0.6),
        Mark((spot(rng, nucleus, float(rng.uniform(0.45, 0.8))),), (0.0, 0.0, 0.45 * amount, 0.0), soft=0.5),
        _pigment(rng, grains, reach, np.zeros(2) if reach > 0.2 * size else nucleus),
    )


STAGES: dict[str, Callable[[np.random.Generator, float, float], Marks]] = {
    "ring-stage parasite": ring,
    "trophozoite": trophozoite,
    "schizont": schizont,
    "gametocyte": gametocyte,
}
"""How each stage is drawn, by its label: (rng, the cell's diameter, how strongly it is stained) to marks."""
