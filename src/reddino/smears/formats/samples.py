"""Samples as a file stores them, brought to 8-bit RGB by one depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.suffixes import PLAIN_SUFFIXES

#: Depths that a camera may have, smallest first.
DEPTHS = (8, 10, 12, 14, 16)
# Of the samples of a picture, so many may lie above its depth: hot pixels.
_OUTLIERS = 0.01
# Samples that are scaled at once (16 MB as float32).
_BLOCK = 2**22


@dataclass(frozen=True)
class Samples:
    """A picture as its file stores it.

    Attributes:
        values: (H, W) grey or (H, W, 3) RGB, unsigned whole numbers.
        bits: that the file format gives each sample.
        stated: bits that count, where the file itself states them; else None.
        white_is_zero: whether 0 is the brightest.
    """

    values: NDArray[Any]
    bits: int
    stated: int | None = None
    white_is_zero: bool = False


@dataclass(frozen=True)
class Levels:
    """A window of samples: `black` and what is below becomes 0, `white` and what is above becomes 255."""

    black: int
    white: int


def as_rgb(
    path: Path, samples: Samples, bit_depth: int | None, levels: Levels | None = None
) -> NDArray[np.uint8]:
    """Scale samples to (H, W, 3) uint8 RGB.

    Args:
        path: the file, for the error.
        samples: of it.
        bit_depth: bits that count in a 16- or 32-bit sample; None: what the file states, else 16.
        levels: the window of its source, in place of a depth; None: all values of the depth.

    Raises:
        ImageError: more than one in a hundred samples lies above the depth, 32-bit samples have none, or the
            picture is one of 8 bits, whose values a window of deeper ones does not fit.
    """
    values = samples.values
    if levels is not None:
        scaled = _within(path, samples, levels)
    elif values.dtype == np.uint8 and samples.bits == 8:
        scaled = 255 - values if samples.white_is_zero else values
    else:
        depth = _depth(path, samples, bit_depth)
        scaled = eight_bits(values, depth, white_is_zero=samples.white_is_zero)
        above = _above(values, depth) if depth < samples.bits else 0
        if above > _OUTLIERS * values.size:
            raise ImageError(
                path,
                f"{above / values.size:.0%} of its samples lie above {depth} bits; give the right bit_depth "
                "for its source",
            )
    return np.repeat(scaled[:, :, None], 3, axis=2) if scaled.ndim == 2 else scaled


@dataclass(frozen=True)
class Scale:
    """How samples of more than 8 bits are brought to 8: by a depth, or by a window."""

    bit_depth: int | None
    levels: Levels | None

    @classmethod
    def of(cls, path: Path, bit_depth: int | None, black_level: int | None, white_level: int | None) -> Scale:
        """Return it; one level alone, or one that is not below the other, is no window."""
        if black_level is None and white_level is None:
            return cls(bit_depth, None)
        if black_level is None or white_level is None or not black_level < white_level:
            raise ImageError(path, "needs a black_level and a white_level above it, or neither")
        return cls(bit_depth, Levels(black_level, white_level))

    def rgb(self, path: Path, samples: Samples) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of the samples of a PNG or TIFF."""
        if self.levels is None:
            _require_depth(path, samples, self.bit_depth)
        return as_rgb(path, samples, self.bit_depth, self.levels)


def _require_depth(path: Path, samples: Samples, bit_depth: int | None) -> None:
    """Refuse deep samples under the name of a format without them: their source got no depth for them."""
    misnamed = str(path).lower().endswith(PLAIN_SUFFIXES)
    if misnamed and samples.bits >= 16 and samples.stated is None and bit_depth is None:
        raise ImageError(
            path,
            f"has {samples.bits}-bit samples, which a {path.suffix} file lacks; name it by its format, .png "
            "or .tif",
        )


def _within(path: Path, samples: Samples, levels: Levels) -> NDArray[np.uint8]:
    """Scale samples by a window."""
    if samples.bits <= 8:
        raise ImageError(
            path,
            "has 8-bit samples, and its manifest gives the black_level and white_level of deeper ones; leave "
            "both empty for it",
        )
    if levels.black >= 2**samples.bits - 1:
        raise ImageError(
            path,
            f"has {samples.bits}-bit samples, all of them black by the black_level {levels.black} of its "
            "manifest; give the right levels for its source",
        )
    scale = 255.0 / (levels.white - levels.black)
    scaled = np.empty(samples.values.shape, np.uint8)
    for block, target in zip(_blocks(samples.values), _blocks(scaled), strict=True):
        # In float64, whose subtraction is exact for all samples of 32 bits.
        bright = np.rint(np.clip((block.astype(np.float64) - levels.black) * scale, 0.0, 255.0))
        target[:] = 255 - bright if samples.white_is_zero else bright
    return scaled


def _depth(path: Path, samples: Samples, bit_depth: int | None) -> int:
    if samples.bits < 16:
        return samples.bits
    if bit_depth is not None and not 1 <= bit_depth <= samples.bits:
        raise ImageError(path, f"a bit_depth of {bit_depth} does not fit samples of {samples.bits} bits")
    depth = bit_depth or samples.stated or (16 if samples.bits == 16 else None)
    if depth is None:
        raise ImageError(
            path,
            f"has {samples.bits}-bit samples and does not state how many bits count; fill the column "
            "bit_depth of its manifest, or save it with 8 or 16 bits",
        )
    return depth


def _above(values: NDArray[Any], depth: int) -> int:
    return sum(int(np.count_nonzero(block >= 2**depth)) for block in _blocks(values))


def eight_bits(values: NDArray[Any], depth: int, *, white_is_zero: bool = False) -> NDArray[np.uint8]:
    """Bring samples of `depth` bits to 8 bits; larger values become 255.

    Args:
        values: unsigned whole numbers, any shape.
        depth: 2**depth - 1 becomes 255.
        white_is_zero: 0 becomes 255 instead.
    """
    highest = 2**depth - 1
    scale = np.float64(255 / highest) if depth > 16 else np.float32(255 / highest)
    scaled = np.empty(values.shape, np.uint8)
    for block, target in zip(_blocks(values), _blocks(scaled), strict=True):
        bright = np.rint(np.minimum(block, highest) * scale)
        target[:] = 255 - bright if white_is_zero else bright
    return scaled


def _blocks(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return runs of rows, which bound the memory of what is computed from them."""
    rows = max(1, _BLOCK // max(1, values[:1].size))
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def robust_highest(values: NDArray[Any]) -> int:
    """Return the value that one sample in a thousand exceeds: the largest without hot pixels."""
    if values.dtype != np.uint16:
        return int(np.quantile(values, 0.999, method="lower"))
    counts = np.zeros(2**16, np.int64)
    for block in _blocks(values):
        counts += np.bincount(block.reshape(-1), minlength=2**16)
    return int(np.searchsorted(np.cumsum(counts), 0.999 * values.size))


def smallest_depth(highest: int) -> int:
    """Return the smallest of `DEPTHS` that holds a value."""
    return next((bits for bits in DEPTHS if highest < 2**bits), DEPTHS[-1])


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation: 2-4 mirror or turn by 180 degrees, 5-8 also swap the axes."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
