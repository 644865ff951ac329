"""The samples of a TIFF page as grey or RGB: palettes, inks and transparency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import ImageError
from reddino.smears.formats.samples import Samples
from reddino.smears.formats.tiff_layout import CMYK, JPEG, PALETTE, WHITE_IS_ZERO, TiffLayout


def colours(path: Path, stored: NDArray[Any], layout: TiffLayout, palette: NDArray[Any]) -> Samples:
    """Return the grey or RGB samples of a page.

    Args:
        path: the file, for errors.
        stored: (H, W, samples).
        layout: of the page.
        palette: the colour map (tag 320), all reds, then all greens, then all blues.

    Raises:
        ImageError: a palette of the wrong length.
    """
    white_is_zero = layout.photometric == WHITE_IS_ZERO
    if layout.photometric == PALETTE:
        return Samples(_from_palette(path, stored[:, :, 0], layout, palette), 8)
    values = _integers(stored, layout)
    if layout.photometric == CMYK:
        return Samples(_from_inks(values), 8)
    if layout.premultiplied and layout.compression != JPEG:
        values = _unmultiplied(values, layout)
    return Samples(_chosen(values, layout), layout.bits, white_is_zero=white_is_zero)


def _chosen(values: NDArray[Any], layout: TiffLayout) -> NDArray[Any]:
    """Return the colours alone: (H, W) or (H, W, 3)."""
    return values[:, :, 0] if layout.colours == 1 else values[:, :, :3]


def _integers(stored: NDArray[Any], layout: TiffLayout) -> NDArray[Any]:
    if stored.dtype == np.bool_:
        return stored.astype(np.uint8)
    return stored


def _from_palette(
    path: Path, indices: NDArray[Any], layout: TiffLayout, palette: NDArray[Any]
) -> NDArray[np.uint8]:
    size = 2**layout.bits
    if len(palette) != 3 * size:
        raise ImageError(path, f"damaged (a TIFF palette of {len(palette)} values for {size} colours)")
    # The format requires 16 bits; some programs write 8.
    eight = palette if int(palette.max(initial=0)) < 256 else palette // 256
    table = eight.reshape(3, size).T.astype(np.uint8)
    return table[indices.astype(np.uint8)]


def _from_inks(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert CMYK without a profile: each ink takes away its fraction of the light, black of all three."""
    paper = (255 - values[:, :, :4]).astype(np.uint16)
    product = paper[:, :, :3] * paper[:, :, 3:]
    return ((product + 127) // 255).astype(np.uint8)


def _unmultiplied(values: NDArray[Any], layout: TiffLayout) -> NDArray[Any]:
    """Undo the multiplication of colours by alpha; where nothing is seen, they stay 0."""
    highest = 2**layout.bits - 1
    alpha = values[:, :, layout.colours : layout.colours + 1]
    if (alpha == highest).all():
        return values
    fraction = np.maximum(alpha, 1).astype(np.float32) / highest
    plain = np.minimum(np.rint(values[:, :, : layout.colours] / fraction), highest)
    result: NDArray[Any] = plain.astype(values.dtype)
    return result
