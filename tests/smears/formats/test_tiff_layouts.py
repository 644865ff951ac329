"""TIFF layouts: each comes out as it was written, as an independent reader sees it, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from reddino.smears.decode import ImageError, decode_image, image_size

Array = np.ndarray[Any, Any]


def picture() -> Array:
    """(70, 90, 3) uint8: smooth, and different in every corner and channel; no tile or strip divides it."""
    y, x = np.mgrid[0:70, 0:90]
    return np.stack([x * 2, y * 3, 255 - x - y], axis=2).astype(np.uint8)


RGB = picture()
GREY = RGB[:, :, 1]


def written(path: Path, stored: Array, **options: Any) -> Path:
    tifffile.imwrite(path, stored, metadata=None, **options)
    return path


def reason(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(path)
    return caught.value.reason


def as_grey(values: Array) -> Array:
    return np.repeat(values[:, :, None], 3, axis=2)


SEGMENTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 16},
    "tiles": {"tile": (32, 48)},
    "one strip": {},
}
# Of these Pillow's libtiff reads every combination.
LOSSLESS = [None, "lzw", "zlib", "packbits", "lzma", "zstd"]


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("segments", list(SEGMENTS))
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True), (">", True)])
def test_decode_image__reads_rgb_in_every_arrangement(  # noqa: PLR0917
    tmp_path: Path, compression: str | None, planar: str, segments: str, order: str, big: bool
) -> None:
    for bits in (8, 16):
        check_arrangement(tmp_path / f"{bits}.tif", bits, compression, planar, segments, order, big)


def check_arrangement(  # noqa: PLR0917
    path: Path, bits: int, compression: str | None, planar: str, segments: str, order: str, big: bool
) -> None:
    stored = RGB if bits == 8 else RGB.astype(np.uint16) * 257
    written(
        path,
        np.moveaxis(stored, 2, 0) if planar == "separate" else stored,
        photometric="rgb",
        planarconfig=planar,
        compression=compression,
        byteorder=order,
        bigtiff=big,
        predictor=compression not in (None, "packbits"),
        **SEGMENTS[segments],
    )
    np.testing.assert_array_equal(decode_image(path), RGB)
    assert image_size(path) == (90, 70)
    if big and order == ">":  # which Pillow does not open
        if bits == 8 and compression not in ("lzma", "zstd"):
            found = cv2.imread(str(path))
            assert found is not None
            np.testing.assert_array_equal(found[:, :, ::-1], RGB)
    elif not (planar == "separate" and bits == 16):  # whose planes Pillow mixes up
        np.testing.assert_array_equal(np.asarray(Image.open(path).convert("RGB")), RGB)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_decode_image__reads_16_bit_planes_in_the_byte_order_of_the_file(
    tmp_path: Path, planar: str, order: str
) -> None:
    stored = RGB.astype(np.uint16) * 257 + 3
    moved = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
    path = written(tmp_path / "a.tif", moved, photometric="rgb", planarconfig=planar, byteorder=order)
    # The pixels without tifffile: where the raw bytes lie in the file, by the numbers that were put there.
    raw = path.read_bytes()
    assert moved.astype(f"{order}u2").tobytes() in raw
    np.testing.assert_array_equal(decode_image(path), np.rint(stored / 257))


@pytest.mark.parametrize("segments", list(SEGMENTS))
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_decode_image__reads_grey(tmp_path: Path, segments: str, photometric: str, bits: int) -> None:
    stored = {1: GREY > 90, 8: GREY, 16: GREY.astype(np.uint16) * 257}[bits]
    path = written(
        tmp_path / "a.tif", stored, photometric=photometric, compression="lzw", **SEGMENTS[segments]
    )
    bright = (GREY > 90) * np.uint8(255) if bits == 1 else GREY
    expected = 255 - bright if photometric == "miniswhite" else bright
    np.testing.assert_array_equal(decode_image(path), as_grey(expected))
    if bits < 16:
        np.testing.assert_array_equal(np.asarray(Image.open(path).convert("L")), expected)


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_decode_image__reads_packed_samples(
    tmp_path: Path, bits: int, samples: int, white_is_zero: bool
) -> None:
    if white_is_zero and samples == 3:
        return
    values = np.random.default_rng(0).integers(0, 2**bits, (5, 7, samples))
    # Bits from the highest down, rows padded to whole bytes: by hand, since tifffile packs no samples.
    rows = (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(5, -1).astype(np.uint8)
    data = np.packbits(rows, axis=1).tobytes()
    path = tmp_path / "a.tif"
    kind = 2 if samples == 3 else (0 if white_is_zero else 1)
    path.write_bytes(by_hand(7, 5, data, bits=bits, samples=samples, photometric=kind))
    expected = np.rint(values * 255 / (2**bits - 1)).astype(np.uint8)
    decoded = decode_image(path)
    np.testing.assert_array_equal(
        decoded, np.broadcast_to(255 - expected if white_is_zero else expected, (5, 7, 3))
    )


def by_hand(width: int, height: int, data: bytes, **tags: int) -> bytes:
    """A little-endian TIFF of one strip, written without a library."""
    values = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [tags.get("bits", 8)] * tags.get("samples", 1)),
        259: (3, [tags.get("compression", 1)]),
        262: (3, [tags.get("photometric", 1)]),
        266: (3, [tags.get("fill_order", 1)]),
        273: (4, [8]),
        277: (3, [tags.get("samples", 1)]),
        278: (3, [height]),
        279: (4, [tags.get("length", len(data))]),
    }
    if "planar" in tags:
        values[284] = (3, [tags["planar"]])
    if "extra" in tags:
        values[338] = (3, [tags["extra"]])
    if "format" in tags:
        values[339] = (3, [tags["format"]] * tags.get("samples", 1))
    body = data + bytes(len(data) % 2)
    late = b""
    start = 8 + len(body)
    after = start + 2 + 12 * len(values) + 4
    entries = b""
    for number, (kind, numbers) in values.items():
        kept = b"".join(n.to_bytes({3: 2, 4: 4}[kind], "little") for n in numbers)
        if len(kept) > 4:
            entry, late = (after + len(late)).to_bytes(4, "little"), late + kept
        else:
            entry = kept.ljust(4, b"\0")
        entries += number.to_bytes(2, "little") + kind.to_bytes(2, "little")
        entries += len(numbers).to_bytes(4, "little") + entry
    head = b"II*\0" + start.to_bytes(4, "little")
    return head + body + len(values).to_bytes(2, "little") + entries + bytes(4) + late


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_decode_image__reads_palettes(tmp_path: Path, bits: int) -> None:
    size = 2**bits
    colours = np.random.default_rng(1).integers(0, 256, (3, size)).astype(np.uint16)
    indices = np.random.default_rng(0).integers(0, size, (9, 11)).astype(np.uint8)
    path = tmp_path / "a.tif"
    image = Image.fromarray(indices).convert("P")
    if bits == 8:
        tifffile.imwrite(
            path, indices, photometric="palette", colormap=colours * 257, metadata=None, compression="zlib"
        )
        np.testing.assert_array_equal(np.asarray(Image.open(path).convert("RGB")), colours.T[indices])
    else:
        assert image.size == (11, 9)
        rows = (indices[..., None] >> np.arange(bits)[::-1] & 1).reshape(9, -1)
        data = np.packbits(rows, axis=1).tobytes()
        tiff = by_hand(11, 9, data, bits=bits, photometric=3)
        path.write_bytes(with_tag(tiff, 320, (colours * 257).astype("<u2").tobytes(), kind=3))
    np.testing.assert_array_equal(decode_image(path), colours.T[indices])


def with_tag(tiff: bytes, number: int, value: bytes, kind: int) -> bytes:
    """A TIFF of `by_hand` with one more tag, whose directory is written anew at the end."""
    size = {1: 1, 2: 1, 3: 2, 4: 4, 12: 8, 13: 4}[kind]
    start = int.from_bytes(tiff[4:8], "little")
    count = int.from_bytes(tiff[start : start + 2], "little")
    entries = [tiff[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    place = len(tiff) + len(tiff) % 2
    kept = value.ljust(4, b"\0") if len(value) <= 4 else place.to_bytes(4, "little")
    entries.append(
        number.to_bytes(2, "little")
        + kind.to_bytes(2, "little")
        + (len(value) // size).to_bytes(4, "little")
        + kept
    )
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    body = tiff + bytes(len(tiff) % 2) + value + bytes(len(value) % 2)
    body = body[:4] + len(body).to_bytes(4, "little") + body[8:]
    return body + len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [4, 5])
def test_decode_image__drops_what_is_beyond_the_colours(
    tmp_path: Path, extra: str, planar: str, samples: int
) -> None:
    stored = np.dstack([RGB, *[GREY] * (samples - 3)])
    path = written(
        tmp_path / "a.tif",
        np.moveaxis(stored, 2, 0) if planar == "separate" else stored,
        photometric="rgb",
        planarconfig=planar,
        extrasamples=[extra] + ["unspecified"] * (samples - 4),
    )
    np.testing.assert_array_equal(decode_image(path), RGB)


def test_decode_image__undoes_premultiplied_alpha(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 128)
    stored = np.dstack([np.rint(RGB * (128 / 255)).astype(np.uint8), alpha])
    path = written(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(decode_image(path).astype(int) - RGB).max() <= 1
    unpremultiplied = Image.open(path).convert("RGBA").convert("RGB")
    assert np.abs(decode_image(path).astype(int) - np.asarray(unpremultiplied)).max() <= 1


def test_decode_image__reads_grey_with_alpha(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.tif",
        np.dstack([GREY, RGB[:, :, 0]]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    np.testing.assert_array_equal(decode_image(path), as_grey(GREY))


def test_decode_image__reads_cmyk_as_pillow_does(tmp_path: Path) -> None:
    inks = np.asarray(Image.fromarray(RGB).convert("CMYK")).copy()
    inks[:, :, 3] = GREY // 2
    Image.fromarray(inks, mode="CMYK").save(tmp_path / "a.tif", compression="tiff_lzw")
    expected = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB")).astype(int)
    assert np.abs(decode_image(tmp_path / "a.tif").astype(int) - expected).max() <= 1


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("segments", list(SEGMENTS))
def test_decode_image__reads_jpeg_in_tiff_as_libtiff_does(
    tmp_path: Path, subsampling: tuple[int, int], segments: str
) -> None:
    path = written(
        tmp_path / "a.tif",
        RGB,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 95},
        subsampling=subsampling,
        **SEGMENTS[segments],
    )
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(decode_image(path).astype(int) - expected).max() <= 2
    assert np.abs(decode_image(path).astype(int) - RGB)[:60, :80].mean() < 3


@pytest.mark.parametrize("compression", ["webp", "jpeg2000"])
@pytest.mark.parametrize("segments", ["strips", "tiles"])
def test_decode_image__reads_picture_codecs_in_tiff(tmp_path: Path, compression: str, segments: str) -> None:
    lossless = {"lossless": True} if compression == "webp" else {"reversible": True}
    path = written(
        tmp_path / "a.tif",
        RGB,
        photometric="rgb",
        compression=compression,
        compressionargs=lossless,
        **SEGMENTS[segments],
    )
    np.testing.assert_array_equal(decode_image(path), RGB)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("fill_order", [1, 2])
def test_decode_image__reads_fax_compression(tmp_path: Path, compression: str, fill_order: int) -> None:
    image = Image.fromarray(GREY > 90)
    image.save(tmp_path / "a.tif", compression=compression, tiffinfo={266: fill_order})
    expected = np.asarray(Image.open(tmp_path / "a.tif").convert("L"))
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif")[:, :, 0], expected)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_decode_image__reads_reversed_bits(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, (5, 16))
    rows = (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(5, -1).astype(np.uint8)
    packed = np.packbits(rows, axis=1)
    reversed_bytes = np.packbits(np.unpackbits(packed[..., None], axis=2)[..., ::-1], axis=2)[..., 0]
    (tmp_path / "a.tif").write_bytes(by_hand(16, 5, reversed_bytes.tobytes(), bits=bits, fill_order=2))
    expected = np.rint(values * 255 / (2**bits - 1))
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif")[:, :, 0], expected)


@pytest.mark.parametrize("bits", [12, 20])
def test_decode_image__reads_32_bit_integers_only_by_a_stated_depth(tmp_path: Path, bits: int) -> None:
    stored = (GREY.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint32)
    path = written(tmp_path / "a.tif", stored, photometric="minisblack")
    assert "32-bit samples" in reason(path)
    np.testing.assert_array_equal(decode_image(path, bit_depth=bits)[:, :, 0], GREY)


def test_decode_image__takes_the_depth_that_the_file_states(tmp_path: Path) -> None:
    stored = GREY.astype(np.uint16) * 16
    for tag, kind in ((281, "H"), (341, "d")):
        path = written(
            tmp_path / "a.tif", stored, photometric="minisblack", extratags=[(tag, kind, 1, 4095, True)]
        )
        np.testing.assert_array_equal(decode_image(path)[:, :, 0], np.rint(stored * (255 / 4095)))
        # The largest value of the picture is not the depth of the camera.
        path = written(
            tmp_path / "a.tif", stored, photometric="minisblack", extratags=[(tag, kind, 1, 3331, True)]
        )
        np.testing.assert_array_equal(decode_image(path)[:, :, 0], np.rint(stored / 257))


REFUSED: dict[str, tuple[Array, dict[str, Any], str]] = {
    "float": (GREY / np.float32(255), {"photometric": "minisblack"}, "32-bit floating-point"),
    "half": ((GREY / 255).astype(np.float16), {"photometric": "minisblack"}, "16-bit floating-point"),
    "signed": (GREY.astype(np.int16), {"photometric": "minisblack"}, "signed"),
    "complex": (GREY.astype(np.complex64), {"photometric": "minisblack"}, "complex"),
    "64 bits": (GREY.astype(np.uint64), {"photometric": "minisblack"}, "64-bit"),
    "lab": (RGB, {"photometric": "cielab"}, "CIELab"),
    "icclab": (RGB, {"photometric": "icclab"}, "ICCLab"),
    "ycbcr": (RGB, {"photometric": "ycbcr"}, "YCbCr"),
    "cfa": (GREY, {"photometric": "cfa"}, "raw sensor"),
    "two channels": (
        np.stack([GREY, GREY]), {"photometric": "minisblack", "planarconfig": "separate"}, "2 channels"
    ),
    "four channels": (
        np.dstack([RGB, GREY]), {"photometric": "minisblack", "planarconfig": "contig"}, "4 channels"
    ),
    "three greys": (RGB, {"photometric": "minisblack", "planarconfig": "contig"}, "3 channels"),
    "predictor": (
        RGB, {"photometric": "rgb", "compression": "packbits", "predictor": True}, "predictor 2"
    ),
    "jpeg of 12 bits": (
        RGB.astype(np.uint16) * 16, {"photometric": "rgb", "compression": "jpeg"}, "12-bit samples in JPEG"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_decode_image__refuses_other_layouts_by_name(tmp_path: Path, name: str) -> None:
    stored, options, words = REFUSED[name]
    path = written(tmp_path / "a.tif", stored, **options)
    assert words in reason(path)
    with pytest.raises(ImageError):
        image_size(path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"compression": 6}, "old-style JPEG"),
        ({"compression": 4711}, "compression number 4711"),
        ({"photometric": 77}, "colours of kind 77"),
        ({"bits": 24}, "24-bit"),
        ({"bits": 16, "fill_order": 2}, "reversed bits"),
        ({"samples": 2}, "2 channels"),
        ({"samples": 4, "photometric": 5, "planar": 0}, "planar configuration 0"),
        ({"samples": 3, "photometric": 2, "planar": 3}, "planar configuration 3"),
    ],
)
def test_decode_image__refuses_odd_tags_by_name(tmp_path: Path, tags: dict[str, int], words: str) -> None:
    (tmp_path / "a.tif").write_bytes(by_hand(8, 8, bytes(256), **tags))
    assert words in reason(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_decode_image__applies_the_orientation_of_a_tiff(
    tmp_path: Path, orientation: int, planar: str
) -> None:
    path = written(
        tmp_path / "a.tif",
        np.moveaxis(RGB, 2, 0) if planar == "separate" else RGB,
        photometric="rgb",
        planarconfig=planar,
        extratags=[(274, "H", 1, orientation, True)],
    )
    expected = np.asarray(Image.open(path).convert("RGB"))  # which Pillow has turned
    np.testing.assert_array_equal(decode_image(path), expected)
    assert image_size(path) == expected.shape[1::-1]
