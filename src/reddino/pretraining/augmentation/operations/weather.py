"""Pixel operations that draw weather over the picture.

Where the original blends an image many times over, the blends of one pixel value are composed in a table of
256 entries instead, with the original's rounding after each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations.draws import integer, uniform
from reddino.pretraining.augmentation.operations.tones import look_up

Image = NDArray[np.uint8]
Table = NDArray[np.uint8]

_WHITE = np.full((1, 256), 255, np.uint8)


def random_fog(crop: Image, rng: np.random.Generator) -> Image:
    """White discs blended one over the other, denser towards the centre, then blurred (RandomFog)."""
    intensity = rng.uniform(0.3, 1.0)
    height, width = crop.shape[:2]
    return blend_fog(crop, intensity, *_fog_discs(height, width, intensity, rng))


def blend_fog(
    crop: Image, intensity: float, x: NDArray[np.int64], y: NDArray[np.int64], radius: NDArray[np.int64]
) -> Image:
    """Blend n white discs of given centres and radii one after the other over the crop, and blur it."""
    height, width = crop.shape[:2]
    covering = _count_discs(height, width, x, y, radius)
    faded = _fading_table(0.08 * intensity, int(covering.max()))
    kernel = max(3, min(height, width) // 30) | 1
    return np.asarray(cv2.GaussianBlur(_look_up(faded, covering, crop), (kernel, kernel), 0), np.uint8)


def _fog_discs(
    height: int, width: int, intensity: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw centres and radii of the discs: as many in each of ten shrinking regions as fill it."""
    smallest = max(1, int(width // 3 * intensity))
    regions: list[tuple[int, int, int]] = []
    region_width, region_height = width, height
    for _ in range(10):
        if region_width <= smallest or region_height <= smallest:
            break
        count = int(region_width * region_height / smallest**2 * intensity * 10)
        regions.append((count, region_width // 2, region_height // 2))
        region_width, region_height = int(region_width * 0.9), int(region_height * 0.9)
    counts, half_widths, half_heights = np.array(regions).T
    across, down, size = rng.random((3, int(counts.sum())))
    x = int(width / 2 - 0.5) + _spread(across, np.repeat(half_widths, counts))
    y = int(height / 2 - 0.5) + _spread(down, np.repeat(half_heights, counts))
    largest = max(2, int(min(height, width) * 0.1 * intensity))
    least = max(1, largest // 2)
    return x, y, least + (size * (largest - least)).astype(np.int64)


def _spread(uniforms: NDArray[np.float64], half: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers from -half to half."""
    return (uniforms * (2 * half + 1)).astype(np.int64) - half


def _count_discs(
    height: int, width: int, x: NDArray[np.int64], y: NDArray[np.int64], radius: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the discs that cover each pixel (height, width), from both ends of each line of each disc."""
    first, reach = _disc_lines(int(radius.max()))
    lines = 2 * radius + 1
    number = np.arange(int(lines.sum())) - np.repeat(np.cumsum(lines) - lines, lines)
    half_width = reach[np.repeat(first[radius], lines) + number]
    line, centre = np.repeat(y - radius, lines) + number, np.repeat(x, lines)
    inside = (line >= 0) & (line < height)
    row, centre, half_width = line[inside] * (width + 1), centre[inside], half_width[inside]
    places = height * (width + 1)
    begin, end = np.maximum(centre - half_width, 0), np.minimum(centre + half_width + 1, width)
    changes = np.bincount(row + np.minimum(begin, width), minlength=places)
    changes -= np.bincount(row + np.maximum(end, 0), minlength=places)
    # What begins in a line ends in it, so that the sum runs on from line to line.
    return np.cumsum(changes).reshape(height, width + 1)[:, :width]


@lru_cache(maxsize=64)
def _disc_lines(largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how far the lines of discs reach to either side, as OpenCV draws them.

    Returns:
        (largest + 1,) place of each radius's first line, and all lines of radius 0, of radius 1, and so on.
    """
    reach = []
    for radius in range(largest + 1):
        disc = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
        cv2.circle(disc, (radius, radius), radius, 1, -1)
        reach.append((disc.sum(axis=1, dtype=np.int64) - 1) // 2)
    lengths = np.array([len(lines) for lines in reach])
    return np.cumsum(lengths) - lengths, np.concatenate(reach)


def _fading_table(alpha: float, times: int) -> Table:
    """Return (times + 1, 256): a value after so many blends with white."""
    table = np.arange(256, dtype=np.uint8)[None]
    step = _blend(_WHITE, alpha, table)[0]
    while len(table) <= times:  # twice as many blends: those of the last line, then those of each line
        table = np.concatenate([table, step[table[-1]][table]])
    return table[: times + 1]


def _blend(over: NDArray[np.uint8], alpha: float, under: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.addWeighted(over, alpha, under, 1 - alpha, 0), np.uint8)


def _look_up(table: Table, line: NDArray[np.int64], crop: Image) -> Image:
    """`table[line[y, x], crop[y, x, c]]` for each pixel and channel."""
    found, flat = np.empty_like(crop), table.reshape(-1)
    # In bands: memory for more than 128 kB is fetched from the system each time, which costs more.
    band = max(1, 2**14 // (3 * crop.shape[1]))
    for top in range(0, crop.shape[0], band):
        rows = slice(top, top + band)
        np.take(flat, (line[rows] * 256)[..., None] + crop[rows], out=found[rows], mode="clip")
    return found


_SUN_RADIUS, _SUN_STEPS = 400, 40


def random_sun_flare(crop: Image, rng: np.random.Generator) -> Image:
    """Add a white glow of 400 pixels in the upper half, and discs on a line through it (RandomSunFlare)."""
    height, width = crop.shape[:2]
    sun = int(width * rng.uniform(0, 1)), int(height * rng.uniform(0, 0.5))
    return blend_sun_flare(crop, sun, _flare_discs(height, width, sun, rng))


@dataclass(frozen=True)
class FlareDiscs:
    """Opacity (n,), centre x, y (n, 2), radius (n,) and colour (n, 3) of the discs of a sun flare."""

    alpha: NDArray[np.float64]
    centre: NDArray[np.int64]
    radius: NDArray[np.int64]
    colour: NDArray[np.int64]

    def __iter__(self) -> Iterator[tuple[float, list[int], int, list[int]]]:
        columns = (self.alpha.tolist(), self.centre.tolist(), self.radius.tolist(), self.colour.tolist())
        return zip(*columns, strict=True)


def blend_sun_flare(crop: Image, sun: tuple[int, int], discs: FlareDiscs) -> Image:
    """Blend the small discs, then the sun around the pixel (x, y)."""
    height, width = crop.shape[:2]
    flared = _blend_discs(crop, discs)
    strength = min(1.0, float(discs.alpha @ discs.radius / discs.radius.sum()) * 5)
    rings = _rings(max(height, width))
    middle = rings.shape[0] // 2
    rings = rings[middle - sun[1] : middle - sun[1] + height, middle - sun[0] : middle - sun[0] + width]
    return _look_up(_glow_table(strength), rings, flared)


def _flare_discs(height: int, width: int, sun: tuple[int, int], rng: np.random.Generator) -> FlareDiscs:
    """Six to ten small discs on a line through the sun."""
    angle = 2 * math.pi * rng.uniform(0, 1)
    count = int(rng.integers(6, 11))
    step = max(1, int(math.hypot(height, width) * 0.01))
    along = rng.choice(np.arange(-sun[0], width - sun[0], step), count)
    centres = np.stack([sun[0] + along * math.cos(angle), sun[1] + along * math.sin(angle)], axis=1)
    radii = rng.integers(1, max(2, int(height * 0.01)) + 1, count) ** 3
    alphas, colours = rng.uniform(0.05, 0.2, count), rng.integers(204, 256, (count, 3))
    return FlareDiscs(alphas, centres.astype(np.int64), radii, colours)


def _blend_discs(crop: Image, discs: FlareDiscs) -> Image:
    """Draw disc after disc on one overlay, blending all of the overlay each time, where any disc lies."""
    overlay, covered, flared = crop.copy(), np.zeros(crop.shape[:2], np.uint8), crop.copy()
    for _, centre, radius, _ in discs:
        cv2.circle(covered, centre, radius, 1, -1)
    places = np.flatnonzero(covered)
    if not len(places):
        return flared
    pixels = crop.reshape(-1, 3)[places]
    for alpha, centre, radius, colour in discs:
        cv2.circle(overlay, centre, radius, colour, -1)
        pixels = _blend(overlay.reshape(-1, 3)[places], alpha, pixels)
    flared.reshape(-1, 3)[places] = pixels
    return flared


@lru_cache(maxsize=8)
def _rings(size: int) -> NDArray[np.int64]:
    """Return (2 size + 1, same): the first of the growing discs to cover each place around the centre."""
    side = 2 * size + 1
    rings = np.full((side, side), _SUN_STEPS, np.uint8)
    radii = np.linspace(1, _SUN_RADIUS, _SUN_STEPS).astype(int)
    for ring in range(_SUN_STEPS - 1, -1, -1):
        cv2.circle(rings, (size, size), int(radii[ring]), ring, -1)
    return rings.astype(np.int64)


def _glow_table(strength: float) -> Table:
    """Return (steps + 1, 256): a value once the discs from a given one on are blended over it in white."""
    alphas = np.linspace(0.0, strength, _SUN_STEPS, dtype=np.float32)[::-1, None] ** 3
    steps = np.rint(255 * alphas + np.arange(256, dtype=np.float32) * (1 - alphas)).astype(np.uint8)
    table = np.empty((_SUN_STEPS + 1, 256), np.uint8)
    table[_SUN_STEPS] = np.arange(256)
    for ring in range(_SUN_STEPS - 1, -1, -1):
        table[ring] = table[ring + 1][steps[ring]]
    return table


_RAIN_TABLE = np.rint(np.arange(256) * 0.7).astype(np.uint8)
_SHADOW_TABLE = (np.arange(256) // 2).astype(np.uint8)


def random_rain(crop: Image, rng: np.random.Generator) -> Image:
    """Blurred grey lines of 20 pixels, one for three lines of pixels, then all of it darker (RandomRain)."""
    height, width = crop.shape[:2]
    slant = uniform(rng, -10, 10)
    drops = rng.integers((0, 0), (width, max(1, height - 20)), (height // 3, 2))
    return draw_rain(crop, slant, drops)


def draw_rain(crop: Image, slant: float, drops: NDArray[np.int64]) -> Image:
    """Draw n drops that begin at the given x, y and end `slant` to the side and 20 below."""
    layer = np.zeros(crop.shape[:2], np.uint8)
    lines = np.stack([drops, drops + np.array([slant, 20])], axis=1).astype(np.int32)
    cv2.polylines(layer, list(lines), False, 200, 1, lineType=cv2.LINE_4)
    layer = cv2.blur(layer, (7, 7))
    return look_up(np.asarray(cv2.add(crop, cv2.merge([layer] * 3)), np.uint8), _RAIN_TABLE)


def random_shadow(crop: Image, rng: np.random.Generator) -> Image:
    """One or two pentagons in the lower half, half as bright (RandomShadow)."""
    height, width = crop.shape[:2]
    count = integer(rng, 1, 2)
    corners = rng.integers((0, height // 2), (width, height), (count, 5, 2)).astype(np.int32)
    return draw_shadows(crop, corners)


def draw_shadows(crop: Image, corners: NDArray[np.int32]) -> Image:
    """Halve the values inside of n polygons of given corners x, y, one polygon after the other."""
    shadowed = crop.copy()
    for polygon in corners:
        left, top, width, height = cv2.boundingRect(polygon)
        inside = np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [polygon], 255, offset=(-left, -top))
        part = shadowed[top : top + height, left : left + width]
        cv2.copyTo(look_up(part, _SHADOW_TABLE), inside, part)
    return shadowed


def random_snow(crop: Image, rng: np.random.Generator) -> Image:
    """Dark pixels bleached, up to a level that is drawn (RandomSnow)."""
    return bleach(crop, uniform(rng, 0.1, 0.3) * 255 / 2 + 255 / 3)


def bleach(crop: Image, level: float) -> Image:
    """Multiply the lightness by 2.5 where it is below `level`."""
    lightness = np.arange(256)
    table = np.where(lightness < level, np.minimum(255, lightness * 2.5), lightness).astype(np.uint8)
    hls = cv2.cvtColor(crop, cv2.COLOR_RGB2HLS)
    cv2.insertChannel(look_up(cv2.extractChannel(hls, 1), table), hls, 1)
    return np.asarray(cv2.cvtColor(hls, cv2.COLOR_HLS2RGB), np.uint8)


WEATHER: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "RandomFog": random_fog,
    "RandomRain": random_rain,
    "RandomShadow": random_shadow,
    "RandomSnow": random_snow,
    "RandomSunFlare": random_sun_flare,
}
