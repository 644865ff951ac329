"""One limit for every format, in bytes of memory as well as in pixels; bombs are refused by their headers."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from reddino.smears.decode import ImageError, decode_bytes
from reddino.smears.formats.limits import MAX_PIXELS

SIDE = 64
ROOM = SIDE * SIDE


def png(side: int, bits: int, colour: int) -> bytes:
    """A PNG of zeros, as small as a bomb is."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rows = (bytes(1 + side * samples * bits // 8)) * side

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0)
    packed = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff(values: np.ndarray[Any, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(file, kind, **options)
    return file.getvalue()


WITHIN = {
    "png rgb": png(SIDE, 8, 2),
    "png rgba": png(SIDE, 8, 6),
    "png grey 16": png(SIDE, 16, 0),
    "jpeg": saved("JPEG"),
    "bmp": saved("BMP"),
    "webp": saved("WEBP"),
    "tiff": tiff(np.zeros((SIDE, SIDE, 3), np.uint8), photometric="rgb"),
    "tiff grey 16": tiff(np.zeros((SIDE, SIDE), np.uint16), photometric="minisblack"),
}
BEYOND = {
    "png rgb 16": png(SIDE, 16, 2),
    "png rgba 16": png(SIDE, 16, 6),
    "jpeg progressive": saved("JPEG", progressive=True),
    "tiff rgb 16": tiff(np.zeros((SIDE, SIDE, 3), np.uint16), photometric="rgb", compression="zlib"),
    "tiff of 9 samples": tiff(np.zeros((SIDE, SIDE, 9), np.uint8), photometric="rgb", compression="zlib"),
    "tiff tiles": tiff(
        np.zeros((16, 16, 3), np.uint8), photometric="rgb", tile=(128, 128), compression="zlib"
    ),
}


@pytest.mark.parametrize("name", list(WITHIN))
def test_decode_bytes__allows_ordinary_pictures_up_to_the_limit(name: str) -> None:
    assert decode_bytes("a", WITHIN[name], max_pixels=ROOM).shape == (SIDE, SIDE, 3)
    with pytest.raises(ImageError, match="too large"):
        decode_bytes("a", WITHIN[name], max_pixels=ROOM - 1)


@pytest.mark.parametrize("name", list(BEYOND))
def test_decode_bytes__counts_the_bytes_that_a_pixel_takes(name: str) -> None:
    with pytest.raises(ImageError, match="too large"):
        decode_bytes("a", BEYOND[name], max_pixels=ROOM)
    assert decode_bytes("a", BEYOND[name], max_pixels=4 * ROOM).shape[2] == 3


@pytest.mark.parametrize("name", ["png rgb 16", "tiff rgb 16"])
def test_decode_bytes__takes_the_memory_that_the_limit_counts(name: str) -> None:
    side = 1024
    data = (
        png(side, 16, 2)
        if name.startswith("png")
        else tiff(np.zeros((side, side, 3), np.uint16), photometric="rgb", compression="zlib")
    )
    decode_bytes("a", BEYOND[name])
    tracemalloc.start()
    decode_bytes("a", data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Six bytes as stored, three of the result, and blocks of at most 80 MB; here the picture is one block.
    assert peak < side * side * 3 * (2 + 1 + 4 + 4 + 4 + 1)


def test_decode_bytes__refuses_a_16_bit_bomb_by_its_header() -> None:
    side = 14_142
    assert side * side < MAX_PIXELS
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    start = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )
    with pytest.raises(ImageError, match=r"take 1\.8 GB of memory, 1\.4 GB are allowed"):
        decode_bytes("a", start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


@pytest.mark.parametrize("compression", ["zlib", "lzma", "zstd", "packbits", "lzw"])
def test_decode_bytes__unpacks_no_more_of_a_strip_than_its_pixels(compression: str) -> None:
    huge = np.zeros((4096, 4096), np.uint8)
    data = bytearray(tiff(huge, photometric="minisblack", compression=compression, rowsperstrip=4096))
    start = struct.unpack("<I", data[4:8])[0]
    for number in range(struct.unpack("<H", data[start : start + 2])[0]):
        place = start + 2 + 12 * number
        if struct.unpack("<H", data[place : place + 2])[0] in (256, 257, 278):
            struct.pack_into("<I", data, place + 8, 8)
    decode_bytes("a", tiff(np.zeros((8, 8), np.uint8), photometric="minisblack", compression=compression))
    tracemalloc.start()
    with contextlib.suppress(ImageError):
        decode_bytes("a", bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
