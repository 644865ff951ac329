"""Checks of the cell diameters of a manifest: at odds with the boxes next to them, or in micrometres."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.rbc.magnification import group_medians
from reddino.rbc.picture_diameters import OTHER_CELLS
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest

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
