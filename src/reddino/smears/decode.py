"""Image files to RGB pixels; a damaged file is refused with a reason, never half-read."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from reddino.smears.failures import Failures, ImageError
from reddino.smears.shards import read_member, split_member

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Failures",
    "ImageError",
    "decode_bytes",
    "decode_image",
    "eight_bits",
    "image_orientation",
    "image_size",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 200_000_000

_ORIENTATION = 0x0112  # EXIF and TIFF tag
_BITS_PER_SAMPLE = 258  # TIFF tag
_PHOTOMETRIC = 262  # TIFF tag
_WHITE_IS_ZERO = 0


def decode_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG, BMP, TIFF or WebP file, whatever its suffix says.

    Grey and palette images become RGB, an alpha channel is dropped, EXIF rotation is applied, of several
    pages the first is taken. 16-bit samples are brought to 8 bits by the depth that the camera used: the
    smallest of 8, 10, 12, 14 and 16 bits that holds the largest value of the image, so that 12 bits stored in
    16 do not come out black.

    Args:
        path: the image file, or `shard.tar::member`.
        max_pixels: larger images are refused before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        ImageError: missing, unreadable, empty, not an image, truncated, or larger than `max_pixels`.
    """
    path = Path(path)
    with _reasons(path), _open_file(path) as file:
        return _decode(path, file, max_pixels)


