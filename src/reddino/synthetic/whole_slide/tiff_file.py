"""A synthetic slide as a pyramidal tiled TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reddino.synthetic.whole_slide.levels import JPEG_QUALITY, TILE, slide_levels
from reddino.synthetic.whole_slide.pixels import SlidePixels
from reddino.synthetic.whole_slide.settings import SlideSettings

_JPEG: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": JPEG_QUALITY}}
_LOSSLESS: dict[str, Any] = {"compression": "zlib", "predictor": 2}


def write_tiff(path: Path, pixels: SlidePixels, settings: SlideSettings) -> None:
    """Write the levels of a slide, one page each."""
    from tifffile import TiffWriter  # slow to import

    per_cm = 1e4 / settings.um_per_px
    with TiffWriter(path, bigtiff=True) as file:
        for level in slide_levels(pixels, settings, path.parent):
            file.write(
                level.tiles,
                shape=level.shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                subfiletype=0 if level.number == 0 else 1,
                resolution=(per_cm / level.factor, per_cm / level.factor),
                resolutionunit="CENTIMETER",
                metadata=None,
                **(_LOSSLESS if settings.lossless else _JPEG),
            )
