"""Microscope files whose library reads whole frames: rectangles are cut from the frame that was read last."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import MAX_PIXELS, require_memory
from reddino.smears.formats.samples import Samples
from reddino.smears.slides.interface import Rectangle, SlideReader

#: Frames that are kept: the three colours of a plane.
_KEPT = 3


class FrameReader(SlideReader):
    """A file of one level, of which frames are read whole."""

    def _start(self, size: tuple[int, int], dtype: np.dtype[Any], *, samples: int = 1) -> None:
        """Note the size and the kind of a frame, (height, width) or (height, width, 3).

        Raises:
            ImageError: frames that are too large, or of samples that are not read.
        """
        if dtype.kind != "u" or dtype.itemsize > 2:
            raise ImageError(self.path, f"has samples of kind {dtype}; save it with 8 or 16 unsigned bits")
        self.size, self.level_sizes, self.bits = size, (size,), dtype.itemsize * 8
        require_memory(self.path, *size, samples * dtype.itemsize, MAX_PIXELS)
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def _samples(self, rectangle: Rectangle, level: int, plane: int, channel: int) -> Samples:
        x, y, w, h = rectangle
        with self._lock:
            frame = self._kept.pop((plane, channel), None)
            if frame is None:
                frame = self._frame(plane, channel)
                if frame.shape[:2] != self.size[::-1]:
                    raise ImageError(
                        self.path, f"damaged (a frame of {frame.shape[1]} x {frame.shape[0]} pixels)"
                    )
            self._kept[plane, channel] = frame
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return Samples(frame[y : y + h, x : x + w], self.bits, self.stated)

    @abstractmethod
    def _frame(self, plane: int, channel: int) -> NDArray[Any]:
        """Read a frame; both count from 0."""
