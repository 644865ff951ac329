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

# Cameras pad the scan: so many zeros before the end marker lose nothing.
_PADDING = 16
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
# In compressed data 0xFF is followed by a zero or by a restart marker.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
#: Encoders write about ten; each costs a pass over all pixels.
_MAX_SCANS = 100
_COEFFICIENTS = 64


def jpeg_bytes_per_pixel(header: JpegImageFile) -> float:
    """Bytes that libjpeg and Pillow keep for each pixel beside the three of the result."""
    layers = len(header.getbands())
    coefficients = 2 * layers if "progressive" in header.info else 0
    return coefficients + (4 if header.mode == "CMYK" else 0)


def decode_jpeg(path: Path, data: bytes, header: JpegImageFile, scan: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB as stored, not turned by EXIF.

    Args:
        path: the file, for the error.
        data: all of its bytes.
        header: of Pillow.
        scan: where the compressed data of the first scan start.

    Raises:
        ImageError: libjpeg had to guess a part of the pixels, or scans are missing.
    """
    _require_all_scans(path, data, header, scan)
    if header.mode not in ("RGB", "L"):
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
    """Whether all that libjpeg found odd is a short run of zeros before the end marker."""
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


def _require_all_scans(path: Path, data: bytes, header: JpegImageFile, scan: int) -> None:
    """Refuse a JPEG of several scans that was cut between two of them and closed: libjpeg has no word for it.

    Of each component every coefficient must come, down to its last bit.
    """
    scan = data.rfind(_SCAN, 0, scan) + len(_SCAN)
    layers = len(header.getbands())
    if "progressive" not in header.info and data[scan + 2 : scan + 3] == bytes([layers]):
        return
    missing = {number: set(range(_COEFFICIENTS)) for number in _component_names(header)}
    place: int | None = scan
    for _ in range(_MAX_SCANS):
        if place is None:
            break
        _note_scan(data, place, missing)
        place = _next_scan(data, place)
    else:
        raise ImageError(path, f"cannot be decoded (more than {_MAX_SCANS} scans)")
    if any(missing.values()):
        raise ImageError(path, "truncated (scans of the JPEG are missing)")


def _component_names(header: JpegImageFile) -> list[int]:
    return [int(layer[0]) for layer in header.layer]


def _note_scan(data: bytes, place: int, missing: dict[int, set[int]]) -> None:
    """Take out of `missing` what the scan whose header stands at `place` completes."""
    count = data[place + 2]
    names = data[place + 3 : place + 3 + 2 * count : 2]
    first, last, bits = data[place + 3 + 2 * count : place + 6 + 2 * count]
    if bits & 0x0F == 0:
        for name in names:
            missing.get(name, set()).difference_update(range(first, last + 1))


def _next_scan(data: bytes, place: int) -> int | None:
    """Where the header of the next scan stands, after its marker; None at the end of the image."""
    place += int.from_bytes(data[place : place + 2], "big")
    while (found := _MARKER.search(data, place)) is not None:
        if found[0] == _SCAN:
            return found.end()
        if found[0] == _END:
            return None
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return None
