"""The layout of a TIFF page's pixels: read from its tags, and refused by name where it is not supported."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import require_memory
from reddino.smears.formats.tiff_structure import Page

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
_PHOTOMETRICS = {
    MASK: "a transparency mask", 8: "CIELab colours", 9: "ICCLab colours", 10: "ITULab colours",
    32803: "raw sensor values (CFA)", 32844: "LogL values", 32845: "LogLuv values",
    34892: "linear raw values", 51177: "a depth map",
}  # fmt: skip
NONE, JPEG = 1, 7
_COMPRESSIONS = {
    NONE, 2, 3, 4, 5, JPEG, 8, 32946, 32773, 34925, 34926, 50000, 34927, 50001, 34712, 33005,
}  # fmt: skip
_REFUSED = {6: "old-style JPEG", 33003: "JPEG 2000 in Aperio's YCbCr", 34887: "LERC", 32809: "ThunderScan"}
# Codecs that unpack whole pictures: a predictor or reversed bits have no meaning there.
_PICTURE_CODECS = (JPEG, 50001, 34927, 34712, 33005)
# Codecs with which libtiff supports a predictor.
_PREDICTED = (5, 8, 32946, 34925, 34926, 50000)
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_ASSOCIATED, _UNASSOCIATED = 1, 2
_CHUNKY, _PLANAR = 1, 2


@dataclass(frozen=True)
class TiffLayout:
    """The layout of a page's pixels.

    Attributes:
        width, height: in pixels, as stored.
        samples: of a pixel.
        bits: of a sample.
        floating: whether samples are floating-point numbers.
        photometric: what they mean (tag 262).
        compression: tag 259.
        predictor: tag 317.
        planar: whether each sample has a plane of its own.
        extra: meanings of the samples beyond the colours (tag 338).
        orientation: tag 274.
        segment: width and height of a tile, or of a strip.
        tiled: whether segments are tiles.
        reversed_bits: whether the bits of each byte are in reverse (tag 266).
        inks: tag 332; 1 is CMYK.
    """

    width: int
    height: int
    samples: int
    bits: int
    floating: bool
    photometric: int
    compression: int
    predictor: int
    planar: bool
    extra: tuple[int, ...]
    orientation: int
    segment: tuple[int, int]
    tiled: bool
    reversed_bits: bool
    inks: int

    @property
    def colours(self) -> int:
        """Samples that are colours, and neither alpha nor anything else."""
        return {RGB: 3, CMYK: 4, YCBCR: 3}.get(self.photometric, 1)

    @property
    def item_bytes(self) -> int:
        """Bytes of a decoded sample."""
        return next(size for size in (1, 2, 4, 8) if self.bits <= 8 * size or size == 8)

    @property
    def segments(self) -> int:
        """Strips or tiles of the page."""
        across = ceil(self.width / self.segment[0]) * ceil(self.height / self.segment[1])
        return across * (self.samples if self.planar else 1)

    def row_bytes(self) -> int:
        """Return the bytes of a row of a segment, not compressed."""
        return ceil(self.segment[0] * (1 if self.planar else self.samples) * self.bits / 8)

    @property
    def premultiplied(self) -> bool:
        """Whether the colours are multiplied by the alpha that follows them."""
        return self.extra[:1] == (_ASSOCIATED,)


def read_layout(path: Path, page: Page) -> TiffLayout:
    """Read the tags of a page.

    Raises:
        ImageError: they contradict each other.
    """
    bits = set(page.numbers(258).tolist()) or {1}
    formats = set(page.numbers(339).tolist()) or {_UNSIGNED}
    if len(bits) > 1 or len(formats) > 1:
        raise ImageError(
            path, f"has samples of several kinds (bits {sorted(bits)}); save it with 8 bits each"
        )
    width, height = page.number(256, 0), page.number(257, 0)
    tiled = 322 in page.tags
    rows = min(page.number(278, height) or height, height)
    segment = (page.number(322, 0), page.number(323, 0)) if tiled else (width, rows)
    floating, signed = formats == {_FLOAT}, formats == {_SIGNED}
    if not floating and formats - {_UNSIGNED, 4}:
        what = "signed" if signed else "complex"
        raise ImageError(path, f"has {what} samples; save it with 8 or 16 unsigned bits")
    orientation, planar = page.number(274, 1), page.number(284, _CHUNKY)
    if planar not in (_CHUNKY, _PLANAR) and page.number(277, 1) > 1:
        raise ImageError(path, f"damaged (a TIFF of planar configuration {planar})")
    return TiffLayout(
        width=width,
        height=height,
        samples=page.number(277, 1),
        bits=int(bits.pop()),
        floating=floating,
        photometric=page.number(262, -1),
        compression=page.number(259, NONE),
        predictor=page.number(317, 1),
        planar=planar == _PLANAR and page.number(277, 1) > 1,
        extra=tuple(int(one) for one in page.numbers(338).tolist()),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        segment=segment,
        tiled=tiled,
        reversed_bits=page.number(266, 1) == 2,
        inks=page.number(332, 1),
    )


def require_readable(path: Path, layout: TiffLayout, max_pixels: int) -> None:
    """Refuse by name what is not read right, and what takes too much memory.

    Raises:
        ImageError: the message names the layout.
    """
    stored = layout.samples * layout.item_bytes
    require_memory(path, layout.width, layout.height, stored, max_pixels)
    if not 1 <= layout.segment[0] <= 2**20 or not 1 <= layout.segment[1] <= 2**20:
        raise ImageError(path, f"damaged (TIFF tiles of {layout.segment[0]} x {layout.segment[1]})")
    require_memory(path, *layout.segment, stored, max_pixels)
    fault = layout_fault(layout)
    if fault is not None:
        raise ImageError(path, f"is a TIFF with {fault}, which is not read; save it as 8-bit RGB")


def layout_fault(layout: TiffLayout) -> str | None:
    """Return the part of a layout that is not read; None where all of it is."""
    if layout.photometric < 0:
        return "samples of unknown meaning (no photometric interpretation)"
    if layout.photometric not in range(7) or layout.photometric == MASK:
        return _PHOTOMETRICS.get(layout.photometric, f"colours of kind {layout.photometric}")
    if layout.compression not in _COMPRESSIONS:
        name = _REFUSED.get(layout.compression, f"number {layout.compression}")
        return f"compression {name}"
    if layout.samples < layout.colours:
        return f"{layout.samples} samples where its colours need {layout.colours}"
    return _bits_fault(layout) or _colours_fault(layout)


def _bits_fault(layout: TiffLayout) -> str | None:
    packs_pictures = layout.compression in _PICTURE_CODECS
    bits = f"{layout.bits}-bit"
    faults = {
        f"{bits} floating-point samples, whose white it does not give": layout.floating,
        f"{bits} samples": layout.bits not in (1, 2, 4, *range(8, 17), 32),
        f"{bits} samples in JPEG": layout.compression == JPEG and layout.bits != 8,
        f"predictor {layout.predictor} under compression {layout.compression}": layout.predictor != 1
        and not packs_pictures
        and (layout.predictor != 2 or layout.compression not in _PREDICTED),
        f"a predictor on {bits} samples": layout.predictor == 2 and layout.bits not in (8, 16, 32),
        f"fax compression of {bits} samples": layout.compression in (2, 3, 4) and layout.bits != 1,
        f"reversed bits (FillOrder 2) in {bits} samples": layout.reversed_bits and layout.bits > 8,
    }
    return next((fault for fault, holds in faults.items() if holds), None)


def _colours_fault(layout: TiffLayout) -> str | None:
    if layout.photometric == YCBCR and (layout.compression != JPEG or layout.planar):
        return "YCbCr colours that are not compressed as JPEG"
    if layout.photometric == CMYK and layout.inks != 1:
        return "inks that are not CMYK"
    if layout.photometric == PALETTE and (layout.samples > 2 or layout.bits > 8):
        return f"a palette for {layout.samples} samples of {layout.bits} bits"
    if layout.photometric == CMYK and layout.bits != 8:
        return f"CMYK colours of {layout.bits} bits"
    beyond = layout.samples - layout.colours
    if layout.colours == 1 and beyond:
        alpha = beyond == 1 and layout.extra[:1] in ((_ASSOCIATED,), (_UNASSOCIATED,))
        if not alpha:
            return f"{layout.samples} channels that it does not call red, green and blue"
    return None
