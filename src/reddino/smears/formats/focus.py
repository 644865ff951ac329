"""Focus planes of a picture: how sharp one is, and one picture of the sharpest parts of all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: The number of a plane that stands for all of them: their sharpest parts. Not 0: some count from there.
ALL_PLANES = -1
#: Pixels (standard deviation) around a place that decide which plane is sharpest there: less than a red cell.
_AROUND = 4.0


def sharpness(values: NDArray[Any]) -> float:
    """Return the variance of the Laplacian of the brightness."""
    return float(_detail(values).var())


def focus_stack(planes: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Return a picture whose every pixel is of the plane that is sharpest around it.

    The sharpest is the one with the largest square of the Laplacian of the brightness, smoothed. Pixels are
    chosen and never mixed; two planes are in memory at once.

    Args:
        planes: at least one, (H, W) or (H, W, 3), all of one shape.

    Raises:
        ValueError: there is none.
    """
    stacked: NDArray[Any] | None = None
    most: NDArray[np.float32] = np.empty(0, np.float32)
    for values in planes:
        energy = np.asarray(cv2.GaussianBlur(np.square(_detail(values)), (0, 0), _AROUND), np.float32)
        if stacked is None:
            stacked, most = np.array(values), energy
            continue
        sharper = energy > most
        stacked[sharper], most[sharper] = values[sharper], energy[sharper]
    if stacked is None:
        raise ValueError("no planes to stack")
    return stacked


def _detail(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the Laplacian of the brightness, (H, W)."""
    grey = values.astype(np.float32)
    if grey.ndim == 3:
        grey = grey.mean(axis=2)
    return np.asarray(cv2.Laplacian(grey, cv2.CV_32F), np.float32)
