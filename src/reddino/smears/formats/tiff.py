"""TIFF and BigTIFF: the picture of a file in any layout that is known to come out right."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats import tiff_colours
from reddino.smears.formats.focus import ALL_PLANES, focus_stack, sharpness
from reddino.smears.formats.samples import Samples
from reddino.smears.formats.tiff_layout import JPEG, NONE, TiffLayout, read_layout, require_readable
from reddino.smears.formats.tiff_planes import Planes, find_planes
from reddino.smears.formats.tiff_structure import Page, TiffReader

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: Planes among which the sharpest is searched; of more than these one must be named.
MAX_PLANES = 256
# tifffile reports what it finds odd to its logger, which would print it next to our own sentence.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class TiffHeader:
    """The picture of a TIFF, as its tags describe it.

    Attributes:
        layout: of its planes.
        planes: the pages that hold them.
        stated: bits that count in a sample; None where the file does not state them.
    """

    layout: TiffLayout
    planes: Planes
    stated: int | None


def read_tiff_header(path: Path, file: IO[bytes], max_pixels: int) -> TiffHeader:
    """Find the picture of a TIFF and how it is stored; no pixel is read.

    Raises:
        ImageError: damaged, too large, without a picture, or of a layout that is not read.
    """
    planes = find_planes(path, TiffReader(path, file))
    page = planes.pages[0]
    layout = read_layout(path, page)
    require_readable(path, layout, max_pixels)
    if planes.colours > 1 and layout.samples > 1:
        raise ImageError(path, "is a TIFF whose channels have several samples each; save it as RGB")
    return TiffHeader(layout, planes, planes.stated or _stated_depth(page, layout))


def _stated_depth(page: Page, layout: TiffLayout) -> int | None:
    """Return the bits that the tags of the largest sample value allow; None where they add nothing."""
    for tag in (341, 281):  # SMaxSampleValue, MaxSampleValue
        values = page.numbers(tag)
        if len(values) and float(values[0]).is_integer():
            highest = int(values[0])
            # Only a full scale is one: some programs write the largest value of the picture here.
            if highest > 0 and highest & (highest + 1) == 0 and 8 <= highest.bit_length() < layout.bits:
                return highest.bit_length()
    return None


def decode_tiff(path: Path, file: IO[bytes], header: TiffHeader, plane: int | None) -> Samples:
    """Decode the pixels of one plane, as stored.

    Args:
        path: the file, for errors.
        file: the same, open.
        header: of it.
        plane: which focus plane, from 1; -1: the sharpest parts of all; None: the sharpest.

    Raises:
        ImageError: there is no such plane, or its data are damaged or incomplete.
    """
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        if plane is None:
            plane = _sharpest(path, tiff, header)
        if plane == ALL_PLANES:
            first = _plane(path, tiff, header, 0)
            every = (_plane(path, tiff, header, number).values for number in range(len(header.planes)))
            return replace(first, values=focus_stack(every))
        if not 1 <= plane <= len(header.planes):
            raise ImageError(path, f"has {len(header.planes)} plane(s) and no plane {plane}")
        return _plane(path, tiff, header, plane - 1)


def sharpest_plane(path: Path, file: IO[bytes], header: TiffHeader) -> int:
    """Return the number, from 1, of the focus plane with the largest variance of the Laplacian."""
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        return _sharpest(path, tiff, header)


def _sharpest(path: Path, tiff: Any, header: TiffHeader) -> int:
    count = len(header.planes)
    if count == 1:
        return 1
    if count > MAX_PLANES:
        raise ImageError(path, f"has {count} planes; name one in the column plane of its manifest")
    return 1 + int(
        np.argmax([sharpness(_plane(path, tiff, header, number).values) for number in range(count)])
    )


def _plane(path: Path, tiff: Any, header: TiffHeader, number: int) -> Samples:
    pages = header.planes.plane(number)
    layout = header.layout
    stored = [_stored(path, tiff, page, layout) for page in pages]
    if len(stored) > 1:
        grey = [tiff_colours.colours(path, one, layout, np.empty(0)) for one in stored]
        return Samples(np.stack([one.values for one in grey], axis=2), grey[0].bits, header.stated)
    found = tiff_colours.colours(path, stored[0], layout, pages[0].numbers(320))
    return Samples(found.values, found.bits, header.stated, found.white_is_zero)


def _stored(path: Path, tiff: Any, page: Page, layout: TiffLayout) -> NDArray[Any]:
    """Return the samples of a page as (H, W, samples)."""
    if read_layout(path, page) != layout:
        raise ImageError(path, "has planes of different layouts")
    _require_segments(path, page, layout)
    found = tiff.pages[page.index]
    if page.sub is not None:
        found = found.pages[page.sub]
    if (found.imagewidth, found.imagelength, found.samplesperpixel) != (
        layout.width,
        layout.height,
        layout.samples,
    ):
        raise ImageError(path, "damaged (two readers of the TIFF find different sizes)")
    values = found.asarray(squeeze=False, maxworkers=1)
    if values.shape[1] != 1:
        raise ImageError(path, "is a TIFF with volumes, which is not read; save a plane of it")
    # (separate samples, depth, H, W, samples of a pixel)
    interleaved: NDArray[Any] = values[:, 0, :, :, 0].transpose(1, 2, 0) if layout.planar else values[0, 0]
    if interleaved.shape != (layout.height, layout.width, layout.samples):
        raise ImageError(path, "damaged (two readers of the TIFF find different layouts)")
    return interleaved


def _require_segments(path: Path, page: Page, layout: TiffLayout) -> None:
    """Refuse a page whose strips or tiles are not all there: tifffile fills the gaps with zeros."""
    tags = (324, 325) if layout.tiled else (273, 279)
    offsets, counts = (page.numbers(tag).astype(np.int64) for tag in tags)
    what = "tiles" if layout.tiled else "strips"
    if len(offsets) < layout.segments or len(counts) < layout.segments:
        raise ImageError(path, f"truncated (the TIFF has {len(offsets)} {what} of {layout.segments})")
    offsets, counts = offsets[: layout.segments], counts[: layout.segments]
    if (counts <= 0).any() or (offsets <= 0).any() or (offsets + counts > page.reader.size).any():
        raise ImageError(path, f"truncated ({what} of the TIFF are missing or cut)")
    if layout.compression == NONE:
        _require_lengths(path, layout, counts, what)
    elif layout.compression == JPEG:
        for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
            _require_whole_jpeg(path, page, offset, count)


def _require_lengths(path: Path, layout: TiffLayout, counts: NDArray[np.int64], what: str) -> None:
    """Refuse segments without compression that hold fewer bytes than their pixels take."""
    rows = np.full(len(counts), layout.segment[1])
    if not layout.tiled:
        down = -(-layout.height // layout.segment[1])
        rows[down - 1 :: down] = layout.height - (down - 1) * layout.segment[1]
    if (counts < rows * layout.row_bytes()).any():
        raise ImageError(path, f"truncated ({what} of the TIFF are shorter than their pixels)")


def _require_whole_jpeg(path: Path, page: Page, offset: int, count: int) -> None:
    """Refuse a JPEG segment of which libjpeg has to make up a part."""
    data, tables = page.reader.bytes_at(offset, count), page.numbers(347).tobytes()
    if tables:
        data = tables[:-2] + data[2:]
    try:
        simplejpeg.decode_jpeg(data, _jpeg_space(data))
    except ValueError as error:
        words = " ".join(str(error).split())
        if "subsampling" not in words:
            raise ImageError(path, f"truncated or damaged (JPEG in TIFF: {words[:120]})") from error


def _jpeg_space(data: bytes) -> str:
    space = str(simplejpeg.decode_jpeg_header(data)[2])
    return "CMYK" if space in ("CMYK", "YCCK") else "RGB"
