"""The interface of microscope files: what a reader of a format offers, whatever library is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats.focus import ALL_PLANES, focus_stack, sharpness
from reddino.smears.formats.limits import MAX_PIXELS, require_memory
from reddino.smears.formats.samples import Levels, Samples, as_rgb

#: A rectangle in pixels of a level: left, top, width, height.
Rectangle = tuple[int, int, int, int]
#: Horizontal and vertical pixels that differ by more than this are no picture of round cells.
_ANISOTROPY = 0.01
#: Sizes in micrometres of a pixel that no light microscope has: the file's number is of something else.
_LEAST_UM, _MOST_UM = 0.005, 50.0
#: Pixels a side and in all, beyond those of any slide.
_MOST_SIDE, _MOST_AREA = 1_000_000, 2**37
#: Planes among which the sharpest is searched; of more than these one must be named.
MAX_PLANES = 256
#: Pixels on a side of the middle of a picture by which its sharpest plane is found.
_FOCUS_SIDE = 2048


class SlideReader(ABC):
    """An open microscope file, or one scene of it; its methods may be called from several threads.

    Attributes:
        path: the file.
        scene: number of the scene (series, position), from 0.
        scenes: scenes of the file, thumbnails, labels and overviews left out.
        size: width and height in pixels of level 0.
        level_sizes: width and height of each level, the largest first.
        um_per_px: micrometres of a pixel of level 0; None where the file does not state them.
        planes: focus planes.
        channels: names of the grey channels; none where the file stores colours.
        colours: the channels that are red, green and blue, or the one that is grey; None where the file does
            not declare it, and a channel must be named.
        bits: of a sample.
        stated: bits that count in a sample, where the file states them.
        about: what the file records of its making: `format`, `scanner`, `objective`. Never names or labels.
    """

    path: Path
    scene: int = 0
    scenes: int = 1
    size: tuple[int, int]
    level_sizes: tuple[tuple[int, int], ...]
    um_per_px: float | None = None
    planes: int = 1
    channels: tuple[str, ...] = ()
    colours: tuple[int, ...] | None = ()
    bits: int = 8
    stated: int | None = None
    about: Mapping[str, str]

    @property
    def levels(self) -> tuple[float, ...]:
        """The downsampling of each level: 1 for level 0."""
        return tuple(self.size[0] / max(1, width) for width, _ in self.level_sizes)

    def level_for(self, downsample: float) -> int:
        """Return the smallest level that is shrunk by at most `downsample`."""
        fitting = [level for level, factor in enumerate(self.levels) if factor <= downsample * 1.01]
        return fitting[-1] if fitting else 0

    def read(
        self,
        x: int,
        y: int,
        w: int,
        h: int,
        *,
        level: int = 0,
        plane: int | None = None,
        bit_depth: int | None = None,
        channel: int | None = None,
        levels: Levels | None = None,
    ) -> NDArray[np.uint8]:
        """Read a rectangle of a level.

        Args:
            x: its left side, in pixels of that level.
            y: its top.
            w: its width.
            h: its height.
            level: 0 is the largest.
            plane: focus plane, from 1; -1: the sharpest parts of all; None: the sharpest.
            bit_depth: bits that count in a 16-bit sample; None: what the file states, else 16.
            channel: number, from 1, of the grey channel that is taken; None: the colours.
            levels: samples that become black and white; None: those of the depth.

        Returns:
            (h, w, 3) uint8 RGB, contiguous; white (or the scanner's background) where nothing was scanned.

        Raises:
            ImageError: the rectangle leaves the level or is too large, or the file is damaged.
        """
        samples = self.read_samples(x, y, w, h, level=level, plane=plane, channel=channel)
        return np.ascontiguousarray(as_rgb(self.path, samples, bit_depth, levels))

    def read_samples(
        self,
        x: int,
        y: int,
        w: int,
        h: int,
        *,
        level: int = 0,
        plane: int | None = None,
        channel: int | None = None,
    ) -> Samples:
        """Read a rectangle as `read` does, as it is stored: neither scaled nor made RGB."""
        self._require_inside((x, y, w, h), level)
        wanted = self._wanted(channel)
        number = self.sharpest(x, y, w, h, channel=channel) if plane is None else plane
        if number == ALL_PLANES:
            return self._focused((x, y, w, h), level, wanted)
        if not 1 <= number <= self.planes:
            raise ImageError(self.path, f"has {self.planes} plane(s) and no plane {number}")
        samples = self._stacked((x, y, w, h), level, number - 1, wanted)
        if samples.values.shape[:2] != (h, w):
            found = samples.values.shape
            raise ImageError(self.path, f"gives {found[1]} x {found[0]} pixels where {w} x {h} were read")
        return samples

    def sharpest(self, x: int, y: int, w: int, h: int, *, channel: int | None = None) -> int:
        """Return the number, from 1, of the sharpest focus plane of a rectangle of level 0."""
        if self.planes == 1:
            return 1
        if self.planes > MAX_PLANES:
            raise ImageError(
                self.path, f"has {self.planes} planes; name one in the column plane of its manifest"
            )
        middle = (*_middle(x, w), *_middle(y, h))
        rectangle = (middle[0], middle[2], middle[1], middle[3])
        wanted = self._wanted(channel)
        measured = [
            sharpness(self._stacked(rectangle, 0, plane, wanted).values) for plane in range(self.planes)
        ]
        return 1 + max(range(self.planes), key=measured.__getitem__)

    @abstractmethod
    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        """Read a rectangle that lies inside of its level; `plane` and `channel` count from 0.

        Return (h, w, 3), or (h, w) of a file with `channels`.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def _wanted(self, channel: int | None) -> tuple[int, ...]:
        """Return the channels to read, from 0.

        Raises:
            ImageError: there is no such channel, or none was named and the file has no colours.
        """
        if channel is not None:
            if not 1 <= channel <= len(self.channels):
                raise ImageError(
                    self.path, f"has {len(self.channels)} grey channel(s) and no channel {channel}"
                )
            return (channel - 1,)
        if self.colours is None:
            named = ", ".join(name[:40] or "without a name" for name in self.channels[:6])
            raise ImageError(
                self.path,
                f"holds {len(self.channels)} channel(s) that it does not call red, green and blue ({named}); "
                "to read one as grey, give its number, from 1, in the column grey_channel of a manifest",
            )
        return self.colours or (0,)

    def _focused(self, rectangle: Rectangle, level: int, wanted: tuple[int, ...]) -> Samples:
        """Return the sharpest parts of all planes."""
        first = self._stacked(rectangle, level, 0, wanted)
        every = (self._stacked(rectangle, level, plane, wanted).values for plane in range(self.planes))
        return replace(first, values=focus_stack(every))

    def _stacked(self, rectangle: Rectangle, level: int, plane: int, wanted: tuple[int, ...]) -> Samples:
        found = [self._samples(rectangle, level, plane, channel) for channel in wanted]
        if len(found) == 1:
            return found[0]
        return replace(found[0], values=np.stack([one.values for one in found], axis=2))

    def _require_inside(self, rectangle: Rectangle, level: int) -> None:
        x, y, w, h = rectangle
        if not 0 <= level < len(self.level_sizes):
            raise ImageError(self.path, f"has {len(self.level_sizes)} level(s) and no level {level}")
        width, height = self.level_sizes[level]
        require_memory(self.path, w, h, self.bits // 8 * 4, MAX_PIXELS)
        if x < 0 or y < 0 or x + w > width or y + h > height:
            raise ImageError(
                self.path,
                f"has no rectangle x{x}-y{y}-w{w}-h{h}: level {level} is {width} x {height} pixels large",
            )


def _middle(start: int, length: int) -> tuple[int, int]:
    """Return the start and length of the middle of a stretch."""
    kept = min(length, _FOCUS_SIDE)
    return start + (length - kept) // 2, kept


def pixel_size(path: Path, um_x: float | None, um_y: float | None) -> float | None:
    """Return the micrometres of a pixel that a file states; None where it states none that can be.

    Raises:
        ImageError: its pixels are not square.
    """
    known = [float(um) for um in (um_x, um_y) if um is not None and _LEAST_UM <= float(um) <= _MOST_UM]
    if not known:
        return None
    if max(known) > min(known) * (1 + _ANISOTROPY):
        raise ImageError(
            path,
            f"has pixels of {known[0]:.4g} x {known[1]:.4g} um, which are not square; resample it",
        )
    return sum(known) / len(known)


def require_plausible(reader: SlideReader) -> None:
    """Refuse sizes that no scanner writes, before anything is counted or read.

    Raises:
        ImageError: names the size.
    """
    width, height = reader.size
    if width < 1 or height < 1 or max(width, height) > _MOST_SIDE or width * height > _MOST_AREA:
        raise ImageError(reader.path, f"damaged (it claims {width} x {height} pixels)")
