"""DICOM whole slides by wsidicom; a slide is named by any file of it, and its label is never opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import require_memory
from reddino.smears.formats.samples import Samples
from reddino.smears.slides.dicom_series import slide_files
from reddino.smears.slides.interface import Rectangle, SlideReader, pixel_size
from reddino.smears.slides.libraries import library

#: Pixels of the largest tile.
_TILE = 2**26
_MILLIMETRE = 1e3


class DicomReader(SlideReader):
    """A slide of one DICOM series."""

    def __init__(self, path: Path) -> None:
        self.path = path
        module: Any = library(path, "wsidicom", "a DICOM file", "reddino[slides]")
        files = slide_files(path)
        self._slide = module.WsiDicom.open(list(files))
        try:
            self._describe(next(iter(files.values())).about)
        except BaseException:
            self._slide.close()
            raise

    def _describe(self, about: dict[str, str]) -> None:
        if len(self._slide.pyramids) != 1:
            raise ImageError(
                self.path, f"holds {len(self._slide.pyramids)} pictures in one series; save each alone"
            )
        levels = list(self._slide.levels)
        self._numbers = [int(level.level) for level in levels]
        self.level_sizes = tuple((int(level.size.width), int(level.size.height)) for level in levels)
        self.size = self.level_sizes[0]
        for level in levels:
            require_memory(self.path, int(level.tile_size.width), int(level.tile_size.height), 4, _TILE)
        base = levels[0]
        self._focus = sorted(float(plane) for plane in base.focal_planes)
        self.planes = max(1, len(self._focus))
        if len(base.optical_paths) > 1:
            raise ImageError(
                self.path, f"holds {len(base.optical_paths)} optical paths; save the one that counts"
            )
        if base.default_instance.image_data.samples_per_pixel == 1:
            self.channels, self.colours = ("grey",), (0,)
        self.bits = 16 if base.default_instance.image_data.bits > 8 else 8
        spacing = base.pixel_spacing
        sizes = (
            (None, None) if spacing is None else (spacing.width * _MILLIMETRE, spacing.height * _MILLIMETRE)
        )
        self.um_per_px = pixel_size(self.path, *sizes)
        self.about = {"format": "DICOM"} | about

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        x, y, w, h = rectangle
        focus = self._focus[plane] if self.planes > 1 else None
        values = np.asarray(
            self._slide.read_region((x, y), self._numbers[level], (w, h), z=focus, threads=1, as_array=True)
        )
        if self.channels and values.ndim == 3:
            values = values[:, :, 0]
        return Samples(values, values.dtype.itemsize * 8)

    def close(self) -> None:
        """Close the files."""
        self._slide.close()
