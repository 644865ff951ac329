"""HEIC pictures of phones by pillow-heif, and AVIF by Pillow: the first picture, turned upright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.slides.frames import FrameReader
from reddino.smears.slides.libraries import library


class HeifReader(FrameReader):
    """The picture of a HEIC or AVIF file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            start = file.read(12)
        if start[4:8] != b"ftyp":
            raise ImageError(path, "is no HEIC or AVIF picture")
        self.about = {"format": "AVIF" if start[8:12] in (b"avif", b"avis") else "HEIC"}
        if self.about["format"] == "AVIF":
            from PIL.AvifImagePlugin import AvifImageFile

            self._picture: Any = AvifImageFile(str(path))
        else:
            module = library(path, "pillow_heif", "a HEIC picture", "reddino[heic]")
            self._picture = module.HeifImageFile(str(path))
        self._start(self._picture.size, np.dtype(np.uint8), samples=3)

    def _frame(self, plane: int, channel: int) -> NDArray[Any]:
        return np.array(self._picture.convert("RGB"))

    def close(self) -> None:
        """Close the file."""
        self._picture.close()
