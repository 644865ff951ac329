"""OME-Zarr folders by zarr, after their metadata were read as what they are: text that others wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reddino.smears.failures import ImageError
from reddino.smears.formats.samples import Samples
from reddino.smears.slides.channels import find_colours, hex_colour
from reddino.smears.slides.interface import Rectangle, SlideReader, pixel_size
from reddino.smears.slides.libraries import library
from reddino.smears.slides.zarr_metadata import open_multiscale, series_folders

_UNITS = {"micrometer": 1.0, "micrometre": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "meter": 1e6}


class ZarrReader(SlideReader):
    """An image of an OME-Zarr folder."""

    def __init__(self, path: Path, scene: int) -> None:
        self.path, self.scene = path, scene
        zarr: Any = library(path, "zarr", "an OME-Zarr folder", "reddino[slides-more]")
        folders = series_folders(path)
        self.scenes = len(folders)
        found = open_multiscale(path, folders[min(max(scene, 0), len(folders) - 1)])
        self._axes = found.axes
        self._arrays = [
            zarr.open_array(str(folder), mode="r", zarr_format=version)
            for folder, version in found.arrays.items()
        ]
        sizes = [dict(zip(self._axes, array.shape, strict=True)) for array in self._arrays]
        if sizes[0].get("t", 1) > 1:
            raise ImageError(path, f"holds {sizes[0]['t']} points in time; save the picture that counts")
        self.level_sizes = tuple((int(one["x"]), int(one["y"])) for one in sizes)
        self.size = self.level_sizes[0]
        self.planes = sizes[0].get("z", 1)
        self.bits = self._arrays[0].dtype.itemsize * 8
        self.about = {"format": "OME-Zarr"}
        scale = [
            None if factor is None or unit not in _UNITS else factor * _UNITS[unit]
            for factor, unit in (found.pixel("x"), found.pixel("y"))
        ]
        self.um_per_px = pixel_size(path, scale[0], scale[1])
        self._describe_channels(found.channels, sizes[0].get("c", 1))

    def _describe_channels(self, listed: list[Mapping[str, Any]], count: int) -> None:
        matching = listed if len(listed) == count else []
        names = [str(one.get("label", "")) for one in matching] or [""] * count
        colours = [hex_colour(str(one.get("color", ""))) for one in matching] or [None] * count
        self.channels = tuple(names)
        self.colours = find_colours(names, colours, fluorescence=False)

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        x, y, w, h = rectangle
        place = {"x": slice(x, x + w), "y": slice(y, y + h), "z": plane, "c": channel, "t": 0}
        values = np.asarray(self._arrays[level][tuple(place[axis] for axis in self._axes)])
        if self._axes.index("x") < self._axes.index("y"):
            values = values.T
        return Samples(values, self.bits)

    def close(self) -> None:
        """Do nothing: the files of the chunks are closed after each reading."""
