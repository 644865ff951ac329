"""The configured pixel operations as albumentations 2.0.8 computes them: the reference, needed by no run.

The published code passes no strength to any operation, only the probability, and calls albumentations in its
1.x style: the strengths here are the defaults of those releases, stated wherever 2.0.8 has moved them.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping
from functools import partial

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it looks its version up online
import albumentations as A
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations import CONFIGURED

_STATED_STRENGTH: Mapping[str, Callable[[], A.BasicTransform]] = {
    # 1.x drew the hue shift from a fifth of the circle (+-0.2); 2.0.8 draws from all of it.
    "ColorJitter": partial(A.ColorJitter, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, p=1),
    # 1.x: to a quarter and back, nearest neighbour both ways.
    "Downscale": partial(A.Downscale, scale_range=(0.25, 0.25), p=1),
    # 1.x: variance 10-50 of 255 squared. 2.0.8's default is more than ten times that deviation.
    "GaussNoise": partial(A.GaussNoise, std_range=(math.sqrt(10) / 255, math.sqrt(50) / 255), p=1),
    # 1.x drew an odd kernel of 3-7 pixels, whose deviation OpenCV sets to 0.8-1.4; 2.0.8 goes up to 3.
    "GaussianBlur": partial(A.GaussianBlur, blur_limit=0, sigma_limit=(0.8, 1.4), p=1),
    "ImageCompression": partial(A.ImageCompression, quality_range=(99, 100), p=1),
    # 1.x: drops of 20 pixels; 2.0.8 would take an eighth of the height.
    "RandomRain": partial(A.RandomRain, drop_length=20, p=1),
}

ALBUMENTATIONS: dict[str, Callable[[], A.BasicTransform]] = {
    name: _STATED_STRENGTH.get(name, partial(getattr(A, name), p=1)) for name in CONFIGURED
}
"""Name -> factory of the operation, which is then always applied, in the configured order."""


class AlbumentationsOperation:
    """One of `ALBUMENTATIONS` as a function of a crop and a generator.

    Not to be shared between threads: the operations of albumentations carry their random state.
    """

    def __init__(self, name: str) -> None:
        self._operation = ALBUMENTATIONS[name]()
        self._python_random = random.Random(0)

    def __call__(self, crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the changed (s, s, 3) uint8 RGB crop; the randomness is that of `rng` alone."""
        # albumentations draws from a NumPy and a Python generator, and seeds OpenCV's from the former.
        self._python_random.seed(int(rng.integers(2**63)))
        self._operation.set_random_state(rng, self._python_random)
        changed: NDArray[np.uint8] = self._operation(image=crop)["image"]
        return changed
