"""The limit of a picture's size: one limit for every format, in pixels and in bytes of memory."""

from __future__ import annotations

from pathlib import Path

from reddino.smears.failures import ImageError

#: Pixels of the largest picture that is decoded.
MAX_PIXELS = 200_000_000
#: Bytes that a pixel of the largest picture may take: four as decoders keep it, three of the result.
_BYTES_PER_PIXEL = 7
_RESULT_BYTES = 3


def require_memory(path: Path, width: int, height: int, stored: float, max_pixels: int) -> None:
    """Refuse a picture that has no pixels, or takes too much memory, before any pixel is decoded.

    A picture of 8-bit colours may have `max_pixels`; one that takes more bytes a pixel may have fewer.

    Args:
        path: the file, for the error.
        width: in pixels.
        height: in pixels.
        stored: bytes that a decoder keeps for each pixel besides the three of the result.
        max_pixels: pixels of the largest picture.

    Raises:
        ImageError: names the size and what is allowed.
    """
    if width < 1 or height < 1:
        raise ImageError(path, f"has no pixels ({width} x {height})")
    if width * height > max_pixels:
        allowed = f"{max_pixels / 1e6:g} million are allowed"
        raise ImageError(path, f"is too large: {width} x {height} pixels, {allowed}; cut it into fields")
    needed, available = width * height * (stored + _RESULT_BYTES), max_pixels * _BYTES_PER_PIXEL
    if needed > available:
        raise ImageError(
            path,
            f"is too large: {width} x {height} pixels take {needed / 1e9:.1f} GB of memory, "
            f"{available / 1e9:.1f} GB are allowed; cut it into fields, or save it with 8 bits",
        )
