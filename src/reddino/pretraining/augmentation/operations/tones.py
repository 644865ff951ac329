"""Pixel operations that change each value by a table of 256 entries, or each channel by a number.

Tables are cut to whole levels rather than rounded where the original does so.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations.draws import integer, uniform

Image = NDArray[np.uint8]
Table = NDArray[np.uint8]

_LEVELS = np.arange(256, dtype=np.float32)
_UNIT = np.arange(256) * (1 / 255)  # whose last bits decide where a whole level is cut
_SOLARIZED = np.where(_LEVELS >= 127.5, 255 - _LEVELS, _LEVELS).astype(np.uint8)


def look_up(crop: Image, table: Table) -> Image:
    """`table[crop]`."""
    return np.asarray(cv2.LUT(crop, table), np.uint8)


def cut(levels: NDArray[np.floating]) -> Table:
    """Cut (256,) levels to 0-255 and to whole numbers."""
    return np.asarray(np.minimum(np.maximum(levels, 0), 255), np.uint8)


def scale_and_shift(factor: float, shift: float) -> Table:
    """Return the table of factor v + shift."""
    return cut(_LEVELS * np.float32(factor) + np.float32(shift))


def brightness_contrast(crop: Image, rng: np.random.Generator) -> Image:
    """Contrast and brightness by up to a fifth (RandomBrightnessContrast)."""
    factor = 1 + uniform(rng, -0.2, 0.2)
    return look_up(crop, scale_and_shift(factor, 255 * uniform(rng, -0.2, 0.2)))


def multiply(crop: Image, rng: np.random.Generator) -> Image:
    """Multiply all values by one factor (MultiplicativeNoise, which at its default is this)."""
    return look_up(crop, scale_and_shift(uniform(rng, 0.9, 1.1), 0))


def gamma(crop: Image, rng: np.random.Generator) -> Image:
    """Raise to a power of 0.8 to 1.2 (RandomGamma)."""
    return look_up(crop, gamma_table(uniform(rng, 80, 120) / 100))


def gamma_table(power: float) -> Table:
    """Return the table of v to a power, for v from 0 to 1."""
    return (_UNIT**power * 255).astype(np.uint8)


def tone_curve(crop: Image, rng: np.random.Generator) -> Image:
    """Apply a Bezier curve whose two inner heights are drawn around a quarter and three (RandomToneCurve)."""
    low, high = rng.normal((0.25, 0.75), 0.1).clip(0, 1).tolist()
    return look_up(crop, curve_table(low, high))


def curve_table(low: float, high: float) -> Table:
    """Return the table of the cubic Bezier curve from 0 to 1 with these inner heights."""
    rest = 1 - _UNIT
    curve = 3 * rest**2 * _UNIT * low + 3 * rest * _UNIT**2 * high + _UNIT**3
    return np.asarray(np.rint(curve * 255).clip(0, 255), np.uint8)


def posterize(crop: Image, rng: np.random.Generator) -> Image:
    """Keep the four upper bits (Posterize)."""
    return np.asarray(cv2.bitwise_and(crop, (0xF0, 0xF0, 0xF0, 0)), np.uint8)


def solarize(crop: Image, rng: np.random.Generator) -> Image:
    """Invert the upper half of the values (Solarize)."""
    return look_up(crop, _SOLARIZED)


def invert(crop: Image, rng: np.random.Generator) -> Image:
    """Invert all values (InvertImg)."""
    return np.asarray(cv2.bitwise_not(crop), np.uint8)


def shift_channels(crop: Image, rng: np.random.Generator) -> Image:
    """Shift each channel up or down by up to 20 levels (RGBShift)."""
    shifts = tuple(float(int(uniform(rng, -20, 20))) for _ in range(3))
    return np.asarray(cv2.add(crop, (*shifts, 0.0)), np.uint8)


def shuffle_channels(crop: Image, rng: np.random.Generator) -> Image:
    """Put the channels into any order (ChannelShuffle)."""
    channels = cv2.split(crop)
    return np.asarray(cv2.merge([channels[place] for place in rng.permutation(3).tolist()]), np.uint8)


def drop_channel(crop: Image, rng: np.random.Generator) -> Image:
    """One channel black (ChannelDropout)."""
    kept = [255, 255, 255, 255]
    kept[integer(rng, 0, 2)] = 0
    return np.asarray(cv2.bitwise_and(crop, tuple(kept)), np.uint8)


def equalize(crop: Image, rng: np.random.Generator) -> Image:
    """Flatten each channel's histogram (Equalize)."""
    return np.asarray(cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(crop)]), np.uint8)


TONES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "ChannelShuffle": shuffle_channels,
    "ChannelDropout": drop_channel,
    "Equalize": equalize,
    "InvertImg": invert,
    "MultiplicativeNoise": multiply,
    "Posterize": posterize,
    "RandomBrightnessContrast": brightness_contrast,
    "RGBShift": shift_channels,
    "RandomGamma": gamma,
    "RandomToneCurve": tone_curve,
    "Solarize": solarize,
}
