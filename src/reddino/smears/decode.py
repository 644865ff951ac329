"""Image files to RGB pixels; a damaged file is refused with a reason, never half-read."""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from reddino.smears.failures import Failures, ImageError
from reddino.smears.formats import foreign, png, tiff, webp
from reddino.smears.formats.exif import ORIENTATION, exif_orientation, valid_orientation
from reddino.smears.formats.focus import ALL_PLANES
from reddino.smears.formats.jpeg import decode_jpeg, jpeg_bytes_per_pixel
from reddino.smears.formats.limits import MAX_PIXELS, require_memory
from reddino.smears.formats.reasons import reasons
from reddino.smears.formats.samples import Samples, Scale, eight_bits, upright
from reddino.smears.formats.window import Window
from reddino.smears.shards import open_shard, read_member, split_member
from reddino.smears.slides import pictures as parts
from reddino.smears.slides.files import is_large_pyramid_file
from reddino.smears.slides.names import split_slide
from reddino.smears.stored_pictures import (
    COPY_FIRST,
    open_picture,
    open_picture_header,
    require_picture_url,
)
from reddino.smears.suffixes import IMAGE_SUFFIXES

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Failures",
    "ImageError",
    "PictureHeader",
    "decode_bytes",
    "decode_image",
    "eight_bits",
    "image_orientation",
    "image_size",
    "read_header",
    "sharpest_plane",
    "stored_samples",
]

_BMP_BYTES_PER_PIXEL = 4  # of Pillow


@dataclass(frozen=True)
class PictureHeader:
    """The header of a picture: how its samples are stored, and its pages.

    Attributes:
        bits: of a sample, as stored.
        stated: bits that count in a sample, where the file states them.
        planes: focus planes of the picture.
        others: further pages of the file, which are not read.
        rivals: how many of them could be pictures of their own.
    """

    bits: int = 8
    stated: int | None = None
    planes: int = 1
    others: int = 0
    rivals: int = 0


