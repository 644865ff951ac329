"""Checks of the scale of a manifest: cell diameters at odds with boxes or in micrometres, sizes of pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.rbc.magnification import group_medians
from reddino.rbc.picture_diameters import OTHER_CELLS
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.pixel_sizes import as_pixel_size

#: Diameters of a red cell in micrometres, and sides of boxes that are no such diameters.
_MICROMETRES = (4.0, 10.0)


def diameters_and_boxes(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding of cell diameters that are less than half, or more than twice, the side of boxes."""
    given, (names, image) = manifest.numbers("cell_diameter"), manifest.images()
    side = np.sqrt(manifest.numbers("w") * manifest.numbers("h"))
    red = np.array([OTHER_CELLS.search(label) is None for label in manifest.strings("label")])
    boxed = np.flatnonzero((side > 0) & (given > 0) & red)
    if len(boxed):
        pictures, sides = group_medians(image[boxed], side[boxed])
        diameters = group_medians(image[boxed], given[boxed])[1]
        odd = (diameters < sides / 2) | (diameters > 2 * sides)
        if odd.any():
            at = int(np.argmax(odd))
            yield Finding(
                "cell diameters and boxes",
                f"{counted(int(odd.sum()), 'picture')} whose cell_diameter is less than half or more than "
                f"twice the side of the boxes; the column is in pixels{_in_micrometres(diameters[odd])}",
                int(odd.sum()),
                f"{names[pictures[at]]}: cell_diameter {diameters[at]:g}, boxes of {sides[at]:g} pixels",
            )
    yield from _small_diameters(manifest, given, np.isin(image, image[side > 0]))


def sizes_of_pixels(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding of values of `um_per_px` that are no size of a pixel: zero, negative, or text."""
    if UM_PER_PX not in manifest.table.column_names:
        return
    texts = manifest.strings(UM_PER_PX)
    wrong = [row for row, text in enumerate(texts) if text and math.isnan(as_pixel_size(text))]
    if wrong:
        yield Finding(
            "sizes of pixels",
            f"{counted(len(wrong), 'row')} with an um_per_px that is no size of a pixel, such as 0.1; what "
            "measures in micrometres refuses it, and all else takes no notice of the column",
            len(wrong),
            f"{manifest.place(wrong[0])}: um_per_px '{texts[wrong[0]][:40]}'",
        )


def _small_diameters(
    manifest: Manifest, given: NDArray[np.float64], boxed: NDArray[np.bool_]
) -> Iterator[Finding]:
    """Yield a finding of diameters too small for pixels, mostly micrometres, where there are no boxes."""
    small = ~boxed & (given < _MICROMETRES[1])
    if small.any():
        row = int(np.argmax(small))
        yield Finding(
            "cell diameters of a few pixels",
            f"{counted(int(small.sum()), 'row')} with a cell_diameter below {_MICROMETRES[1]:g}, as of a red "
            "cell in micrometres; the column is in pixels",
            int(small.sum()),
            f"{manifest.place(row)}: cell_diameter {given[row]:g}",
        )


def _in_micrometres(diameters: NDArray[np.float64]) -> str:
    low, high = _MICROMETRES
    return ", and these seem to be micrometres" if low <= np.median(diameters) < high else ""
