"""Nikon ND2 files by the library nd2: positions are scenes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.slides.channels import Colour, find_colours
from reddino.smears.slides.frames import FrameReader
from reddino.smears.slides.interface import pixel_size
from reddino.smears.slides.libraries import library

_READ = {"X", "Y", "S", "C", "Z", "P", "T"}


class Nd2Reader(FrameReader):
    """A position of an ND2 file."""

    def __init__(self, path: Path, scene: int) -> None:
        self.path, self.scene = path, scene
        self._file: Any = library(path, "nd2", "an ND2 file of Nikon", "reddino[slides]").ND2File(str(path))
        try:
            self._describe()
        except BaseException:
            self._file.close()
            raise

    def _describe(self) -> None:
        sizes = dict(self._file.sizes)
        if sizes.get("T", 1) > 1:
            raise ImageError(self.path, f"holds {sizes['T']} points in time; save the picture that counts")
        if set(sizes) - _READ:
            raise ImageError(self.path, f"has axes {', '.join(sizes)}, which are not read; save its fields")
        self.scenes, self.planes = sizes.get("P", 1), sizes.get("Z", 1)
        coloured = sizes.get("S", 1) == 3
        self._start((sizes["X"], sizes["Y"]), np.dtype(self._file.dtype), samples=3 if coloured else 1)
        counting = int(self._file.attributes.bitsPerComponentSignificant or 0)
        self.stated = counting if 8 <= counting < 16 and self.bits == 16 else None
        voxel = self._file.voxel_size()
        self.um_per_px = pixel_size(self.path, voxel.x, voxel.y)
        self.about = {"format": "ND2", "scanner": "Nikon"}
        self._describe_channels(sizes.get("C", 1), coloured=coloured)

    def _describe_channels(self, count: int, *, coloured: bool) -> None:
        listed = list(getattr(self._file.metadata, "channels", None) or [])
        power = next((one.microscope.objectiveMagnification for one in listed), None)
        if power:
            self.about = {**self.about, "objective": f"{power:g}x"}
        if coloured and count == 1:
            return
        if coloured or (listed and len(listed) != count):
            raise ImageError(self.path, "has channels of several samples each; save it as RGB")
        self.channels = tuple(str(one.channel.name) for one in listed) or ("",) * count
        flags = {str(flag) for one in listed for flag in one.microscope.modalityFlags or []}
        bright = {"brightfield", "phaseContrast", "diContrast"} & flags
        emission = any(one.channel.emissionLambdaNm for one in listed)
        colours: list[Colour | None] = [
            (one.channel.color.r, one.channel.color.g, one.channel.color.b) for one in listed
        ]
        self.colours = find_colours(
            self.channels,
            colours or [None] * count,
            fluorescence=not bright and ("fluorescence" in flags or emission),
        )

    def _frame(self, plane: int, channel: int) -> NDArray[Any]:
        number = self._number(plane)
        self._require_whole(number)
        # A copy: the library's frame lies in the mapped file, which could not be closed.
        frame = np.array(self._file.read_frame(number))
        if not self.channels:
            # The format has blue first; its predecessor, of JPEG 2000 pictures, had red.
            return frame if self._file.is_legacy else frame[:, :, ::-1]
        if len(self.channels) == 1:
            return frame
        one: NDArray[Any] = frame[channel]
        return one

    def _require_whole(self, number: int) -> None:
        """Refuse a frame that is not all there, of which the library makes zeros, or that unpacks to more.

        Raises:
            ImageError: it is missing or cut, or a bomb.
        """
        reader: Any = getattr(self._file, "_rdr", None)
        offsets = getattr(reader, "_frame_offsets", None)
        if offsets is None:
            return
        if offsets.get(number) is None:
            raise ImageError(self.path, f"truncated (frame {number + 1} is missing)")
        attributes = self._file.attributes
        size = self.size[0] * self.size[1] * int(attributes.componentCount) * self.bits // 8
        if attributes.compressionType == "lossless":
            packed = reader._load_chunk(f"ImageDataSeq|{number}!".encode())[8:]
            unpacking = zlib.decompressobj()
            # Rows may be padded by a few bytes.
            unpacking.decompress(packed, size + 64 * self.size[1])
            if unpacking.unconsumed_tail:
                raise ImageError(self.path, f"damaged (frame {number + 1} unpacks to more than its pixels)")
        elif int(offsets[number]) + size > self.path.stat().st_size:
            raise ImageError(self.path, f"truncated (frame {number + 1} is cut)")

    def _number(self, plane: int) -> int:
        """Return the number of the frame of a plane of this position."""
        wanted = {"Z": plane, "P": self.scene}
        sizes = self._file.sizes
        loops = [axis for axis in sizes if axis not in "XYSC"]
        place = tuple(wanted.get(axis, 0) for axis in loops)
        return int(np.ravel_multi_index(place, tuple(sizes[axis] for axis in loops))) if loops else 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
