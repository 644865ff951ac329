"""Tiles and strips of a TIFF, unpacked one at a time, each into no more memory than its pixels take."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats import webp
from reddino.smears.formats.limits import require_memory
from reddino.smears.formats.tiff_layout import JPEG, NONE, RGB, YCBCR, TiffLayout

_LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _ZSTD, _WEBP = 5, 8, 32946, 32773, 50000, 50001
_JPEG2000 = (33003, 33004, 33005, 34712)
_APERIO_YCBCR = 33003
#: Bytes that a packed segment may take beyond those of its pixels.
_SLACK = 1 << 20


def unpack_segment(
    path: Path, data: bytes, layout: TiffLayout, *, rows: int, tables: bytes, order: str
) -> NDArray[Any]:
    """Unpack a tile or a strip.

    Args:
        path: the file, for errors.
        data: of the segment.
        layout: of the page.
        rows: of pixels in the segment.
        tables: JPEG tables of the page (tag 347).
        order: of the bytes of a sample, "<" or ">".

    Returns:
        (rows, width of a segment, samples).

    Raises:
        ImageError: damaged, of another size than the tags promise, or of a compression that is not read.
    """
    width = layout.segment[0]
    samples = 1 if layout.planar else layout.samples
    require_memory(path, width, rows, samples * layout.item_bytes, 2**26)
    size = width * rows * samples * layout.item_bytes
    if len(data) > 2 * size + _SLACK:
        raise ImageError(path, f"damaged (a TIFF tile of {len(data):,} bytes)")
    if layout.compression == JPEG:
        return _pixels(path, _jpeg(path, data, layout, rows, tables), rows, width, samples)
    if layout.compression in _JPEG2000:
        return _pixels(path, _jpeg2000(path, data, layout, rows), rows, width, samples)
    if layout.compression == _WEBP:
        found = webp.read_webp_header(path, data)
        _require_size(path, (found.width, found.height), width, rows)
        return _pixels(path, np.asarray(imagecodecs.webp_decode(data)), rows, width, samples)
    flat = np.frombuffer(_bytes(path, data, layout, size), f"{order}u{layout.item_bytes}")
    values = flat.reshape(rows, width, samples)
    values = values.astype(values.dtype.newbyteorder("="))
    if layout.predictor == 2:
        values = np.asarray(imagecodecs.delta_decode(values, axis=1))
    return values


def _bytes(path: Path, data: bytes, layout: TiffLayout, size: int) -> bytes:
    """Return exactly `size` unpacked bytes."""
    kind = layout.compression
    found: bytes
    if kind == NONE:
        found = data
    elif kind in (_DEFLATE, _OLD_DEFLATE):
        found = zlib.decompressobj().decompress(data, size)
    elif kind == _LZW:
        found = bytes(imagecodecs.lzw_decode(data, out=size))
    elif kind == _ZSTD:
        found = bytes(imagecodecs.zstd_decode(data, out=size))
    elif kind == _PACKBITS:
        found = bytes(imagecodecs.packbits_decode(data, out=size))
    else:
        raise ImageError(path, f"is a TIFF with compression number {kind}, of which no rectangles are read")
    if len(found) < size:
        raise ImageError(path, f"damaged (a TIFF tile holds {len(found):,} bytes of {size:,})")
    return found[:size]


def _jpeg(path: Path, data: bytes, layout: TiffLayout, rows: int, tables: bytes) -> NDArray[Any]:
    _require_size(path, _jpeg_size(path, data), layout.segment[0], rows)
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ImageError(path, "truncated (a JPEG tile of the TIFF has no end)")
    plain_rgb = layout.photometric == RGB and b"JFIF" not in data[:64]
    coloured = layout.photometric in (RGB, YCBCR) and not layout.planar and layout.samples == 3
    decoded = imagecodecs.jpeg_decode(
        data,
        tables=tables or None,
        colorspace="RGB" if coloured and plain_rgb else "YCBCR" if coloured else None,
        outcolorspace="RGB" if coloured else None,
    )
    return np.asarray(decoded)


def _jpeg_size(path: Path, data: bytes) -> tuple[int, int]:
    """Return the width and height that the frame header of a JPEG gives."""
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise ImageError(path, "damaged (a JPEG tile without a frame)")


def _jpeg2000(path: Path, data: bytes, layout: TiffLayout, rows: int) -> NDArray[Any]:
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 24:
        raise ImageError(path, "damaged (a JPEG 2000 tile without a size)")
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    _require_size(path, (right - left, bottom - top), layout.segment[0], rows)
    values = np.asarray(imagecodecs.jpeg2k_decode(data, verbose=0))
    if layout.compression == _APERIO_YCBCR and values.ndim == 3:
        import cv2

        values = cv2.cvtColor(np.ascontiguousarray(values[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return values


def _require_size(path: Path, found: tuple[int, int], width: int, rows: int) -> None:
    if found[0] != width or not rows <= found[1] <= max(rows, width, 2 * rows):
        raise ImageError(
            path, f"damaged (a tile of {found[0]} x {found[1]} pixels in place of {width} x {rows})"
        )


def _pixels(path: Path, values: NDArray[Any], rows: int, width: int, samples: int) -> NDArray[Any]:
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[0] < rows or values.shape[1] < width or values.shape[2] != samples:
        raise ImageError(path, f"damaged (a tile of {values.shape} in place of {(rows, width, samples)})")
    return values[:rows, :width]
