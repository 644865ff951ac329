"""Pixel operations that mix neighbouring pixels: blurs, sharpening, embossing, coarser pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from reddino.pretraining.augmentation.operations.draws import integer, odd, uniform

Image = NDArray[np.uint8]
Kernel = NDArray[np.float32]

_LARGEST_DIRECT = (
    121  # weights; past that OpenCV goes through a Fourier transform, which it does best in bytes
)


def convolve(crop: Image, kernel: Kernel) -> Image:
    """Correlate with a kernel, rounded; borders mirrored without the edge.

    OpenCV convolves floats two to three times as fast as bytes, of which it makes floats for each weight.
    """
    if kernel.size > _LARGEST_DIRECT:
        return np.asarray(cv2.filter2D(crop, -1, kernel), np.uint8)
    blurred = cv2.filter2D(crop.astype(np.float32), -1, kernel)
    if kernel.min() < 0:
        blurred = cv2.threshold(blurred, 0, 0, cv2.THRESH_TOZERO)[1]
    return np.asarray(cv2.convertScaleAbs(blurred), np.uint8)


def box_blur(crop: Image, rng: np.random.Generator) -> Image:
    """Take the mean of a square of 3, 5 or 7 pixels (Blur)."""
    side = odd(rng, 3, 7)
    return np.asarray(cv2.blur(crop, (side, side)), np.uint8)


def median_blur(crop: Image, rng: np.random.Generator) -> Image:
    """Take the median of a square of 3, 5 or 7 pixels (MedianBlur)."""
    return np.asarray(cv2.medianBlur(crop, odd(rng, 3, 7)), np.uint8)


def gaussian_blur(crop: Image, rng: np.random.Generator) -> Image:
    """Blur by a Gaussian of 0.8 to 1.4 pixels, cut at 3.5 of them (GaussianBlur)."""
    kernel = gaussian_kernel(uniform(rng, 0.8, 1.4))
    return np.asarray(cv2.sepFilter2D(crop, -1, kernel, kernel), np.uint8)


def gaussian_kernel(deviation: float) -> NDArray[np.float64]:
    """Return the weights of one direction."""
    reach = int(deviation * 3.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.asarray(weights / weights.sum())


def motion_blur(crop: Image, rng: np.random.Generator) -> Image:
    """Take the mean along a line of up to 7 pixels, which need not go through the middle (MotionBlur)."""
    side, angle, bias = odd(rng, 3, 7), uniform(rng, 0, 360), uniform(rng, -1, 1)
    reach = side // 2
    shift = uniform(rng, -1, 1) * reach / 2, uniform(rng, -1, 1) * reach / 2
    return convolve(crop, motion_kernel(side, angle, bias, shift))


def motion_kernel(side: int, angle: float, bias: float, shift: tuple[float, float]) -> Kernel:
    """Equal weights on the pixels of a line.

    Args:
        side: of the kernel.
        angle: of the line in degrees.
        bias: -1 for only its backward half, 1 for its forward one, 0 for both alike.
        shift: of its middle, x and y in pixels.
    """
    reach = side // 2
    start, end = -reach * (1 - max(0.0, bias)), reach * (1 - max(0.0, -bias))
    step = (end - start) / (side - 1)
    x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    kernel = np.zeros((side, side), np.float32)
    for number in range(side):
        along = start + number * step
        line, column = round(reach + y * along + shift[1]), round(reach + x * along + shift[0])
        kernel[min(max(line, 0), side - 1), min(max(column, 0), side - 1)] = 1
    return kernel / np.float32(kernel.sum())


def defocus(crop: Image, rng: np.random.Generator) -> Image:
    """Take the mean of a disc of 3 to 10 pixels' radius with a slightly blurred edge (Defocus)."""
    return convolve(crop, disc_kernel(integer(rng, 3, 10), uniform(rng, 0.1, 0.5)))


