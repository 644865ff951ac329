"""What is no cell, drawn into a picture: scale bars, letters, pointers, fibres, dirt, stain, rings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
TEXTS = ("50.00 um", "10 um", "100x", "A3", "20 microns", "1.25", "Slide 4", "N")
INK = ((0, 0, 0), (255, 255, 255), (60, 120, 220), (220, 40, 40), (250, 220, 40))


@dataclass(frozen=True)
class _Look:
    """How a drawn layer is laid over a picture: its colour, softness in pixels, and opacity."""

    colour: Floats
    blur: float
    opacity: float


def _bar(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    thick = max(1, round(typical * float(rng.uniform(0.02, 0.08))))
    left, right = int(at[0]), int(at[0] + typical * float(rng.uniform(0.8, 2.5)))
    y = int(at[1])
    cv2.line(layer, (left, y), (right, y), 255, thick)
    for x in (left, right):
        cv2.line(layer, (x, y - 3 * thick), (x, y + 3 * thick), 255, thick)
    return _letters(layer, at - [0, 4 * thick], typical, rng)


def _letters(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    thick = max(1, round(typical * float(rng.uniform(0.02, 0.08))))
    size = typical / float(rng.uniform(40, 90))
    place = (int(at[0]), int(at[1]))
    text = str(rng.choice(TEXTS))
    cv2.putText(layer, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
    return _Look(np.array(INK[int(rng.integers(len(INK)))], np.float64), 0.0, 1.0)


def _pointer(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    turn = float(rng.uniform(0, 2 * np.pi))
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]]) * typical
    tail = at + along * 3 * max(layer.shape)
    narrow, wide = float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.3, 2.5))
    shape = [at - narrow * across, at + narrow * across, tail + wide * across, tail - wide * across]
    cv2.fillPoly(layer, [np.rint(shape).astype(np.int32)], 255)
    return _Look(rng.uniform(0, 70, 3), typical * float(rng.uniform(0.02, 0.2)), float(rng.uniform(0.6, 1)))


def _fibre(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    thick = max(2, round(typical * float(rng.uniform(0.04, 0.16))))
    turns = 0.25 * np.cumsum(rng.standard_normal(14)) + float(rng.uniform(0, 2 * np.pi))
    path = at + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1) * typical * 0.4, axis=0)
    cv2.polylines(layer, [np.rint(path).astype(np.int32)], False, 255, thick, cv2.LINE_AA)
    return _Look(rng.uniform(20, 130, 3), typical * float(rng.uniform(0, 0.1)), float(rng.uniform(0.4, 1)))


def _grain(layer: Picture, at: Floats, radius: float, rng: np.random.Generator) -> None:
    turns = np.sort(rng.uniform(0, 2 * np.pi, 9))
    out = radius * rng.uniform(0.5, 1.2, 9)
    shape = at + np.stack([np.cos(turns), np.sin(turns)], axis=1) * out[:, None]
    cv2.fillPoly(layer, [np.rint(shape).astype(np.int32)], 255, cv2.LINE_AA)


def _dirt(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    _grain(layer, at, typical * float(rng.uniform(0.15, 0.6)), rng)
    return _Look(rng.uniform(0, 90, 3), typical * float(rng.uniform(0, 0.08)), float(rng.uniform(0.6, 1)))


def _stain(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    for _ in range(int(rng.integers(3, 30))):
        place = at + 0.4 * typical * rng.standard_normal(2)
        _grain(layer, place, typical * float(rng.uniform(0.03, 0.12)), rng)
    colour = rng.uniform([60, 20, 100], [130, 80, 170])
    return _Look(colour, typical * float(rng.uniform(0, 0.08)), float(rng.uniform(0.6, 1)))


def _ring(layer: Picture, at: Floats, typical: float, rng: np.random.Generator) -> _Look:
    radius = max(2, round(typical * float(rng.uniform(0.15, 0.6))))
    thick = max(1, round(typical * float(rng.uniform(0.02, 0.08))))
    cv2.circle(layer, (int(at[0]), int(at[1])), radius, 255, thick, cv2.LINE_AA)
    return _Look(rng.uniform(0, 90, 3), typical * float(rng.uniform(0, 0.08)), float(rng.uniform(0.6, 1)))


DRAWN: tuple[Callable[[Picture, Floats, float, np.random.Generator], _Look], ...] = (
    *(_bar, _letters, _pointer, _fibre),
    *(_dirt, _stain, _ring),
)


def with_foreign(
    image: Picture, typical: float, rng: np.random.Generator
) -> tuple[Picture, NDArray[np.bool_]]:
    """Return a picture (H, W, 3) with one thing drawn into it that is no cell, and where it is (H, W).

    Args:
        image: RGB.
        typical: red-cell diameter in pixels.
        rng: what and where.
    """
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    at = rng.uniform([0.1 * width, 0.1 * height], [0.9 * width, 0.9 * height])
    look = DRAWN[int(rng.integers(len(DRAWN)))](layer, at, typical, rng)
    alpha = layer.astype(np.float32) / 255 * np.float32(look.opacity)
    if look.blur > 0.3:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), look.blur))
    painted = image * (1 - alpha[..., None]) + alpha[..., None] * look.colour.astype(np.float32)
    return np.clip(np.rint(painted), 0, 255).astype(np.uint8), np.asarray(alpha > 0.3)
