"""Decoding: ordinary images come out as a viewer shows them, damaged ones are refused with a reason."""

from __future__ import annotations

import csv
import io
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from reddino.smears.decode import IMAGE_SUFFIXES, Failures, ImageError, decode_image, eight_bits, image_size


@pytest.fixture
def picture() -> np.ndarray:
    """(40, 60, 3) uint8: smooth colours, different in every corner, so that no turn maps it to itself."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y * 3], axis=2).astype(np.uint8)


def saved(picture: Any, path: Path, mode: str | None = None, **options: Any) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def reason(path: Path, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(path, **options)
    assert caught.value.path == path
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_decode_image__returns_lossless_rgb_as_it_is(
    tmp_path: Path, picture: np.ndarray, suffix: str
) -> None:
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = saved(picture, tmp_path / f"a{suffix}", **options)
    decoded = decode_image(path)
    np.testing.assert_array_equal(decoded, picture)
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous and decoded.flags.writeable
    assert image_size(path) == (60, 40)


def test_decode_image__goes_by_content_and_not_by_suffix(tmp_path: Path, picture: np.ndarray) -> None:
    saved(picture, tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.jpg"), picture)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "PA"])
@pytest.mark.filterwarnings("error")
def test_decode_image__turns_other_modes_into_rgb(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    image = Image.fromarray(picture).convert("P" if mode == "PA" else mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(
            Image.fromarray(picture[:, :, 0])
        )  # transparent on the left: colours there must survive
    if mode == "PA":
        image.info["transparency"] = bytes([0, 128])
    expected = np.asarray(image.convert("RGBA"))[:, :, :3]
    path = saved(image, tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(path), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_decode_image__agrees_with_pillow_on_jpeg(
    tmp_path: Path, picture: np.ndarray, mode: str, progressive: bool
) -> None:
    path = saved(picture, tmp_path / "a.jpg", mode, quality=90, progressive=progressive)
    expected = np.asarray(Image.open(path).convert("RGB"))
    difference = np.abs(decode_image(path).astype(int) - expected)
    assert difference.max() <= 3 and difference.mean() < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_decode_image__applies_orientation(
    tmp_path: Path, picture: np.ndarray, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, dict[str, Any]] = {
        ".webp": {"lossless": True},
        ".jpg": {"quality": 100, "subsampling": 0},
    }
    path = saved(picture, tmp_path / f"a{suffix}", exif=exif, **options.get(suffix, {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    decoded = decode_image(path)
    assert decoded.shape == expected.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    assert np.abs(decoded.astype(int) - expected).max() <= 3
    assert image_size(path) == decoded.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image__applies_orientation_to_16_bit_tiff(
    tmp_path: Path, picture: np.ndarray, orientation: int
) -> None:
    grey = picture[:, :, 0].astype(np.uint16) * 257 + picture[:, :, 1]
    path = tmp_path / "a.tif"
    Image.fromarray(grey).save(path, tiffinfo={274: orientation})
    eight = eight_bits(grey, 16)
    stored = {1: eight, 2: eight[:, ::-1], 3: eight[::-1, ::-1], 4: eight[::-1]}
    turned = {5: eight.T, 6: eight.T[:, ::-1], 7: eight.T[::-1, ::-1], 8: eight.T[::-1]}
    np.testing.assert_array_equal(decode_image(path)[:, :, 0], (stored | turned)[orientation])
    assert image_size(path) == decode_image(path).shape[1::-1]


def test_image_size__sees_orientation_that_follows_the_pixels(tmp_path: Path, picture: np.ndarray) -> None:
    data = saved(picture, tmp_path / "a.png").read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    late = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path = tmp_path / "late.png"
    path.write_bytes(data[:-12] + late + data[-12:])
    assert decode_image(path).shape == (60, 40, 3)
    assert image_size(path) == (40, 60)


def test_decode_image__ignores_a_nonsensical_orientation(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode_image(saved(picture, tmp_path / "a.jpg", exif=exif)).shape == picture.shape


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_decode_image__scales_16_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 9, channels)).astype(np.uint16)
    deep[0, 0] = 65535
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), deep)  # OpenCV writes blue first
    colour = np.repeat(deep, 3, axis=2) if channels == 1 else deep[:, :, 2::-1]
    np.testing.assert_array_equal(decode_image(path), np.rint(colour / 257))


def test_decode_image__scales_by_the_depth_that_is_given_and_not_by_the_largest_value(tmp_path: Path) -> None:
    deep = np.linspace(0, 250, 64).astype(np.uint16).reshape(8, 8)
    opaque = np.dstack([deep, deep, deep, np.full_like(deep, 65535)])  # alpha must not count as depth
    for name, pixels in (("grey.png", deep), ("colour.png", opaque)):
        cv2.imwrite(str(tmp_path / name), pixels)
        for bits in (8, 12, 16):
            decoded = decode_image(tmp_path / name, bit_depth=bits)
            np.testing.assert_array_equal(decoded[:, :, 1], np.rint(deep * 255 / (2**bits - 1)))
        np.testing.assert_array_equal(
            decode_image(tmp_path / name), decode_image(tmp_path / name, bit_depth=16)
        )


def test_decode_image__clips_a_hot_pixel_and_refuses_a_depth_that_is_wrong(tmp_path: Path) -> None:
    deep = np.full((20, 20), 4000, np.uint16)
    deep[3, 4] = 65535
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    decoded = decode_image(tmp_path / "a.png", bit_depth=12)
    assert (decoded[3, 4, 0], decoded[0, 0, 0]) == (255, 249)
    assert "above 10 bits" in reason(tmp_path / "a.png", bit_depth=10)
    assert "bit_depth of 17" in reason(tmp_path / "a.png", bit_depth=17)


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16, 32])
def test_eight_bits__takes_the_depth_to_255_and_clips_above(depth: int) -> None:
    highest = 2**depth - 1
    deep = np.array([[0, highest // 2, highest, min(highest + 1, 2**32 - 1)]], dtype=np.uint32)
    np.testing.assert_array_equal(
        eight_bits(deep, depth), [[0, round(highest // 2 * 255 / highest), 255, 255]]
    )


def test_decode_image__inverts_16_bit_tiff_where_white_is_zero(tmp_path: Path) -> None:
    grey = np.array([[0, 65535, 257 * 10]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert decode_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 0, 245]


def test_decode_image__refuses_32_bit_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    assert "32-bit" in reason(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_decode_image__refuses_truncated_files(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = saved(noise, tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    assert reason(path)


def test_decode_image__refuses_a_truncated_jpeg_whose_thumbnail_is_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    thumbnail = io.BytesIO()
    Image.fromarray(noise[:8, :8]).save(thumbnail, "jpeg")
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(thumbnail.getvalue())) + thumbnail.getvalue()
    data = saved(noise, tmp_path / "a.jpg", quality=95).read_bytes()
    whole = data[:2] + segment + data[2:]
    (tmp_path / "whole.jpg").write_bytes(whole + b"trailing bytes of the camera")
    assert decode_image(tmp_path / "whole.jpg").shape == (64, 64, 3)
    (tmp_path / "cut.jpg").write_bytes(whole[:-200])
    assert "truncated" in reason(tmp_path / "cut.jpg")


def test_decode_image__refuses_what_is_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "empty" in reason(tmp_path / "empty.png")
    (tmp_path / "text.jpg").write_text("no picture")
    assert "not a PNG, JPEG" in reason(tmp_path / "text.jpg")
    (tmp_path / "folder.png").mkdir()
    assert "folder" in reason(tmp_path / "folder.png")
    assert "does not exist" in reason(tmp_path / "absent.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    assert "regular file" in reason(tmp_path / "pipe.png")
    (tmp_path / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert "not a PNG" in reason(tmp_path / "postscript.png")


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (b"GIF89a", "is a GIF picture, which is not read; save it as PNG, TIFF or JPEG"),
        (b"\0\0\0\x18ftypheic", "is a HEIC picture"),
        (b"\0\0\0\x1cftypavif", "is a AVIF picture"),
        (b"\0\0\0\x0cjP  \r\n", "is a JPEG 2000 picture"),
        (bytes(128) + b"DICM", "is a DICOM picture"),
        (b"8BPS", "is a Photoshop picture"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"PK\x03\x04", "unpack it"),
    ],
)
def test_decode_image__names_a_picture_of_another_format(tmp_path: Path, start: bytes, fault: str) -> None:
    (tmp_path / "a.png").write_bytes(start + bytes(200))
    assert fault in reason(tmp_path / "a.png")


def test_decode_image__reports_a_missing_permission(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(picture, tmp_path / "a.png")
    path.chmod(0)
    if os.geteuid() == 0:  # root reads everything

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    assert "permission" in reason(path)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG that claims to be huge and holds nothing: decoding it would fail in another way."""

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    )
    return path


