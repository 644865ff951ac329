"""The paper's pixel operations by name, and the draw of four of them for each crop.

The published configuration lists 33 names while the paper says 32; nothing published tells which one the
paper leaves out, so `PIXEL_OPERATIONS` holds all 33 in the configured order and a recipe may leave any out
by name. albumentations 2.0.8 computes them; this module alone knows that, so that they can be replaced one
by one.
The published code passes no strength to any operation, only the probability, and calls albumentations in its
1.x style: the strengths here are the defaults of those releases, stated wherever 2.0.8 has moved them.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # else importing it asks the network for its newest version

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from reddino.errors import RedDinoError

Image = npt.NDArray[np.uint8]

# fmt: off
_CONFIGURED = (
    "Blur", "CLAHE", "ChannelShuffle", "ChannelDropout", "ColorJitter", "Defocus", "Downscale", "Emboss",
    "Equalize", "FancyPCA", "GaussNoise", "GaussianBlur", "GlassBlur", "HueSaturationValue", "ISONoise",
    "ImageCompression", "InvertImg", "MedianBlur", "MotionBlur", "MultiplicativeNoise", "Posterize",
    "RandomBrightnessContrast", "RGBShift", "RandomGamma", "RandomRain", "RandomShadow", "RandomSnow",
    "RandomSunFlare", "RandomToneCurve", "RandomFog", "RingingOvershoot", "Sharpen", "Solarize",
)
# fmt: on

_STATED_STRENGTH: Mapping[str, Callable[[], A.BasicTransform]] = {
    # 1.x drew the hue shift from a fifth of the circle (+-0.2); 2.0.8 draws from all of it.
    "ColorJitter": partial(A.ColorJitter, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, p=1),
    # 1.x: to a quarter and back, nearest neighbour both ways.
    "Downscale": partial(A.Downscale, scale_range=(0.25, 0.25), p=1),
    # 1.x: variance 10-50 of 255 squared. 2.0.8's default is more than twenty times that deviation.
    "GaussNoise": partial(A.GaussNoise, std_range=(math.sqrt(10) / 255, math.sqrt(50) / 255), p=1),
    # 1.x drew an odd kernel of 3-7 pixels, whose deviation OpenCV sets to 0.8-1.4; 2.0.8 goes up to 3.
    "GaussianBlur": partial(A.GaussianBlur, blur_limit=0, sigma_limit=(0.8, 1.4), p=1),
    "ImageCompression": partial(A.ImageCompression, quality_range=(99, 100), p=1),
    # 1.x: drops of 20 pixels; 2.0.8 would take an eighth of the height.
    "RandomRain": partial(A.RandomRain, drop_length=20, p=1),
}

PIXEL_OPERATIONS: dict[str, Callable[[], A.BasicTransform]] = {
    name: _STATED_STRENGTH.get(name, partial(getattr(A, name), p=1)) for name in _CONFIGURED
}
"""Name -> factory of the operation, always applied: the draw and its probability are `PixelOperations`'."""


class PixelOperations:
    """Apply `choose` different operations, drawn uniformly, in the drawn order, each with `probability`.

    This is albumentations' `SomeOf(n, replace=False)`, except that 2.0.8 sorts the drawn operations back
    into the order of the list, so that an early one would never follow a late one. Not to be shared between
    threads: the operations of albumentations carry their random state.
    """

    def __init__(self, names: Sequence[str], choose: int = 4, probability: float = 0.85) -> None:
        """Build the operations once.

        Args:
            names: operations to draw from, keys of `PIXEL_OPERATIONS`; empty switches pixel operations off.
            choose: how many different ones are drawn for a crop.
            probability: that a drawn one is applied.

        Raises:
            RedDinoError: a name is unknown or given twice, or there are fewer names than `choose`.
        """
        unknown = [name for name in names if name not in PIXEL_OPERATIONS]
        if unknown:
            raise RedDinoError(
                f"Unknown pixel operation {', '.join(unknown)}; choose among {', '.join(PIXEL_OPERATIONS)}."
            )
        if len(set(names)) < len(names):
            raise RedDinoError("A pixel operation is listed twice; list each name once.")
        if names and choose > len(names):
            raise RedDinoError(
                f"Cannot draw {choose} pixel operations from {len(names)}; list more or draw fewer."
            )
        self.names = tuple(names)
        self.choose = choose if names else 0
        self.probability = probability
        self._operations = [PIXEL_OPERATIONS[name]() for name in names]
        self._python_random = random.Random(0)

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Indices into `names` of the operations to apply, in order of application."""
        if not self.choose:
            return []
        drawn = rng.choice(len(self.names), size=self.choose, replace=False)
        applied = rng.random(self.choose) < self.probability
        return [int(index) for index, apply in zip(drawn, applied, strict=True) if apply]

    def __call__(self, crop: Image, rng: np.random.Generator) -> Image:
        """Return the changed crop, a function of `crop` and the state of `rng` alone.

        Args:
            crop: (s, s, 3) uint8 RGB; it is not modified.
        """
        for index in self.draw(rng):
            crop = self.apply(index, crop, rng)
        return crop

    def apply(self, index: int, crop: Image, rng: np.random.Generator) -> Image:
        """Apply operation `names[index]` to a (s, s, 3) uint8 RGB crop with the randomness of `rng`."""
        operation = self._operations[index]
        # albumentations draws from a NumPy generator, a Python one and (GaussNoise) OpenCV's of this thread.
        python_seed, opencv_seed = rng.integers(2**31, size=2)
        self._python_random.seed(int(python_seed))
        cv2.setRNGSeed(int(opencv_seed))
        operation.set_random_state(rng, self._python_random)
        changed: Image = operation(image=crop)["image"]
        return changed
