"""Pixel operations that add what cameras and file formats add: noise and compression."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations.draws import integer, uniform

Image = NDArray[np.uint8]

_POOL = 2**21  # normal numbers, 8 MB a process: a crop of 224 takes a stretch of 150 thousand


def gauss_noise(crop: Image, rng: np.random.Generator) -> Image:
    """Add normal noise of variance 10 to 50 to each value (GaussNoise).

    A crop's noise is a stretch of two million normal numbers drawn once, from a random place on, forwards or
    backwards and of either sign.
    """
    deviation = uniform(rng, math.sqrt(10), math.sqrt(50))
    if rng.random() < 0.5:
        deviation = -deviation
    return add_noise(crop, _normal_numbers(crop.size, rng).reshape(crop.shape), deviation)


def add_noise(crop: Image, numbers: NDArray[np.float32], deviation: float) -> Image:
    """Add `numbers` (like the crop) times `deviation`, cut to whole levels towards zero as there."""
    noise = (numbers * np.float32(deviation)).astype(np.int16)
    return np.asarray(cv2.add(crop, noise, dtype=cv2.CV_8U), np.uint8)


def _normal_numbers(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if count >= _POOL:
        return rng.standard_normal(count, np.float32)
    start = integer(rng, 0, _POOL - count)
    return _pool()[start : start + count]


@lru_cache(maxsize=1)
def _pool() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_POOL, np.float32)


def iso_noise(crop: Image, rng: np.random.Generator) -> Image:
    """Poisson noise on the lightness, scaled by its spread in the crop (ISONoise).

    The original also turns the hue by a normal angle of at most 0.025 degrees deviation, which is a tenth of
    a level and vanishes when it rounds; here it is left out.
    """
    intensity = uniform(rng, 0.1, 0.5)
    channels = cv2.split(crop)
    largest = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    smallest = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    lightness = cv2.addWeighted(largest, 0.5, smallest, 0.5, 0, dtype=cv2.CV_32F)
    spread = float(cv2.meanStdDev(lightness)[1][0, 0]) / 255
    # A Poisson field is a Poisson number of hits at uniform places: only the pixels hit are computed.
    hits = rng.integers(lightness.size, size=rng.poisson(spread * intensity * lightness.size))
    places, counts = np.unique(hits, return_counts=True)
    noisy = crop.copy()
    if not len(places):
        return noisy
    pixels = noisy.reshape(-1, 3)[places][None].astype(np.float32) / 255
    hls = cv2.cvtColor(pixels, cv2.COLOR_RGB2HLS)
    hls[0, :, 1] += counts * intensity * (1 - hls[0, :, 1])
    changed = np.clip(cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)[0], 0, 1)
    noisy.reshape(-1, 3)[places] = np.rint(changed * 255).astype(np.uint8)
    return noisy


def image_compression(crop: Image, rng: np.random.Generator) -> Image:
    """JPEG of quality 99 or 100 (ImageCompression).

    Red and blue are swapped in between, as in the original, which at these qualities hardly matters.
    """
    encoded = cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, integer(rng, 99, 100)))[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


NOISES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "GaussNoise": gauss_noise,
    "ISONoise": iso_noise,
    "ImageCompression": image_compression,
}