def test_decode_image__refuses_a_bomb_by_its_header(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 30_000, 30_000)
    assert "30000 x 30000" in reason(path)
    with pytest.raises(ImageError, match="too large"):
        image_size(path)
    assert image_size(path, max_pixels=10**9) == (30_000, 30_000)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_decode_image__keeps_the_limit_for_every_format(
    tmp_path: Path, picture: np.ndarray, suffix: str
) -> None:
    path = saved(picture, tmp_path / f"a{suffix}")
    assert decode_image(path, max_pixels=60 * 40).shape == picture.shape
    assert "too large" in reason(path, max_pixels=60 * 40 - 1)


def test_image_error__survives_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError(Path("a") / "b.png", "is\n broken")))
    assert (error.path, error.reason, str(error)) == (Path("a/b.png"), "is broken", "a/b.png: is broken")


def test_failures__are_written_counted_and_summed_up(tmp_path: Path) -> None:
    failures = Failures()
    assert failures.summary() == "nothing had to be left out"
    failures.add("b,1.png", 'is "broken"')
    failures.add(Path("a.png"), "is\nempty")
    failures.add("a.png", "is empty")
    assert failures.count == len(failures) == 2
    failures.write(tmp_path / "out" / "failures.csv")
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            ["a.png", "is empty"],
            ["b,1.png", 'is "broken"'],
        ]
    assert failures.summary() == '2 entries were left out, the first: b,1.png (is "broken")'


@pytest.mark.smears
def test_decode_image__agrees_with_pillow_on_real_smears(smears: Path) -> None:
    for folder in sorted(path for path in smears.iterdir() if path.is_dir()):
        images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        for path in images[:: max(1, len(images) // 4)]:
            expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
            decoded = decode_image(path)
            assert decoded.shape == expected.shape
            assert np.abs(decoded.astype(int) - expected).max() <= 3
            assert image_size(path) == decoded.shape[1::-1]
