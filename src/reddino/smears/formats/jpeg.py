"""JPEG: pixels that libjpeg decodes without a single warning."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from reddino.smears.failures import ImageError
from reddino.smears.formats.jpeg_scans import scan_fault

# Cameras pad the scan: so many zeros before the end marker lose nothing.
_PADDING = 16
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END = b"\xff\xd9"


def jpeg_bytes_per_pixel(header: JpegImageFile) -> float:
    """Return the bytes that libjpeg and Pillow keep for each pixel besides the three of the result."""
    layers = len(header.getbands())
    coefficients = 2 * layers if "progressive" in header.info else 0
    return coefficients + (4 if header.mode == "CMYK" else 0)


def decode_jpeg(path: Path, data: bytes, header: JpegImageFile, scan: int) -> NDArray[np.uint8]:
    """Decode a JPEG to (H, W, 3) uint8 RGB as stored, not turned by EXIF.

    Args:
        path: the file, for the error.
        data: all of its bytes.
        header: of Pillow.
        scan: where the compressed data of the first scan start.

    Raises:
        ImageError: libjpeg had to make up a part of the pixels, or scans are missing.
    """
    fault = scan_fault(data, header, scan)
    if fault is not None:
        raise ImageError(path, fault)
    if header.mode not in ("RGB", "L"):
        if "adobe" not in header.info:
            raise ImageError(
                path,
                "has four inks (CMYK) and does not state whether 0 is no ink or all of it; save it as RGB",
            )
        _decode(path, data, "CMYK")
        return np.array(header.convert("RGB"))
    pixels = _decode(path, data, "RGB")
    if pixels.shape != (header.height, header.width, 3):
        raise ImageError(path, "damaged (the JPEG holds two sizes)")
    return pixels


def _decode(path: Path, data: bytes, colours: str) -> NDArray[np.uint8]:
    try:
        # Exactly the pixels of OpenCV and Pillow: neither the fast transform nor the fast upsampling.
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False)
    except ValueError as error:
        words = " ".join(str(error).split())
        if "subsampling" in words and colours == "RGB":
            return _decode_unusual(path, data)
        if not _only_padded(words, data):
            raise ImageError(path, f"{_what_happened(words)} ({words[:120]})") from error
        pixels = simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, strict=False)
    return pixels


def _what_happened(words: str) -> str:
    if "remature end" in words:
        return "truncated"
    return "damaged" if "Corrupt" in words or "Invalid" in words or "marker" in words else "cannot be decoded"


def _only_padded(words: str, data: bytes) -> bool:
    """Return whether all that libjpeg found odd is a short run of zeros before the end marker."""
    found = _EXTRANEOUS.search(words)
    if found is None or int(found[1]) > _PADDING:
        return False
    end = data.rfind(_END)
    return not any(data[max(0, end - int(found[1])) : end])


def _decode_unusual(path: Path, data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG whose chroma subsampling TurboJPEG has no name for.

    OpenCV keeps libjpeg's warnings to itself, so the file is decoded twice, the second time with other bytes
    before its end marker: where they change a pixel, the scan had ended before its time.
    """
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    end = data.rfind(_END)
    if end < 0:
        raise ImageError(path, "truncated (the end of the JPEG is missing)")
    longer = data[:end] + b"\x5a" * 256 + data[end:]
    first, second = (cv2.imdecode(np.frombuffer(one, np.uint8), flags) for one in (data, longer))
    if first is None:
        raise ImageError(path, "cannot be decoded (the JPEG data are damaged)")
    if second is None or not np.array_equal(first, second):
        raise ImageError(path, "truncated (the JPEG ends before its last row)")
    return np.asarray(first, np.uint8)
