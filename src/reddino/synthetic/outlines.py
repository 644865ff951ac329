"""Outlines of red cells: closed polygons about their centroid, in units of the equal-area radius."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]

POINTS = 144
_ANGLES = np.linspace(0.0, 2.0 * np.pi, POINTS, endpoint=False)


def _cross(outline: Outline) -> tuple[Outline, NDArray[np.float64]]:
    """Return the vertices moved on by one, and twice the signed area of each triangle with the origin."""
    following = np.concatenate([outline[1:], outline[:1]])
    return following, outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]


def area(outline: Outline) -> float:
    """Return the unsigned area of a closed polygon (n, 2)."""
    return float(abs(_cross(outline)[1].sum()) / 2.0)


def unit(outline: Outline) -> Outline:
    """Move the centroid to the origin and scale the area to pi, so that the equal-area radius is 1."""
    following, cross = _cross(outline)
    total = cross.sum()
    centroid = cross @ (outline + following) / (3.0 * total)
    return np.asarray((outline - centroid) * np.sqrt(2.0 * np.pi / abs(total)))


def turned(outline: Outline, angle: float) -> Outline:
    """Rotate by `angle` radians about the origin."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(outline @ np.array([[c, s], [-s, c]]))


def rounded(corners: Outline, radius: float) -> Outline:
    """Resample a polygon evenly along its boundary and smooth it with a Gaussian of `radius` (same unit)."""
    closed = np.vstack([corners, corners[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    even = np.linspace(0.0, along[-1], POINTS, endpoint=False)
    z = np.interp(even, along, closed[:, 0]) + 1j * np.interp(even, along, closed[:, 1])
    frequency = 2.0 * np.pi * np.fft.fftfreq(POINTS, d=along[-1] / POINTS)
    z = np.fft.ifft(np.fft.fft(z) * np.exp(-0.5 * (frequency * radius) ** 2))
    return np.column_stack([z.real, z.imag])


def _polar(radius: NDArray[np.float64]) -> Outline:
    return np.column_stack([radius * np.cos(_ANGLES), radius * np.sin(_ANGLES)])


def _ripple(rng: np.random.Generator, wobble: float) -> NDArray[np.float64]:
    """Smooth relative deformation of a radius, made of the Fourier modes 2 to 6."""
    modes = np.arange(2, 7)
    size = wobble * rng.standard_normal(5) / modes
    phase = rng.uniform(0.0, 2.0 * np.pi, 5)
    return np.asarray(1.0 + size @ np.cos(np.outer(modes, _ANGLES) + phase[:, None]))


def disc(rng: np.random.Generator, wobble: float, aspect: float = 1.0) -> Outline:
    """Return a round cell, slightly deformed; `aspect` is length by width."""
    return unit(_polar(_ripple(rng, wobble)) * [np.sqrt(aspect), 1.0 / np.sqrt(aspect)])


def oval(rng: np.random.Generator, aspect: float, egg: float, squareness: float, wobble: float) -> Outline:
    """Return an ellipse along x.

    `egg` makes one end blunter, `squareness` above 2 the sides straighter (a rod).
    """
    c, s = np.cos(_ANGLES), np.sin(_ANGLES)
    power = 2.0 / squareness
    x, y = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
    y = y * (1.0 + egg * x)
    ripple = _ripple(rng, wobble)
    return unit(rounded(np.column_stack([x * aspect * ripple, y * ripple]), 0.06))


def teardrop(rng: np.random.Generator, length: float, joint: float, bend: float) -> Outline:
    """Return a round head with one tail along +x that ends `length` head radii from the head's centre.

    The tail leaves the head at x = `joint` (0 to 1): a cone for small ones, a stalk for large ones.
    """
    start = np.sqrt(1.0 - joint**2)
    head = np.linspace(-np.pi, -np.arccos(joint), 40)
    tail = np.linspace(0.0, 1.0, 40)[1:]
    # the power that makes the tail leave the head without a corner
    power = (length - joint) * joint / start**2
    x = np.concatenate([np.cos(head), joint + (length - joint) * tail])
    blunt = 0.09 * np.sqrt(np.clip(1.0 - tail**4, 0.0, 1.0)) * tail
    half = np.concatenate([-np.sin(head), start * (1.0 - tail) ** power + blunt])
    middle = bend * np.clip(x - 0.2, 0.0, None) ** 2
    outline = np.vstack([np.column_stack([x, middle + half]), np.column_stack([x, middle - half])[-2:0:-1]])
    stretch = 1.0 + 0.09 * rng.standard_normal()
    return unit(rounded(outline * [1.0, stretch], 0.05))


def crescent(rng: np.random.Generator, length: float, sweep: float, blunt: float) -> Outline:
    """Return a sickle: `length` by width, bent by `sweep` radians.

    A larger `blunt` keeps it wide to the ends.
    """
    s = np.linspace(-1.0, 1.0, 60)
    heading = sweep / 2.0 * s + 0.15 * rng.standard_normal() * s**2
    step = s[1] - s[0]
    x = np.concatenate([[0.0], np.cumsum(np.cos(heading[:-1]) * step)])
    y = np.concatenate([[0.0], np.cumsum(np.sin(heading[:-1]) * step)])
    skew = 0.25 * rng.uniform(-1.0, 1.0)
    half = (1.0 - np.abs(s) ** blunt) * (1.0 + skew * s) / length + 0.015
    normal = np.column_stack([-np.sin(heading), np.cos(heading)]) * half[:, None]
    spine = np.column_stack([x, y])
    return unit(rounded(np.vstack([spine + normal, (spine - normal)[::-1]]), 0.03))


def spiked(
    rng: np.random.Generator, spikes: int, height: float, *, uneven: float, wobble: float, aspect: float = 1.0
) -> Outline:
    """Return a disc with `spikes` points of relative `height`.

    `uneven` 0 is a burr cell, near 1 an acanthocyte.
    """
    places = 2.0 * np.pi * (np.arange(spikes) + 0.6 * (uneven + 0.25) * rng.uniform(-1, 1, spikes)) / spikes
    heights = height * (1.0 + (uneven + 0.3) * rng.uniform(-0.8, 0.8, spikes))
    width = 0.30 * 2.0 * np.pi / spikes
    gap = np.angle(np.exp(1j * (_ANGLES[:, None] - places)))
    radius = _ripple(rng, wobble) + (np.exp(-((gap / width) ** 2)) * heights).sum(axis=1)
    return unit(_polar(radius) * [np.sqrt(aspect), 1.0 / np.sqrt(aspect)])


def _arc(start: float, stop: float, points: int = 60) -> Outline:
    angles = np.linspace(start, stop, points)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def _curve(a: Outline, control: Outline, b: Outline, points: int = 30) -> Outline:
    """Return a quadratic Bezier curve from `a` to `b`, without its last point."""
    t = np.linspace(0.0, 1.0, points, endpoint=False)[:, None]
    return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * b)


def helmet(rng: np.random.Generator) -> Outline:
    """Return a disc that lost a piece along a straight or hollow cut, which leaves two horns."""
    half = rng.uniform(0.75, 1.25)
    arc = _arc(half, 2.0 * np.pi - half) * [rng.uniform(0.8, 1.1), rng.uniform(0.85, 1.25)]
    hollow = np.array([rng.uniform(-0.25, 0.5), rng.uniform(-0.3, 0.3)])
    horn = np.array([rng.uniform(0.0, 0.35), rng.uniform(-0.1, 0.25)])
    arc = np.vstack([arc[:1] + horn * [1, -1], arc, arc[-1:] + horn * [1, 1] * rng.integers(0, 2)])
    return unit(rounded(np.vstack([arc, _curve(arc[-1], hollow, arc[0])[1:]]), 0.07))


def triangle(rng: np.random.Generator) -> Outline:
    """Return a triangle: three points joined by sides that bow in or out."""
    turn = np.array([0.0, 2.1, 4.2]) + rng.uniform(-0.45, 0.45, 3)
    corners = np.column_stack([np.cos(turn), np.sin(turn)]) * rng.uniform(0.75, 1.35, (3, 1))
    nexts = np.roll(corners, -1, axis=0)
    controls = (corners + nexts) / 2.0 * rng.uniform(0.25, 1.7, (3, 1))
    sides = [_curve(a, c, b) for a, c, b in zip(corners, controls, nexts, strict=True)]
    return unit(rounded(np.vstack(sides), 0.12))


def fragment(rng: np.random.Generator) -> Outline:
    """Return a small piece of no set shape, with a few corners."""
    count = int(rng.integers(4, 7))
    turn = 2.0 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    corners = np.column_stack([np.cos(turn), np.sin(turn)]) * rng.uniform(0.45, 1.35, (count, 1))
    return unit(rounded(corners * [1.0, rng.uniform(0.55, 1.0)], 0.10))
