"""PNG: all rows that the header promises, checked chunk by chunk."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from reddino.smears.failures import ImageError
from reddino.smears.formats.samples import Samples

# It logs what libpng remarks on ordinary files too, such as interlaced ones; faults are raised.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Samples a pixel by colour type; a palette becomes three.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# What the pixels need. Transparency would only add a channel that is dropped; text and profiles are never
# unpacked.
_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


@dataclass(frozen=True)
class PngHeader:
    """The content of the first chunks of a PNG.

    Attributes:
        width: in pixels.
        height: in pixels.
        bits: of a sample.
        channels: samples of a decoded pixel.
        stated: bits that count (`sBIT`); None where it is absent.
    """

    width: int
    height: int
    bits: int
    channels: int
    stated: int | None

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes that the decoder keeps for each pixel; none where its result is ours."""
        size = self.channels * (2 if self.bits == 16 else 1)
        return 0 if size == 3 else size


def read_png_header(path: Path, file: IO[bytes]) -> PngHeader:
    """Read the chunks before the pixels; leaves the file at its start.

    Raises:
        ImageError: they are damaged, or of a kind that PNG does not have.
    """
    stated: int | None = None
    fields: tuple[int, ...] = ()
    file.seek(len(SIGNATURE))
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"IHDR" and length == 13:
            fields = struct.unpack(">IIBBBBB", file.read(13))
            file.seek(4, 1)
        elif name == b"sBIT" and length <= 4:
            # Of RGBA the fourth is alpha, of grey with alpha the second.
            colours = file.read(length)[: 3 if length >= 3 else 1]
            stated = max(colours, default=0) or None
            file.seek(4, 1)
        elif name in (b"IDAT", b"IEND"):
            break
        else:
            file.seek(length + 4, 1)
    file.seek(0)
    if not fields:
        raise ImageError(path, "truncated (the PNG header is missing)")
    width, height, bits, colour = fields[:4]
    if colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise ImageError(path, f"cannot be decoded (PNG colour type {colour} with {bits} bits)")
    if stated is not None and not 1 <= stated <= bits:
        stated = None
    return PngHeader(width, height, bits, _CHANNELS[colour], stated)


def late_exif(file: IO[bytes]) -> bytes | None:
    """Read the EXIF data that follow the pixels, chunk by chunk; leave the file at its start."""
    file.seek(len(SIGNATURE))
    seen_pixels, found = False, None
    while found is None and len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"eXIf":
            if not seen_pixels:
                break
            found = file.read(min(length, 2**16))
        seen_pixels |= name == b"IDAT"
        file.seek(length + 4, 1)
    file.seek(0)
    return found


def decode_png(path: Path, data: bytes, header: PngHeader) -> Samples:
    """Decode the pixels of a PNG, without alpha.

    Raises:
        ImageError: a chunk is damaged, the end is missing, or rows are.
    """
    import imagecodecs

    kept = [SIGNATURE]
    for start, stop, name in _chunks(path, data):
        if name == b"acTL" and int.from_bytes(data[start + 8 : start + 12], "big") > 1:
            raise ImageError(path, "is an animation of several pictures; save the one that counts")
        if name in _KEPT:
            _require_intact(path, data, start, stop, name)
            kept.append(data[start:stop])
    try:
        pixels = np.asarray(imagecodecs.png_decode(b"".join(kept)))
    except (imagecodecs.PngError, ValueError) as error:
        words = " ".join(str(error).split())
        what = "truncated" if "Not enough" in words else "damaged"
        raise ImageError(path, f"{what} ({words[:120]})") from error
    if pixels.shape[:2] != (header.height, header.width):
        raise ImageError(path, "damaged (the PNG holds two sizes)")
    if pixels.ndim == 3:
        pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    return Samples(pixels, 16 if pixels.dtype == np.uint16 else 8, header.stated)


def _chunks(path: Path, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, stop and name of each chunk up to the end chunk; what follows it is no part of the picture."""
    place, seen_pixels = len(SIGNATURE), False
    while place + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[place : place + 8])
        stop = place + 12 + length
        if stop > len(data):
            break
        yield place, stop, name
        seen_pixels |= name == b"IDAT"
        if name == b"IEND":
            if not seen_pixels:
                raise ImageError(path, "truncated (the PNG holds no pixels)")
            return
        place = stop
    raise ImageError(path, "truncated (the end of the PNG is missing)")


def _require_intact(path: Path, data: bytes, start: int, stop: int, name: bytes) -> None:
    stored = int.from_bytes(data[stop - 4 : stop], "big")
    if zlib.crc32(memoryview(data)[start + 4 : stop - 4]) != stored:
        raise ImageError(path, f"damaged (checksum of the {name.decode()} chunk)")
