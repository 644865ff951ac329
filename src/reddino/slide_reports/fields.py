"""Which fields of a slide are counted, and why others are not: blur, thickness, too few cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Cells in a field, below which its thickness is not judged.
LEAST_JUDGED = 5


@dataclass(frozen=True)
class FieldLimits:
    """What a field must be like to be counted.

    Attributes:
        least_cells: counted cells.
        least_sharpness: sharpness of its cells' edges, as a fraction of that of the median field of its
            source.
        most_overlap: fraction of its cells that lie on another, or in a clump.
    """

    least_cells: int = 3
    least_sharpness: float = 0.6
    most_overlap: float = 0.5


@dataclass(frozen=True)
class Field:
    """A field of a slide.

    Attributes:
        path: of its picture.
        cells: that count.
        sharpness: as a fraction of that of the median field of its source; NaN: not measured.
        overlap: fraction of its cells that lie on another, or in a clump; NaN: of too few.
        why: it is left out; "" where it is used.
    """

    path: str
    cells: int
    sharpness: float
    overlap: float
    why: str

    @property
    def used(self) -> bool:
        """Whether its cells are counted."""
        return not self.why


def judged_fields(
    paths: Sequence[str],
    counted: Flags,
    crowded: Flags,
    sharpness: dict[str, float],
    limits: FieldLimits | None,
) -> list[Field]:
    """Return the fields of a slide, by path, each with why it is left out.

    Args:
        paths: (n,) picture of each cell.
        counted: (n,) which cells count.
        crowded: (n,) which lie on another, or in a clump.
        sharpness: of pictures, relative to their source's.
        limits: what fields must be like; None uses all.
    """
    names, number = np.unique(np.asarray(paths, dtype=object), return_inverse=True)
    cells = np.bincount(number, counted, len(names))
    every = np.bincount(number, minlength=len(names))
    near = np.bincount(number, crowded, len(names))
    found = []
    for i, path in enumerate(names.tolist()):
        overlap = float(near[i] / every[i]) if every[i] >= LEAST_JUDGED else math.nan
        sharp = sharpness.get(path, math.nan)
        why = "" if limits is None else _why(int(cells[i]), sharp, overlap, limits)
        found.append(Field(str(path), int(cells[i]), sharp, overlap, why))
    return found


def _why(cells: int, sharpness: float, overlap: float, limits: FieldLimits) -> str:
    """Return why a field is left out; "" where it is used. What was not measured excludes nothing."""
    if cells < limits.least_cells:
        return f"too few cells ({cells})"
    if sharpness < limits.least_sharpness:
        return f"blurred (edges {sharpness:.2f} times as sharp as usual)"
    if overlap > limits.most_overlap:
        return f"too thick ({100 * overlap:.0f} % of the cells overlap)"
    return ""