def disc_kernel(radius: int, edge: float) -> Kernel:
    """Equal weights on a disc, blurred by a Gaussian of deviation `edge`, without lines of zeros around."""
    blur = 3 if radius <= 8 else 5
    # The original's frame: wide enough that only discs of 8 and more touch it, where the blur is mirrored.
    frame = max(8, radius)
    places = np.arange(-frame, frame + 1)
    disc = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disc / disc.sum(), (blur, blur), sigmaX=edge)
    margin = max(0, frame - radius - blur // 2)
    return np.asarray(kernel[margin : 2 * frame + 1 - margin, margin : 2 * frame + 1 - margin], np.float32)


def ringing(crop: Image, rng: np.random.Generator) -> Image:
    """Apply a low pass with a sharp limit, whose kernel of 7 to 15 pixels rings (RingingOvershoot)."""
    return convolve(crop, ringing_kernel(odd(rng, 7, 15), uniform(rng, math.pi / 4, math.pi / 2)))


def ringing_kernel(side: int, limit: float) -> Kernel:
    """Return the low pass limit J1(limit r) / (2 pi r), limit in radians per pixel, cut to a square."""
    distance, place = _distances(side)
    profile = np.full(len(distance), limit**2 / (4 * math.pi))  # its value at r = 0
    profile[1:] = limit * special.j1(limit * distance[1:]) / (2 * math.pi * distance[1:])
    kernel = profile[place]
    return np.asarray(kernel / kernel.sum(), np.float32)


@lru_cache(maxsize=8)
def _distances(side: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct distances from the middle of a square, and (side, side) their numbers by place."""
    places = np.arange(side) - side // 2
    distance, place = np.unique(np.hypot(places[:, None], places), return_inverse=True)
    return distance, place.reshape(side, side)


def sharpen(crop: Image, rng: np.random.Generator) -> Image:
    """Partly an edge-enhancing filter, which also lightens or darkens (Sharpen)."""
    fraction, lightness = uniform(rng, 0.2, 0.5), uniform(rng, 0.5, 1.0)
    kernel = np.full((3, 3), -fraction, np.float32)
    kernel[1, 1] = 1 - fraction + fraction * (8 + lightness)
    return convolve(crop, kernel)


def emboss(crop: Image, rng: np.random.Generator) -> Image:
    """Partly a slope from the upper left to the lower right (Emboss)."""
    fraction, strength = uniform(rng, 0.2, 0.5), uniform(rng, 0.2, 0.7)
    outer, inner = fraction * (1 + strength), fraction * strength
    kernel = [[-outer, -inner, 0], [-inner, 1, inner], [0, inner, outer]]
    return convolve(crop, np.array(kernel, np.float32))


def downscale(crop: Image, rng: np.random.Generator) -> Image:
    """Every fourth pixel, four times as large (Downscale)."""
    height, width = crop.shape[:2]
    small = cv2.resize(crop, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def glass_blur(crop: Image, rng: np.random.Generator) -> Image:
    """Every pixel changes places with one up to four away, twice, between two slight blurs (GlassBlur)."""
    pixels = (crop.shape[0] - 8) * (crop.shape[1] - 8)
    # Bytes, since numpy draws bounded small integers one by one.
    steps = np.frombuffer(rng.bytes(2 * pixels), np.uint8) & np.uint8(63)
    return swap_pixels(crop, steps.reshape(2, pixels))


def swap_pixels(crop: Image, rounds: NDArray[np.uint8]) -> Image:
    """Swap pixels, blurring before and after.

    Args:
        crop: (h, w, 3).
        rounds: (n, (h - 8) (w - 8)) below 64: the step of each inner pixel in each round, 8 (dy + 4) + dx +
            4; pixels go from bottom to top within columns from right to left.
    """
    height, width = crop.shape[:2]
    blurred = cv2.GaussianBlur(crop, (0, 0), 0.7)
    # Four bytes a pixel, so that a pixel moves as one number.
    pixels = cv2.cvtColor(blurred, cv2.COLOR_RGB2RGBA).reshape(-1).view(np.uint32)
    here, steps = _glass_order(height, width)
    for numbers in rounds:
        there = here + steps.take(numbers)
        from_here, from_there = pixels.take(here), pixels.take(there)
        pixels[here] = from_there
        pixels[there] = from_here
    moved = cv2.cvtColor(pixels.view(np.uint8).reshape(height, width, 4), cv2.COLOR_RGBA2RGB)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), 0.7), np.uint8)


@lru_cache(maxsize=8)
def _glass_order(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat places in the order in which they are moved, which settles collisions; the 64 steps."""
    lines, columns = np.arange(height - 4, 4, -1), np.arange(width - 4, 4, -1)
    places = (lines[None] * width + columns[:, None]).reshape(-1)
    steps = (np.arange(-4, 4)[:, None] * width + np.arange(-4, 4)).reshape(-1)
    return places, steps


BLURS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "Blur": box_blur,
    "Defocus": defocus,
    "Downscale": downscale,
    "Emboss": emboss,
    "GaussianBlur": gaussian_blur,
    "GlassBlur": glass_blur,
    "MedianBlur": median_blur,
    "MotionBlur": motion_blur,
    "RingingOvershoot": ringing,
    "Sharpen": sharpen,
}
