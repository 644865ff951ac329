"""Leica LIF and LOF files by the library liffile: images, and the tiles of a mosaic, are scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.slides.channels import Colour, find_colours
from reddino.smears.slides.frames import FrameReader
from reddino.smears.slides.interface import pixel_size
from reddino.smears.slides.libraries import library

_READ = {"X", "Y", "S", "C", "Z", "M", "T"}
_LUTS: dict[str, Colour] = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
_METRE = 1e6
_MOST_XML = 256_000_000
#: More scenes than a file has that someone made at a microscope.
_MOST_SCENES = 100_000


class LifReader(FrameReader):
    """An image of a LIF file."""

    def __init__(self, path: Path, scene: int) -> None:
        self.path, self.scene = path, scene
        _require_plain(path)
        self._file: Any = library(path, "liffile", "a LIF file of Leica", "reddino[slides]").LifFile(
            str(path)
        )
        try:
            self._describe(scene)
        except BaseException:
            self._file.close()
            raise

    def _describe(self, scene: int) -> None:
        pictures = [
            (image, tile)
            for image in self._file.images
            if {"X", "Y"} <= set(image.sizes)
            for tile in range(min(image.sizes.get("M", 1), _MOST_SCENES))
        ]
        if not pictures:
            raise ImageError(self.path, "holds no picture")
        self.scenes = len(pictures)
        self._image, self._tile = pictures[min(max(scene, 0), len(pictures) - 1)]
        sizes = dict(self._image.sizes)
        if sizes.get("T", 1) > 1:
            raise ImageError(self.path, f"holds {sizes['T']} points in time; save the picture that counts")
        if set(sizes) - _READ:
            raise ImageError(self.path, f"has axes {', '.join(sizes)}, which are not read; save its fields")
        coloured = sizes.get("S", 1) == 3
        if sizes.get("S", 1) not in (1, 3) or (coloured and sizes.get("C", 1) > 1):
            raise ImageError(self.path, "has channels of several samples each; save it as RGB")
        self.planes = sizes.get("Z", 1)
        self._start((sizes["X"], sizes["Y"]), np.dtype(self._image.dtype), samples=3 if coloured else 1)
        self.um_per_px = pixel_size(self.path, self._size_of("X"), self._size_of("Y"))
        self.about = {"format": "LIF", "scanner": "Leica"}
        channels = list(self._image._channels)
        depths = {int(channel.resolution) for channel in channels}
        depth = max(depths, default=0)
        self.stated = depth if 8 <= depth < 16 and self.bits == 16 else None
        if not coloured:
            self.channels = tuple(str(channel.lut_name) for channel in channels) or ("",)
            self.colours = find_colours(
                self.channels, [_LUTS.get(name.lower()) for name in self.channels], fluorescence=False
            )

    def _size_of(self, axis: str) -> float | None:
        """Return the micrometres of a pixel: `length` lies between the middles of the first and the last."""
        for dimension in self._image._dimensions:
            if dimension.label == axis and dimension.number_elements > 1 and dimension.unit == "m":
                return abs(float(dimension.length)) / (int(dimension.number_elements) - 1) * _METRE
        return None

    def _frame(self, plane: int, channel: int) -> NDArray[Any]:
        wanted = {"Z": plane, "C": channel, "M": self._tile}
        sizes = self._image.sizes
        found = self._image.frame(**{axis: place for axis, place in wanted.items() if axis in sizes})
        return np.asarray(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _require_plain(path: Path) -> None:
    """Refuse what the library would follow out of the file: XML that names other files, or defines entities.

    Raises:
        ImageError: it is no LIF or LOF file, or its description is damaged.
    """
    with path.open("rb") as file:
        head = file.read(13)
        if len(head) < 13 or head[:4] != b"\x70\0\0\0" or head[8] != 0x2A:
            raise ImageError(path, "is no LIF file of Leica")
        length = int.from_bytes(head[9:13], "little") * 2
        if length > _MOST_XML:
            raise ImageError(path, "damaged (a description without end)")
        text = file.read(length).decode("utf-16-le", "replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(path, "damaged (its description defines entities)")
