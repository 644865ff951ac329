"""A check of coordinates that are no pixels: fractions of the picture, boxes without an area."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reddino.foundations.counting import counted
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest


def coordinates_below_a_pixel(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding of cells with a box of less than a pixel, or with their centre in the first pixel."""
    sides = np.minimum(manifest.numbers("w"), manifest.numbers("h"))
    centres = manifest.centres()
    found = (sides < 1) | ((centres > 0) & (centres < 1)).all(axis=1)  # False for NaN
    if found.any():
        row = int(np.argmax(found))
        given = (f"{name} {manifest.numbers(name)[row]:g}" for name in ("x", "y", "w", "h"))
        yield Finding(
            "coordinates below a pixel",
            f"{counted(int(found.sum()), 'cell')} whose box is less than a pixel across, or that lies in the "
            "first pixel: coordinates are in pixels, and fractions of the picture are not read as such",
            int(found.sum()),
            f"{manifest.place(row)}: {', '.join(one for one in given if 'nan' not in one)}",
        )
