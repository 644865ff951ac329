"""Where the pictures of a manifest lie in their slides."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.regions.measures import Core
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.failures import ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.shards import split_member
from reddino.smears.slides.interface import Rectangle
from reddino.smears.slides.names import SlidePart, split_slide
from reddino.smears.slides.opening import opened
from reddino.smears.slides.regions import slide_regions


@dataclass(frozen=True)
class Place:
    """Where a picture lies.

    Attributes:
        name: its path in the manifest.
        part: of a microscope file; None of a plain picture.
        slide: its name.
        um_per_px: size of a pixel; None: unknown.
        region: number of the region; None of a whole picture, and of a rectangle of someone's own.
        core: left, top, width and height of the region's own part in pixels of level 0, which is all of a
            rectangle of someone's own; None of a picture.
        size: width and height of the slide; None of a picture.
    """

    name: str
    part: SlidePart | None
    slide: str
    um_per_px: float | None
    region: int | None = None
    core: Rectangle | None = None
    size: tuple[int, int] | None = None

    @property
    def slide_key(self) -> str:
        """The slide that a region belongs to; "" of a whole picture, which stands for itself."""
        if self.part is None or self.core is None:
            return ""
        return str(SlidePart(self.part.file, self.part.scene))

    @property
    def corner(self) -> tuple[int, int]:
        """The top-left corner of the picture in its slide."""
        if self.part is None or self.part.rectangle is None:
            return 0, 0
        return self.part.rectangle[:2]

    def core_within(self) -> Core | None:
        """Return the core in pixels of the picture; None of a whole picture."""
        if self.core is None:
            return None
        x, y, w, h = self.core
        return Core(x - self.corner[0], y - self.corner[1], w, h)

    def at_slide_border(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which boxes (n, 4) in pixels of the picture reach the border of the slide.

        At the border of a rectangle of someone's own the slide ends, for those who see no more of it.
        """
        if self.size is None or self.region is None:
            return np.ones(len(boxes), np.bool_)
        left, top = boxes[:, 0] + self.corner[0], boxes[:, 1] + self.corner[1]
        right, bottom = left + boxes[:, 2], top + boxes[:, 3]
        return np.asarray(
            (left < 2) | (top < 2) | (right > self.size[0] - 2) | (bottom > self.size[1] - 2), np.bool_
        )

    def state(self, root: Path) -> tuple[int, int]:
        """Return size and time of change of the picture's file; zeros where it is not there."""
        member = split_member(root / self.name)
        path = root / self.part.file if self.part else (member[0] if member else root / self.name)
        try:
            found = os.stat(path)  # noqa: PTH116 - as in smears.contents
        except OSError:
            return 0, 0
        return found.st_size, found.st_mtime_ns


def places_of(manifest: Manifest) -> list[Place]:
    """Return where each picture of a manifest lies, in the order of its images."""
    names, codes = manifest.images()
    first = np.unique(codes, return_index=True)[1]
    slides = np.array(manifest.strings("slide"), dtype=object)[first].tolist()
    scales = [""] * len(names)
    if UM_PER_PX in manifest.table.column_names:
        scales = np.array(manifest.strings(UM_PER_PX), dtype=object)[first].tolist()
    cores: dict[str, tuple[dict[Rectangle, tuple[int, Rectangle]], tuple[int, int]]] = {}
    return [
        _place(manifest.root, name, str(slide), _scale(str(scale)), cores)
        for name, slide, scale in zip(names, slides, scales, strict=True)
    ]


def _place(
    root: Path,
    name: str,
    slide: str,
    um_per_px: float | None,
    cores: dict[str, tuple[dict[Rectangle, tuple[int, Rectangle]], tuple[int, int]]],
) -> Place:
    part = split_slide(name)
    if part is None:
        return Place(name, None, slide, um_per_px)
    if part.rectangle is None:
        return Place(name, part, slide, um_per_px)
    key = str(SlidePart(part.file, part.scene))
    if key not in cores:
        cores[key] = _cores(root / part.file, part.scene)
    known, size = cores[key]
    if part.rectangle not in known:
        if size == (0, 0):  # whoever decodes it reports what is wrong with it
            return Place(name, part, slide, um_per_px)
        # A rectangle of someone's own: all of it counts.
        return Place(name, part, slide or part.file.stem, um_per_px, None, part.rectangle, size)
    number, core = known[part.rectangle]
    return Place(name, part, slide or part.file.stem, um_per_px, number, core, size)


def _cores(file: Path, scene: int | None) -> tuple[dict[Rectangle, tuple[int, Rectangle]], tuple[int, int]]:
    """Return number and core of the regions of a slide by their rectangle, and the slide's size."""
    try:
        with opened(file, scene or 0) as reader:
            regions = slide_regions(reader)
            return {one.rectangle: (one.number, one.core) for one in regions}, reader.size
    except ImageError:
        return {}, (0, 0)


def _scale(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 else None
