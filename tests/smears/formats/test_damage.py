"""Files that lost data and were closed are refused; harmless oddities are not."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from reddino.smears.decode import ImageError, decode_bytes

Array = np.ndarray[Any, Any]


def textured() -> Array:
    """(96, 128, 3) uint8: a gradient with texture, as a smear has everywhere."""
    y, x = np.mgrid[0:96, 0:128]
    smooth = np.stack([y * 2, x, 255 - x], axis=2).astype(int)
    noise = np.random.default_rng(0).integers(-20, 20, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


PICTURE = textured()
JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "full chroma": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK"},
}


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(file, kind, **options)
    return file.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_bytes("a", data)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def test_decode_bytes__reads_inks_of_a_jpeg_only_where_their_meaning_is_stated() -> None:
    data = encoded("JPEG", "CMYK", quality=98, subsampling=0)
    assert np.abs(decode_bytes("a", data).astype(int) - PICTURE).max() < 30
    marker = data.index(b"\xff\xee")
    after = marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big")
    assert "does not state" in reason(data[:marker] + data[after:])


@pytest.mark.parametrize("kind", list(JPEGS))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_decode_bytes__refuses_a_jpeg_that_was_cut_and_closed(kind: str, share: float) -> None:
    data = encoded("JPEG", **JPEGS[kind])
    assert decode_bytes("a", data).shape == PICTURE.shape
    assert "truncated" in reason(data[: int(len(data) * share)] + b"\xff\xd9")


@pytest.mark.parametrize("kind", list(JPEGS))
@pytest.mark.parametrize("length", [64, 300, 2000])
def test_decode_bytes__refuses_a_jpeg_with_zeros_in_the_middle(kind: str, length: int) -> None:
    data = encoded("JPEG", quality=90, **JPEGS[kind])
    start = data.rindex(b"\xff\xda") + 14
    # Of this picture zeros take as many bytes a block as its own data do, so that libjpeg sees nothing odd.
    for place in range(start, len(data) - length - 2, 199):
        words = reason(data[:place] + bytes(length) + data[place + length :])
        assert "truncated" in words or "damaged" in words


def test_decode_bytes__reads_a_jpeg_whose_empty_blocks_are_zeros() -> None:
    empty = np.full((512, 512, 3), 255, np.uint8)
    empty[200:230, 100:140] = PICTURE[:30, :40]
    for options in ({"optimize": True}, {"progressive": True}, {}):
        file = io.BytesIO()
        Image.fromarray(empty).save(file, "JPEG", **options)
        data = file.getvalue()
        assert (bytes(32) in data) == bool(options)
        expected = np.asarray(Image.open(file).convert("RGB")).astype(int)
        assert np.abs(decode_bytes("a", data + bytes(1000)).astype(int) - expected).max() <= 1


def unusual_jpeg(width: int = 64, height: int = 48) -> bytes:
    """A JPEG whose red chroma has twice the samples of its brightness; each block is flat."""
    draw = np.random.default_rng(0)
    bits = ""
    for _ in range(width // 16 * (height // 16)):
        for _ in range(6):  # one block of brightness, one of blue, four of red
            size = int(draw.integers(1, 5))  # the difference to the block before has so many bits
            bits += f"{size:04b}" + "".join(str(bit) for bit in draw.integers(0, 2, size)) + "0"
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    def segment(kind: int, content: bytes) -> bytes:
        return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content

    lengths = bytes([0, 0, 0, 12] + [0] * 12)
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, bytes([0] + [8] * 64)),
            segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 34, 0])),
            segment(0xC4, b"\0" + lengths + bytes(range(12))),
            segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0"),
            segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
            scan,
            b"\xff\xd9",
        )
    )


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_decode_bytes__reads_unusual_subsampling_and_refuses_it_cut_and_closed(share: float) -> None:
    data = unusual_jpeg()
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decode_bytes("a", data), np.asarray(image.convert("RGB")))
    start = data.index(b"\xff\xda") + 14
    cut = data[: start + int((len(data) - start) * share)]
    assert "truncated" in reason(cut + b"\xff\xd9")
    assert "truncated" in reason(cut)


def test_decode_bytes__is_quiet_about_interlaced_png() -> None:
    assert any(isinstance(one, logging.NullHandler) for one in logging.getLogger("imagecodecs").handlers)


def test_decode_bytes__refuses_a_progressive_jpeg_that_lost_whole_scans() -> None:
    data = encoded("JPEG", progressive=True)
    starts = [place for place in range(len(data)) if data.startswith(b"\xff\xda", place)]
    assert len(starts) > 4
    for start in starts[1:]:
        # Cut where a scan, or the table before it, begins: to libjpeg a whole file of lower quality.
        table = data.rfind(b"\xff\xc4", 0, start)
        end = table if data.rfind(b"\xff\xda", 0, start) < table else start
        assert "scans of the JPEG are missing" in reason(data[:end] + b"\xff\xd9")


def test_decode_bytes__reads_a_jpeg_with_padding_or_bytes_after_its_end() -> None:
    whole = decode_bytes("a", encoded("JPEG"))
    data = encoded("JPEG")
    for odd in (
        data + b"trailing bytes",
        data + data,
        data[:-2] + bytes(8) + data[-2:],
        data[:-2] + b"\xff" * 8 + data[-2:],
    ):
        np.testing.assert_array_equal(decode_bytes("a", odd), whole)
    assert "damaged" in reason(data[:-2] + b"\x55" * 8 + data[-2:])
    assert "damaged" in reason(data[:-2] + bytes(100) + data[-2:])


PNGS = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    place, found = 8, []
    while place < len(data):
        length, name = struct.unpack(">I4s", data[place : place + 8])
        found.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def with_pixels(data: bytes, compressed: bytes) -> bytes:
    """A PNG with other compressed pixels, each chunk with its right checksum."""
    kept = [(name, body) for name, body in chunks(data) if name not in (b"IDAT", b"IEND")]
    parts = [*kept, (b"IDAT", compressed), (b"IEND", b"")]
    return data[:8] + b"".join(chunk(name, body) for name, body in parts)


def png(mode: str) -> bytes:
    if mode != "I;16":
        return encoded("PNG", mode=mode)
    file = io.BytesIO()
    Image.fromarray(PICTURE[:, :, 0].astype(np.uint16) * 257).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", PNGS)
def test_decode_bytes__refuses_a_png_that_lost_rows_and_was_closed(mode: str) -> None:
    data = png(mode)
    assert decode_bytes("a", data).shape == PICTURE.shape
    packed = b"".join(body for name, body in chunks(data) if name == b"IDAT")
    rows = zlib.decompress(packed)
    fewer = with_pixels(data, zlib.compress(rows[: len(rows) // 2]))
    assert "truncated" in reason(fewer)
    assert "truncated" in reason(with_pixels(data, packed[: len(packed) // 2]))
    assert "truncated" in reason(data[:-12])  # the end chunk
    assert "checksum" in reason(data[:-30] + bytes([data[-30] ^ 1]) + data[-29:])
    zeros = packed[: len(packed) // 2] + bytes(len(packed) - len(packed) // 2)
    assert reason(with_pixels(data, zeros))
    np.testing.assert_array_equal(decode_bytes("a", data + b"trailing"), decode_bytes("a", data))


def test_decode_bytes__is_not_misled_by_further_chunks_of_a_png() -> None:
    data = encoded("PNG")
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    wrong = bytearray(chunk(b"tEXt", b"a\0b"))
    wrong[-1] ^= 1
    for extra in (profile, chunk(b"prVt", b"private")):
        np.testing.assert_array_equal(decode_bytes("a", data[:33] + extra + data[33:]), PICTURE)
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    try:
        np.testing.assert_array_equal(decode_bytes("a", data[:33] + bomb + data[33:]), PICTURE)
    except ImageError as error:
        assert "too large" in error.reason


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("WEBP", {}), ("BMP", {})])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_decode_bytes__refuses_webp_and_bmp_whose_header_was_mended_after_a_loss(
    kind: str, options: dict[str, Any], share: float
) -> None:
    data = encoded(kind, **options)
    assert decode_bytes("a", data).shape == PICTURE.shape
    cut = bytearray(data[: int(len(data) * share) // 2 * 2])
    if kind == "WEBP":
        cut[4:8] = struct.pack("<I", len(cut) - 8)
        cut[16:20] = struct.pack("<I", len(cut) - 20)
    else:
        cut[2:6] = struct.pack("<I", len(cut))
    assert reason(bytes(cut))


def test_decode_bytes__refuses_animations() -> None:
    frames = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    for kind in ("WEBP", "PNG"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        assert "animation" in reason(file.getvalue())


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "jpeg"])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_decode_bytes__refuses_a_tiff_that_lost_strips(
    compression: str | None, tile: tuple[int, int] | None
) -> None:
    file = io.BytesIO()
    strips: dict[str, Any] = {} if tile else {"rowsperstrip": 16}
    tifffile.imwrite(
        file, PICTURE, photometric="rgb", compression=compression, tile=tile, metadata=None, **strips
    )
    data = file.getvalue()
    assert decode_bytes("a", data).shape == PICTURE.shape
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        lengths = page.tags["TileByteCounts" if tile else "StripByteCounts"]
        offsets, counts = list(page.dataoffsets), list(page.databytecounts)
        place, kind = lengths.valueoffset, lengths.dtype
    middle = len(counts) // 2
    size = {3: 2, 4: 4}[int(kind)]

    def with_count(count: int) -> bytes:
        changed = bytearray(data)
        start = place + size * middle
        changed[start : start + size] = count.to_bytes(size, "little")
        return bytes(changed)

    assert "truncated" in reason(with_count(0))
    assert reason(with_count(counts[middle] // 2))
    last = max(range(len(offsets)), key=lambda i: offsets[i])
    assert "truncated" in reason(data[: offsets[last] + counts[last] // 2])


def test_decode_bytes__refuses_a_jpeg_in_tiff_that_lost_its_middle() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, PICTURE, photometric="rgb", compression="jpeg", metadata=None)
    data = file.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    half = start + count // 2
    assert "JPEG in TIFF" in reason(data[:half] + bytes(1000) + data[half + 1000 :])
