"""Whole slides by OpenSlide: SVS, NDPI, MRXS, SCN, BIF, SVSLIDE, VMS, and TIFF files of scanners."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reddino.smears.failures import ImageError
from reddino.smears.formats.samples import Samples
from reddino.smears.slides.interface import Rectangle, SlideReader, pixel_size
from reddino.smears.slides.libraries import library

_VENDORS = {
    "aperio": "Aperio", "hamamatsu": "Hamamatsu", "mirax": "3DHISTECH", "leica": "Leica",
    "ventana": "Ventana", "philips": "Philips", "trestle": "Trestle", "sakura": "Sakura", "zeiss": "Zeiss",
}  # fmt: skip


class OpenSlideReader(SlideReader):
    """A slide that OpenSlide opens; its labels and overviews are never touched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        openslide = library(path, "openslide", "a whole slide", "reddino[slides]")
        if openslide.OpenSlide.detect_format(str(path)) is None:
            raise ImageError(path, "is no slide that OpenSlide reads, or is damaged")
        self._slide: Any = openslide.OpenSlide(str(path))
        try:
            self._describe(self._slide.properties)
        except BaseException:
            self._slide.close()
            raise

    def _describe(self, properties: Mapping[str, str]) -> None:
        bounds = [
            _whole(properties.get(f"openslide.bounds-{side}")) for side in ("x", "y", "width", "height")
        ]
        sizes = [(int(width), int(height)) for width, height in self._slide.level_dimensions]
        factors = [float(factor) for factor in self._slide.level_downsamples]
        x, y = bounds[0] or 0, bounds[1] or 0
        width, height = bounds[2] or sizes[0][0], bounds[3] or sizes[0][1]
        # Scanners of some makers give a canvas of which only a part was scanned.
        self._origin = (min(x, sizes[0][0] - 1), min(y, sizes[0][1] - 1))
        self.size = (min(width, sizes[0][0] - self._origin[0]), min(height, sizes[0][1] - self._origin[1]))
        self._factors = factors
        self.level_sizes = tuple(
            (max(1, min(int(self.size[0] / factor), of[0])), max(1, min(int(self.size[1] / factor), of[1])))
            for factor, of in zip(factors, sizes, strict=True)
        )
        self.um_per_px = pixel_size(
            self.path, _number(properties.get("openslide.mpp-x")), _number(properties.get("openslide.mpp-y"))
        )
        colour = properties.get("openslide.background-color", "FFFFFF")
        self._background = np.frombuffer(bytes.fromhex(colour[:6].rjust(6, "F")), np.uint8)
        vendor = properties.get("openslide.vendor", "")
        about = {"format": vendor, "scanner": _VENDORS.get(vendor, "")}
        power = _number(properties.get("openslide.objective-power"))
        self.about = about | ({"objective": f"{power:g}x"} if power else {})

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        x, y, w, h = rectangle
        factor = self._factors[level]
        corner = (self._origin[0] + round(x * factor), self._origin[1] + round(y * factor))
        found = np.asarray(self._slide.read_region(corner, level, (w, h)))
        pixels = np.ascontiguousarray(found[:, :, :3])
        unseen = found[:, :, 3] < 255
        if unseen.any():
            # Pillow's RGBA is not multiplied by alpha: blend it with what the scanner calls empty.
            alpha = found[unseen][:, 3:].astype(np.float32) / 255
            blended = pixels[unseen] * alpha + self._background * (1 - alpha)
            pixels[unseen] = np.rint(blended).astype(np.uint8)
        return Samples(pixels, 8)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None and 0 <= number < 2**31 else None
