"""Red cells with something in them: real ones, altered as parasites and remnants of nuclei alter a cell.

The open collections hold no malaria. A late parasite fills its cell with granules, tints and enlarges it,
and a head that saw none takes it for a white cell.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from kinds.fields import RED, Field, Floats
from kinds.foreign import Picture
from kinds.views import View, found_places
from reddino.embedding.kinds import INPUT, SIDE
from reddino.rbc.finding import find_cells
from reddino.views.cutting import cut_square

#: Optical density of red, green and blue light: purple, blue, pink, brown pigment, grey.
DYES = ((0.7, 1.0, 0.4), (1.0, 0.8, 0.3), (0.2, 1.0, 0.4), (0.5, 0.8, 1.0), (0.8, 0.8, 0.8))
INCLUSIONS = "with inclusions"
#: Cells of a field that are altered, at most.
MOST = 4
#: How much larger than others an altered cell is shown.
ENLARGED = (0.95, 1.3)


def _dye(rng: np.random.Generator) -> Floats:
    return np.array(DYES[int(rng.integers(len(DYES)))]) * rng.uniform(0.8, 1.2, 3)


def altered(pixels: Picture, diameter: float, rng: np.random.Generator) -> Picture:
    """Return a view (s, s, 3) with granules, dots, streaks and a tint in the cell in its middle.

    Args:
        pixels: RGB view around a red cell.
        diameter: of the cell, in pixels of the view.
        rng: what and how strongly.
    """
    side = len(pixels)
    ground = np.percentile(pixels.reshape(-1, 3), 95, axis=0)
    density = -np.log(np.maximum(pixels, 1) / np.maximum(ground, 1))
    y, x = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    disc = np.clip(0.47 * diameter - np.hypot(x, y), 0, 1)
    stained = density.mean(axis=2)
    least = float(rng.choice([0.05, 0.4])) * float(np.median(stained[disc > 0.5]))
    within = cv2.GaussianBlur(disc * (stained > least), (0, 0), 1.2)
    added = np.zeros_like(density)
    noise = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), float(rng.uniform(1.2, 5)))
    grain = np.clip(noise / noise.std() - float(rng.uniform(-0.5, 0.8)), 0, None)
    added += float(rng.uniform(0.0, 0.35)) * grain[..., None] * _dye(rng)
    added += float(rng.uniform(0.0, 0.35)) * _dye(rng) * (rng.random() < 0.6)
    if rng.random() < 0.3:  # vacuoles, and haemoglobin that is eaten up
        added -= float(rng.uniform(0.1, 0.6)) * np.clip(-noise / noise.std(), 0, 1)[..., None] * density
    dots = np.zeros((side, side), np.float64)
    for _ in range(int(rng.integers(0, 14))):
        place = rng.normal(side / 2, 0.2 * diameter, 2)
        axes = diameter * rng.uniform(0.02, 0.1, 2)
        turn = float(rng.uniform(0, 180))
        spot = np.zeros((side, side), np.uint8)
        cv2.ellipse(spot, (place.tolist(), (2 * axes).tolist(), turn), 1, -1)
        dots = np.maximum(dots, spot * float(rng.uniform(0.2, 1.0)))
    added += cv2.GaussianBlur(dots, (0, 0), float(rng.uniform(0.6, 1.6)))[..., None] * _dye(rng)
    made = np.exp(-(density + within[..., None] * added)) * ground
    return np.asarray(np.clip(np.rint(made), 0, 255), dtype=np.uint8)


def altered_views(field: Field, seed: int) -> Iterator[View]:
    """Yield red cells of a field with inclusions."""
    rng = np.random.default_rng([seed, 1, zlib.crc32(f"{field.lab} {field.name}".encode())])
    cells = find_cells(field.image)
    if not np.isfinite(cells.typical_diameter):
        return
    reds = [place for place in found_places(field, cells) if place.kind == RED]
    for row in rng.permutation(len(reds))[:MOST].tolist():
        larger = float(rng.uniform(*ENLARGED))
        x, y = reds[row].centre.tolist()
        pixels = cut_square(field.image, x, y, SIDE * cells.typical_diameter / larger, INPUT)
        pixels = altered(pixels, INPUT / SIDE * larger, rng)
        yield View(pixels, RED, field.lab, field.name, INCLUSIONS)
