"""Zeiss CZI files by pylibCZIrw: any rectangle of a scene, shrunk by any factor."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

import numpy as np

from reddino.smears.failures import ImageError
from reddino.smears.formats.samples import Samples
from reddino.smears.slides.channels import find_colours, hex_colour
from reddino.smears.slides.interface import Rectangle, SlideReader, pixel_size
from reddino.smears.slides.libraries import library

_MOST_XML = 64_000_000
_METRE = 1e6
#: A level that fits into so many pixels a side is the last.
_SMALLEST = 1024
_KINDS = {"Gray8": 8, "Gray16": 16, "Bgr24": 8, "Bgr48": 16}


class CziReader(SlideReader):
    """A scene of a CZI file; its label and preview are attachments, which are never opened."""

    def __init__(self, path: Path, scene: int) -> None:
        self.path, self.scene = path, scene
        module: Any = library(path, "pylibCZIrw.czi", "a CZI file of Zeiss", "reddino[slides-more]")
        self._file = module.CziReader(str(path))
        self._lock = Lock()
        try:
            self._describe(scene)
        except BaseException:
            self._file.close()
            raise

    def _describe(self, scene: int) -> None:
        box = {
            axis: int(bounds[1]) - int(bounds[0]) for axis, bounds in self._file.total_bounding_box.items()
        }
        if box.get("T", 1) > 1:
            raise ImageError(self.path, f"holds {box['T']} points in time; save the picture that counts")
        scenes = dict(self._file.scenes_bounding_rectangle_no_pyramid)
        self.scenes = max(1, len(scenes))
        self._scene = sorted(scenes)[min(max(scene, 0), len(scenes) - 1)] if scenes else None
        found = scenes[self._scene] if scenes else self._file.total_bounding_rectangle_no_pyramid
        self._origin = (int(found.x), int(found.y))
        self.size = (int(found.w), int(found.h))
        sizes = [self.size]
        while max(sizes[-1]) > _SMALLEST:
            factor = 2 ** len(sizes)
            sizes.append((max(1, self.size[0] // factor), max(1, self.size[1] // factor)))
        self.level_sizes = tuple(sizes)
        self.planes = box.get("Z", 1)
        self._first = {axis: int(bounds[0]) for axis, bounds in self._file.total_bounding_box.items()}
        kinds = dict(self._file.pixel_types)
        if not kinds or len(set(kinds.values())) > 1 or next(iter(kinds.values())) not in _KINDS:
            raise ImageError(
                self.path, f"has samples of kinds {sorted(set(kinds.values()))}, which are not read"
            )
        kind = next(iter(kinds.values()))
        self.bits = _KINDS[kind]
        self._describe_channels(
            _tree(self.path, self._file.raw_metadata), len(kinds), grey=kind.startswith("Gray")
        )

    def _describe_channels(self, tree: ElementTree.Element, count: int, *, grey: bool) -> None:
        scales = {
            one.get("Id", ""): _float(one.findtext("Value"))
            for one in tree.iterfind(".//Scaling/Items/Distance")
        }
        x, y = ((scale * _METRE if (scale := scales.get(axis)) else None) for axis in "XY")
        self.um_per_px = pixel_size(self.path, x, y)
        power = _float(tree.findtext(".//Instrument/Objectives/Objective/NominalMagnification"))
        self.about = {"format": "CZI", "scanner": "Zeiss"} | ({"objective": f"{power:g}x"} if power else {})
        listed = tree.findall(".//Information/Image/Dimensions/Channels/Channel")
        depths = [_float(one.findtext("ComponentBitCount")) for one in listed]
        depth = int(max((one for one in depths if one), default=0))
        self.stated = depth if 8 <= depth < 16 and self.bits == 16 else None
        if not grey:
            if count > 1:
                raise ImageError(self.path, f"has {count} channels of several samples each; save it as RGB")
            return
        names = [one.get("Name", "") for one in listed] if len(listed) == count else [""] * count
        colours = (
            [hex_colour(one.findtext("Color") or "") for one in listed]
            if len(listed) == count
            else [None] * count
        )
        words = [
            f"{one.findtext('ContrastMethod')} {one.findtext('IlluminationType')}".lower() for one in listed
        ]
        emission = any(_float(one.findtext("EmissionWavelength")) for one in listed)
        glowing = any("fluor" in word for word in words) or (
            emission and not any("transmitted" in word for word in words)
        )
        self.channels = tuple(names)
        self.colours = find_colours(names, colours, fluorescence=glowing)

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        x, y, w, h = rectangle
        factor = 2**level
        place = {"C": channel, "Z": self._first.get("Z", 0) + plane, "T": self._first.get("T", 0)}
        with self._lock:
            values = self._file.read(
                roi=(self._origin[0] + x * factor, self._origin[1] + y * factor, w * factor, h * factor),
                plane={axis: number for axis, number in place.items() if axis in self._first},
                scene=self._scene,
                zoom=1 / factor,
                background_pixel=(1.0, 1.0, 1.0),
            )
        values = np.asarray(values)[:h, :w]
        return Samples(
            values[:, :, 0] if values.shape[2] == 1 else values[:, :, ::-1], self.bits, self.stated
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _tree(path: Path, text: str) -> ElementTree.Element:
    if len(text) > _MOST_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(path, "damaged (its metadata are too large or define entities)")
    return ElementTree.fromstring(text)


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
