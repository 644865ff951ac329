"""WebP: the one picture of a file whose chunks are all there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats.exif import exif_orientation

#: libwebp decodes to four bytes a pixel.
BYTES_PER_PIXEL = 4


@dataclass(frozen=True)
class WebpHeader:
    """The content of the chunks of a WebP file.

    Attributes:
        width: in pixels, as stored.
        height: in pixels, as stored.
        orientation: of EXIF, 1 to 8.
    """

    width: int
    height: int
    orientation: int


def read_webp_header(path: Path, data: bytes) -> WebpHeader:
    """Read size and orientation.

    Raises:
        ImageError: truncated, an animation, or not a picture.
    """
    chunks = dict(reversed(list(_chunks(path, data))))
    if b"ANIM" in chunks or b"ANMF" in chunks:
        raise ImageError(path, "is an animation of several pictures; save the one that counts")
    size = _size(chunks)
    if size is None:
        raise ImageError(path, "truncated (the WebP holds no picture)")
    return WebpHeader(*size, exif_orientation(chunks.get(b"EXIF", b"")))


def decode_webp(path: Path, data: bytes, header: WebpHeader) -> NDArray[np.uint8]:
    """Decode a WebP file to (H, W, 3) uint8 RGB as stored.

    Raises:
        ImageError: libwebp cannot decode it.
    """
    import imagecodecs

    try:
        pixels = np.asarray(imagecodecs.webp_decode(data))
    except (imagecodecs.WebpError, ValueError) as error:
        words = " ".join(str(error).split())
        what = "truncated" if "NOT_ENOUGH" in words else "damaged"
        raise ImageError(path, f"{what} ({words[:120]})") from error
    if pixels.shape[:2] != (header.height, header.width):
        raise ImageError(path, "damaged (the WebP holds two sizes)")
    return pixels[:, :, :3]


def _chunks(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:  # a last padding byte is often left out
        raise ImageError(path, "truncated (the WebP is shorter than its header states)")
    place = 12
    while place + 8 <= min(end, len(data)):
        name, length = struct.unpack("<4sI", data[place : place + 8])
        if place + 8 + length > len(data):
            raise ImageError(path, "truncated (a chunk of the WebP is cut)")
        yield name, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int] | None:
    """Return the width and height of the picture itself.

    Those of the canvas are the same where there is no animation.
    """
    lossy, lossless = chunks.get(b"VP8 ", b""), chunks.get(b"VP8L", b"")
    if len(lossy) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", lossy[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
