"""Pixel operations that mix the channels, most of them in another colour space."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations.draws import uniform
from reddino.pretraining.augmentation.operations.tones import cut, look_up, scale_and_shift

Image = NDArray[np.uint8]
_LEVELS = np.arange(256)


def clahe(crop: Image, rng: np.random.Generator) -> Image:
    """Contrast of the lightness evened out over 8 x 8 tiles (CLAHE)."""
    equalizer = cv2.createCLAHE(uniform(rng, 1, 4), (8, 8))
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    cv2.insertChannel(equalizer.apply(cv2.extractChannel(lab, 0)), lab, 0)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def color_jitter(crop: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation by up to a fifth, hue by up to a fifth of the circle (ColorJitter)."""
    factors = [uniform(rng, 0.8, 1.2) for _ in range(3)]
    return jitter(crop, [*factors, uniform(rng, -0.2, 0.2)], rng.permutation(4).tolist())


def jitter(crop: Image, factors: Sequence[float], order: Sequence[int]) -> Image:
    """Brightness, contrast, saturation, hue, in the order of their numbers."""
    for number in order:
        crop = _JITTERS[number](crop, factors[number])
    return crop


def _brightness(crop: Image, factor: float) -> Image:
    return look_up(crop, scale_and_shift(factor, 0))


def _contrast(crop: Image, factor: float) -> Image:
    mean = cv2.mean(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))[0]
    return look_up(crop, scale_and_shift(factor, mean * (1 - factor)))


def _saturation(crop: Image, factor: float) -> Image:
    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(crop, factor, grey, 1 - factor, 0), np.uint8)


def _hue(crop: Image, turn: float) -> Image:
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
    cv2.insertChannel(look_up(cv2.extractChannel(hsv, 0), _hue_table(180 * turn)), hsv, 0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


_JITTERS: tuple[Callable[[Image, float], Image], ...] = (_brightness, _contrast, _saturation, _hue)


def _hue_table(shift: float) -> Image:
    """Return OpenCV's hues, half degrees below 180, turned by `shift` of them."""
    return np.asarray(np.mod(_LEVELS + shift, 180), np.uint8)


def hue_saturation_value(crop: Image, rng: np.random.Generator) -> Image:
    """Hue by up to 40 degrees, saturation by up to 30 levels, value by up to 20 (HueSaturationValue)."""
    return shift_hsv(crop, uniform(rng, -20, 20), uniform(rng, -30, 30), uniform(rng, -20, 20))


def shift_hsv(crop: Image, hue: float, saturation: float, value: float) -> Image:
    """Add to each in OpenCV's units; grey pixels stay grey."""
    channels = cv2.split(cv2.cvtColor(crop, cv2.COLOR_RGB2HSV))
    saturations = _shifted(saturation)
    saturations[0] = 0
    tables = _hue_table(hue), saturations, _shifted(value)
    shifted = [look_up(channel, table) for channel, table in zip(channels, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(shifted), cv2.COLOR_HSV2RGB), np.uint8)


def _shifted(shift: float) -> Image:
    return cut(_LEVELS + float(int(shift)))


def fancy_pca(crop: Image, rng: np.random.Generator) -> Image:
    """Move colours along the principal components of the crop, by their variance (FancyPCA)."""
    return shift_along_components(crop, rng.normal(0, 0.1, 3))


def shift_along_components(crop: Image, alphas: NDArray[np.float64]) -> Image:
    """Add to each pixel its deviation from the mean times alpha times variance, for each component."""
    pixels = crop.reshape(-1, 3)
    mean = np.array(cv2.mean(crop)[:3])
    products = cv2.mulTransposed(pixels, True, dtype=cv2.CV_64F)
    count = len(pixels)
    covariance = (products - count * np.outer(mean, mean)) / (count - 1) / 255**2
    values, vectors = np.linalg.eigh(covariance)
    shift = vectors[:, ::-1] * (alphas * values[::-1])
    matrix = np.column_stack([np.eye(3) + shift, -shift @ mean])
    # In float: for bytes OpenCV would round the matrix to ten bits.
    moved = cv2.transform(crop.astype(np.float32), matrix)
    return np.asarray(cv2.convertScaleAbs(cv2.threshold(moved, 0, 0, cv2.THRESH_TOZERO)[1]), np.uint8)


COLOURS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "CLAHE": clahe,
    "ColorJitter": color_jitter,
    "FancyPCA": fancy_pca,
    "HueSaturationValue": hue_saturation_value,
}