def decode_bytes(name: str | Path, data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of an image file as `decode_image` does; errors call it `name`."""
    path = Path(name)
    with _reasons(path), io.BytesIO(data) as file:
        if not data:
            raise ImageError(path, "the file is empty")
        return _decode(path, file, max_pixels)


def _decode(path: Path, file: IO[bytes], max_pixels: int) -> NDArray[np.uint8]:
    header = _read_header(path, file, max_pixels)
    if isinstance(header, JpegImageFile) and header.mode in ("RGB", "L"):
        return np.ascontiguousarray(_decode_jpeg(path, file, header))
    return np.ascontiguousarray(_decode_other(path, file, header))


def image_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels after EXIF rotation, from the header alone.

    Raises:
        ImageError: as `decode_image`, as far as the header shows it.
    """
    path = Path(path)
    with _reasons(path), _open_file(path) as file:
        header = _read_header(path, file, max_pixels)
        if isinstance(header, PngImageFile) and _has_late_exif(file):
            header.load()
        width, height = header.size
        turned = not isinstance(header, TiffImageFile) and _orientation(header) >= 5
        return (height, width) if turned else (width, height)


def image_orientation(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> int:
    """The EXIF orientation, 1 to 8, that `decode_image` undoes; 1 where a picture is stored upright.

    Raises:
        ImageError: as `image_size`.
    """
    path = Path(path)
    with _reasons(path), _open_file(path) as file:
        header = _read_header(path, file, max_pixels)
        if isinstance(header, PngImageFile) and _has_late_exif(file):
            header.load()
        return _orientation(header)


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except PermissionError as error:
        raise ImageError(path, "no permission to read it") from error
    except FileNotFoundError as error:
        raise ImageError(path, "the file does not exist") from error
    except MemoryError as error:
        raise ImageError(path, "not enough memory to decode it") from error
    except Exception as error:  # on damaged files decoders raise anything, from struct.error to cv2.error
        words = " ".join(str(error).split())[:160] or type(error).__name__
        reason = f"truncated ({words})" if "truncated" in words else f"cannot be decoded ({words})"
        raise ImageError(path, reason) from error


def _open_file(path: Path) -> IO[bytes]:
    member = split_member(path)
    if member is not None:
        data = read_member(*member)
        if not data:
            raise ImageError(path, "the file is empty")
        return io.BytesIO(data)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(path, "is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "is not a regular file")
    if status.st_size == 0:
        raise ImageError(path, "the file is empty")
    return path.open("rb")


def _read_header(path: Path, file: IO[bytes], max_pixels: int) -> ImageFile:
    """Open by content, not by suffix, and check the size before any pixel is decoded.

    `Image.open` is avoided: it knows dozens of formats, some of which start other programs, and its own limit
    on the number of pixels is one setting for the whole process.
    """
    start = file.read(16)
    file.seek(0)
    kind = _kind(start)
    if kind is None:
        raise ImageError(path, "is not a PNG, JPEG, BMP, TIFF or WebP image")
    header = kind(file)
    width, height = header.size
    if width < 1 or height < 1:
        raise ImageError(path, f"has no pixels ({width} x {height})")
    if width * height > max_pixels:
        allowed = f"{max_pixels / 1e6:g} million are allowed"
        raise ImageError(path, f"is too large: {width} x {height} pixels, {allowed}; cut it into fields")
    return header


def _kind(start: bytes) -> type[ImageFile] | None:
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if start.startswith(b"BM"):
        return BmpImageFile
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TiffImageFile
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return WebPImageFile
    return None


def _orientation(image: ImageFile) -> int:
    # The method of the base class: that of PNG decodes the image first, in case EXIF data follow the pixels.
    value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_late_exif(file: IO[bytes]) -> bool:
    """Whether EXIF data follow the pixels of a PNG, found by stepping from chunk to chunk."""
    file.seek(8)
    seen_pixels = False
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"eXIf":
            return seen_pixels
        seen_pixels |= name == b"IDAT"
        file.seek(length + 4, 1)
    return False


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation: 2-4 mirror or turn by 180 degrees, 5-8 also swap the axes."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _decode_jpeg(path: Path, file: IO[bytes], header: ImageFile) -> NDArray[np.uint8]:
    """The fast path: OpenCV decodes an ordinary JPEG in two thirds of Pillow's time, to the same pixels."""
    scan = file.tell()  # Pillow reads the header up to where the scan starts
    file.seek(0)
    data = file.read()
    # OpenCV fills what is missing with grey and says nothing. In the scan 0xFF is always followed by a zero
    # or a marker, so the first end marker in it is the end of the image; those of thumbnails lie before the
    # scan.
    if data.find(b"\xff\xd9", scan) < 0:
        raise ImageError(path, "truncated (the end of the JPEG is missing)")
    # Orientation is ours to apply: one reading of EXIF for all formats.
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError(path, "cannot be decoded (the JPEG data are damaged)")
    return _upright(pixels, _orientation(header))


def _decode_other(path: Path, file: IO[bytes], header: ImageFile) -> NDArray[np.uint8]:
    deep = _is_16_bit(header)
    header.load()  # refuses truncated files, which OpenCV does not always
    if deep:
        file.seek(0)
        return _decode_16_bit(path, file.read(), header)
    if header.mode in ("I", "F"):
        raise ImageError(path, "has 32-bit pixels: save it with 8 or 16 bits")
    # Transparent palettes go by way of RGBA: Pillow warns of the direct way, though the colours are the same.
    mode = "RGBA" if header.mode == "P" and "transparency" in header.info else "RGB"
    pixels = np.array(header.convert(mode))[:, :, :3]
    # Pillow has turned a TIFF upright while loading it and no longer reports an orientation.
    return _upright(pixels, _orientation(header))


def _is_16_bit(header: ImageFile) -> bool:
    if isinstance(header, TiffImageFile):
        return set(header.tag_v2.get(_BITS_PER_SAMPLE, (1,))) == {16}
    return isinstance(header, PngImageFile) and "16" in str(header.tile[0].args)


def _decode_16_bit(path: Path, data: bytes, header: ImageFile) -> NDArray[np.uint8]:
    """Pillow keeps 8 bits of a 16-bit colour image; OpenCV keeps them all."""
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(path, "cannot be decoded (an unusual kind of 16-bit image)")
    # OpenCV's channels are blue, green, red, alpha; alpha must have no say in how deep the image is.
    colour = np.repeat(deep[:, :, None], 3, axis=2) if deep.ndim == 2 else deep[:, :, 2::-1]
    pixels = eight_bits(colour)
    if isinstance(header, TiffImageFile) and header.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    return _upright(pixels, _orientation(header))


def eight_bits(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale samples to 8 bits by the camera's depth: the smallest of 8 to 16 bits that holds the maximum."""
    highest = int(deep.max(initial=0))
    depth = next(bits for bits in (8, 10, 12, 14, 16) if highest < 2**bits)
    scale = 255 / (2**depth - 1)
    scaled: NDArray[np.uint8] = np.rint(deep * np.float32(scale)).astype(np.uint8)
    return scaled
