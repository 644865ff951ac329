"""A synthetic slide as DICOM files of a whole slide, one for each level, written tile by tile."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from reddino.smears.slides.libraries import library
from reddino.synthetic.whole_slide.dicom_head import slide_head
from reddino.synthetic.whole_slide.levels import JPEG_QUALITY, TILE, SlideLevel, slide_levels, tiles_of
from reddino.synthetic.whole_slide.pixels import Pixels, SlidePixels
from reddino.synthetic.whole_slide.settings import SlideSettings

_OFFSETS, _LENGTHS, _PIXELS = (0x7FE0, 0x0001), (0x7FE0, 0x0002), (0x7FE0, 0x0010)
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
#: The length of what ends in a mark of its own.
_OPEN = 0xFFFFFFFF
_FRAME_BYTES = TILE * TILE * 3


def require_dicom(path: Path) -> None:
    """Refuse to begin a DICOM slide where the library that writes its head is missing.

    Raises:
        ImageError: names what to install.
    """
    library(path, "pydicom", "a DICOM slide", "reddino[slides]")


def write_dicom(folder: Path, pixels: SlidePixels, settings: SlideSettings) -> None:
    """Write the levels of a slide to a folder, each as an instance of one series."""
    for level in slide_levels(pixels, settings, folder.parent):
        with (folder / f"level-{level.number}.dcm").open("w+b") as file:
            _write_level(file, level, settings)


def _write_level(file: BinaryIO, level: SlideLevel, settings: SlideSettings) -> None:
    """Write head, table and frames; then write head and table again, by what the frames have become."""
    import pydicom  # slow to import

    pydicom.dcmwrite(file, slide_head(level, settings, ratio=1.0), enforce_file_format=True)
    head = file.tell()
    lengths = np.zeros(tiles_of(level.shape), np.uint64)
    _write_table(file, lengths)
    for number, tile in enumerate(level.tiles):
        frame = _encoded(tile, lossless=settings.lossless)
        lengths[number] = len(frame)
        file.write(struct.pack("<HHI", *_ITEM, len(frame)) + frame)
    file.write(struct.pack("<HHI", *_END, 0))
    file.seek(0)
    ratio = len(lengths) * _FRAME_BYTES / float(lengths.sum())
    pydicom.dcmwrite(file, slide_head(level, settings, ratio=ratio), enforce_file_format=True)
    if file.tell() != head:
        raise RuntimeError(f"the head of a DICOM file grew from {head} to {file.tell()} bytes")
    _write_table(file, lengths)


def _write_table(file: BinaryIO, lengths: NDArray[np.uint64]) -> None:
    """Write where each frame lies, and the begin of the pixels.

    The extended table has offsets of 64 bits; those of the basic one, which stays empty, end at 4 GB.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths + 8)[:-1]])
    for tag, values in ((_OFFSETS, offsets), (_LENGTHS, lengths)):
        file.write(struct.pack("<HH2sHI", *tag, b"OV", 0, 8 * len(values)) + values.astype("<u8").tobytes())
    file.write(struct.pack("<HH2sHI", *_PIXELS, b"OB", 0, _OPEN) + struct.pack("<HHI", *_ITEM, 0))


def _encoded(tile: Pixels, *, lossless: bool) -> bytes:
    """Return a frame, of an even number of bytes."""
    import imagecodecs  # slow to import

    if lossless:
        data = imagecodecs.jpeg2k_encode(tile, codecformat="j2k", reversible=True, level=0)
    else:
        data = imagecodecs.jpeg8_encode(tile, level=JPEG_QUALITY, colorspace="RGB", subsampling="422")
    return bytes(data) + b"\0" * (len(data) % 2)
