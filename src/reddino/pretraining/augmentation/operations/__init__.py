"""The pixel operations of the published configuration at its strengths, computed with OpenCV.

Each draws from the distribution of albumentations' operation of that name (`reference`), though not the same
numbers, and is a function of the crop and the generator alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.operations.blurs import BLURS
from reddino.pretraining.augmentation.operations.colours import COLOURS
from reddino.pretraining.augmentation.operations.noises import NOISES
from reddino.pretraining.augmentation.operations.tones import TONES
from reddino.pretraining.augmentation.operations.weather import WEATHER

Image = NDArray[np.uint8]
Operation = Callable[[Image, np.random.Generator], Image]
"""(s, s, 3) uint8 RGB and a generator -> the changed crop; the argument is left as it is."""

# fmt: off
CONFIGURED = (
    "Blur", "CLAHE", "ChannelShuffle", "ChannelDropout", "ColorJitter", "Defocus", "Downscale", "Emboss",
    "Equalize", "FancyPCA", "GaussNoise", "GaussianBlur", "GlassBlur", "HueSaturationValue", "ISONoise",
    "ImageCompression", "InvertImg", "MedianBlur", "MotionBlur", "MultiplicativeNoise", "Posterize",
    "RandomBrightnessContrast", "RGBShift", "RandomGamma", "RandomRain", "RandomShadow", "RandomSnow",
    "RandomSunFlare", "RandomToneCurve", "RandomFog", "RingingOvershoot", "Sharpen", "Solarize",
)
# fmt: on
"""The names in the order of the published configuration."""

_ALL = {**BLURS, **COLOURS, **NOISES, **TONES, **WEATHER}
PIXEL_OPERATIONS: dict[str, Operation] = {name: _ALL[name] for name in CONFIGURED} | _ALL
"""Name -> the operation, always applied: the draw and its probability are `PixelOperations`'.

First those of `CONFIGURED`, then any others, which recipes may name too.
"""