def decode_image(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int | None = None,
    plane: int | None = None,
    grey_channel: int | None = None,
    black_level: int | None = None,
    white_level: int | None = None,
) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG, BMP, TIFF or WebP file, whatever its suffix, or a part of a microscope file.

    Grey and palette images become RGB, an alpha channel is dropped, EXIF rotation is applied. Of the pages of
    a TIFF the picture is taken, never its thumbnail; of several focus planes the sharpest. 16-bit samples are
    brought to 8 bits by one depth, never by what the picture happens to hold: `reddino.smears.depths` finds
    that of a source.

    Args:
        path: the image file, `shard.tar::member`, or `slide.svs::x0-y0-w512-h512`.
        max_pixels: larger images are refused before anything is decoded; of images that take more memory a
            pixel than 8-bit colours, fewer pixels are allowed.
        bit_depth: bits that count in a 16-bit sample (12 where a 12-bit camera's values end at 4095); None:
            what the file itself states, else 16.
        plane: number of the focus plane, from 1; -1: the sharpest parts of all; None: the sharpest.
        grey_channel: number, from 1, of the channel of a microscope file that is taken as grey; None: its
            colours.
        black_level: sample of more than 8 bits that becomes 0, with those below it; None: as of the depth.
        white_level: sample that becomes 255, with those above it; one window is that of a whole source.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        ImageError: missing, unreadable, empty, not an image, truncated, damaged, too large, or of a layout
            that is not read.
    """
    path = Path(path)
    part = split_slide(path)
    scale = Scale.of(path, bit_depth, black_level, white_level)
    if part is not None:
        depth, levels = scale.bit_depth, scale.levels
        return parts.part_pixels(
            part, max_pixels, bit_depth=depth, plane=plane, channel=grey_channel, levels=levels
        )
    parts.require_no_channel(path, grey_channel)
    with reasons(path), _open_file(path) as file:
        return _decode(path, file, max_pixels, scale, plane)


def decode_bytes(
    name: str | Path,
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int | None = None,
    plane: int | None = None,
    grey_channel: int | None = None,
    black_level: int | None = None,
    white_level: int | None = None,
) -> NDArray[np.uint8]:
    """Decode the bytes of an image file as `decode_image` does; errors call it `name`."""
    path = Path(name)
    parts.require_no_channel(path, grey_channel)
    with reasons(path), io.BytesIO(data) as file:
        if not data:
            raise ImageError(path, "the file is empty")
        return _decode(path, file, max_pixels, Scale.of(path, bit_depth, black_level, white_level), plane)


def image_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return the width and height in pixels after EXIF rotation, from the header alone.

    Raises:
        ImageError: as `decode_image`, as far as the header shows it.
    """
    width, height, orientation = _stored_frame(Path(path), max_pixels)
    return (height, width) if orientation >= 5 else (width, height)


def image_orientation(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> int:
    """Return the EXIF orientation, 1 to 8, that `decode_image` undoes; 1 where a picture is stored upright.

    Raises:
        ImageError: as `image_size`.
    """
    return _stored_frame(Path(path), max_pixels)[2]


def _stored_frame(path: Path, max_pixels: int) -> tuple[int, int, int]:
    """Return the width and height as stored, and the orientation."""
    part = split_slide(path)
    if part is not None:
        return *parts.part_size(part, max_pixels), 1
    with reasons(path), _open_header(path) as file:
        kind = _kind(path, file)
        if kind == "TIFF":
            layout = tiff.read_tiff_header(path, file, max_pixels).layout
            return layout.width, layout.height, layout.orientation
        if kind == "WebP":
            found = webp.read_webp_header(path, file.read())
            require_memory(path, found.width, found.height, webp.BYTES_PER_PIXEL, max_pixels)
            return found.width, found.height, found.orientation
        header = _pillow_header(path, kind, file, max_pixels)
        return *header.size, _orientation(header, file)


def read_header(path: str | Path) -> PictureHeader:
    """Read the depth and the focus planes of a picture from its header: a few hundred bytes.

    Raises:
        ImageError: the header cannot be read.
    """
    path = Path(path)
    part = split_slide(path)
    if part is not None:
        return PictureHeader(*parts.part_depth(part))
    with reasons(path), _open_header(path) as file:
        kind = _kind(path, file)
        if kind == "PNG":
            header = png.read_png_header(path, file)
            return PictureHeader(header.bits, header.stated)
        if kind == "TIFF":
            found = tiff.read_tiff_header(path, file, MAX_PIXELS)
            planes = found.planes
            return PictureHeader(found.layout.bits, found.stated, len(planes), planes.others, planes.rivals)
        return PictureHeader()


def stored_samples(path: str | Path, plane: int | None = None, grey_channel: int | None = None) -> Samples:
    """Return the samples of a 16-bit PNG or TIFF as they are stored, neither scaled nor turned.

    Raises:
        ImageError: as `decode_image`, or the file is of another format.
    """
    path = Path(path)
    part = split_slide(path)
    if part is not None:
        return parts.part_samples(part, plane, grey_channel)
    with reasons(path), _open_file(path) as file:
        kind = _kind(path, file)
        if kind == "TIFF":
            return tiff.decode_tiff(path, file, tiff.read_tiff_header(path, file, MAX_PIXELS), plane)
        if kind != "PNG":
            raise ImageError(path, "has 8-bit samples")
        return _png_samples(path, file, MAX_PIXELS)[0]


def sharpest_plane(path: str | Path, grey_channel: int | None = None) -> int:
    """Return the number, from 1, of the sharpest focus plane of a TIFF."""
    path = Path(path)
    part = split_slide(path)
    if part is not None:
        return parts.part_sharpest(part, grey_channel)
    with reasons(path), _open_file(path) as file:
        return tiff.sharpest_plane(path, file, tiff.read_tiff_header(path, file, MAX_PIXELS))


def _decode(
    path: Path, file: IO[bytes], max_pixels: int, scale: Scale, plane: int | None
) -> NDArray[np.uint8]:
    kind = _kind(path, file)
    if plane not in (None, ALL_PLANES, 1) and kind != "TIFF":
        raise ImageError(path, f"has 1 plane and no plane {plane}")
    if scale.levels is not None and kind not in ("PNG", "TIFF"):
        raise ImageError(path, "has 8-bit samples; leave its black_level and white_level empty")
    if kind == "JPEG":
        pixels, orientation = _jpeg(path, file, max_pixels)
    elif kind == "PNG":
        samples, orientation = _png_samples(path, file, max_pixels)
        pixels = scale.rgb(path, samples)
    elif kind == "TIFF":
        header = tiff.read_tiff_header(path, file, max_pixels)
        orientation = header.layout.orientation
        samples = tiff.decode_tiff(path, file, header, plane)
        pixels = scale.rgb(path, samples)
    elif kind == "WebP":
        data = file.read()
        found = webp.read_webp_header(path, data)
        require_memory(path, found.width, found.height, webp.BYTES_PER_PIXEL, max_pixels)
        pixels, orientation = webp.decode_webp(path, data, found), found.orientation
    else:
        bmp = _pillow_header(path, kind, file, max_pixels)
        pixels, orientation = np.array(bmp.convert("RGB")), 1
    return np.ascontiguousarray(upright(pixels, orientation))


def _jpeg(path: Path, file: IO[bytes], max_pixels: int) -> tuple[NDArray[np.uint8], int]:
    header = _pillow_header(path, "JPEG", file, max_pixels)
    assert isinstance(header, JpegImageFile)
    scan = file.tell()  # Pillow reads the header up to where the scan starts
    file.seek(0)
    data = file.read()
    file.seek(scan)
    # Orientation is ours to apply: one reading of EXIF for all formats.
    return decode_jpeg(path, data, header, scan), _orientation(header, file)


def _png_samples(path: Path, file: IO[bytes], max_pixels: int) -> tuple[Samples, int]:
    header = _pillow_header(path, "PNG", file, max_pixels)
    orientation = _orientation(header, file)
    own = png.read_png_header(path, file)
    return png.decode_png(path, file.read(), own), orientation


def _open_file(path: Path) -> IO[bytes]:
    member = split_member(path)
    if member is not None:
        data = read_member(*member)
        if not data:
            raise ImageError(path, "the file is empty")
        return io.BytesIO(data)
    url = require_picture_url(path)
    if url is not None:
        return _open_object(path, url)
    parts.require_spelling(path)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(path, "is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "is not a regular file")
    if status.st_size == 0:
        raise ImageError(path, "the file is empty")
    return path.open("rb")


def _open_object(path: Path, url: str) -> IO[bytes]:
    """Open the bytes of a picture in a store; a TIFF that is read region by region is none."""
    file = open_picture(path, url)
    if is_large_pyramid_file(path, file):
        raise ImageError(path, COPY_FIRST)
    file.seek(0)
    return file


def _open_header(path: Path) -> IO[bytes]:
    """Open a file as `_open_file` does; of the member of a shard, only the bytes that are needed are read."""
    url = require_picture_url(path)
    if url is not None:
        return open_picture_header(path, url)
    member = split_member(path)
    if member is not None:
        shard, name = member
        offset, size = open_shard(shard).members.get(name, (0, 0))
        if size:
            return io.BufferedReader(Window(shard, offset, size))
    return _open_file(path)


def _kind(path: Path, file: IO[bytes]) -> str:
    """Return the format, by content and not by suffix; leave the file at its start.

    `Image.open` is avoided: it opens dozens of formats, some of which start other programs.
    """
    start = file.read(foreign.LENGTH)
    file.seek(0)
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(png.SIGNATURE):
        return "PNG"
    if start.startswith(b"BM"):
        return "BMP"
    if start[:4] in tiff.SIGNATURES:
        return "TIFF"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    raise ImageError(path, foreign.what_it_is(start) or "is not a PNG, JPEG, BMP, TIFF or WebP image")


def _pillow_header(path: Path, kind: str, file: IO[bytes], max_pixels: int) -> ImageFile:
    """Read a header with Pillow, and check the size before any pixel is decoded."""
    header: ImageFile
    if kind == "JPEG":
        header = JpegImageFile(file)
        stored = jpeg_bytes_per_pixel(header)
    elif kind == "PNG":
        stored = png.read_png_header(path, file).bytes_per_pixel
        header = PngImageFile(file)
    else:
        header, stored = BmpImageFile(file), _BMP_BYTES_PER_PIXEL
    require_memory(path, *header.size, stored, max_pixels)
    return header


def _orientation(image: ImageFile, file: IO[bytes]) -> int:
    if isinstance(image, PngImageFile):
        late = png.late_exif(file)
        if late is not None:
            return exif_orientation(late)
    # The method of the base class: that of PNG decodes the image first, in case EXIF data follow the pixels.
    return valid_orientation(Image.Image.getexif(image).get(ORIENTATION, 1))
