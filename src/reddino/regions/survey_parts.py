"""The parts of a survey: what one region holds, as a file that appears whole."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.foundations.atomic import atomic_path
from reddino.regions.measures import COLUMNS

Real = npt.NDArray[np.float64]

#: Columns of a region's cells: box and red-cell diameter in its pixels, whether its centre lies in the core,
#: whether the border of the slide cuts it, and its square (-1: none of this region).
CELLS = ("x", "y", "w", "h", "own", "at_border", "square")


@dataclass(frozen=True)
class SurveyPart:
    """What a region holds.

    Attributes:
        cells: (n, 7) in the order of `CELLS`.
        squares: (m, 12) in the order of `reddino.regions.measures.COLUMNS`, in pixels of the region.
        diameter: at which its cells were found, in pixels; NaN where nothing shows it.
        origin: of the diameter.
        failure: why the region could not be read; "" where it was.
    """

    cells: Real
    squares: Real
    diameter: float
    origin: str = "measured"
    failure: str = ""


def empty_part(failure: str) -> SurveyPart:
    """Return the part of a region that could not be read."""
    return SurveyPart(
        np.empty((0, len(CELLS))), np.empty((0, len(COLUMNS))), float("nan"), "unknown", failure
    )


def write_part(path: Path, key: str, part: SurveyPart) -> None:
    """Write a part; `key` identifies what it was made of."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            key=np.array(key),
            cells=part.cells,
            squares=part.squares,
            diameter=np.array(part.diameter),
            origin=np.array(part.origin),
            failure=np.array(part.failure),
        )


def read_part(path: Path, key: str) -> SurveyPart | None:
    """Return a part that was made of the same; None where there is none, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["key"]) != key:
                return None
            return SurveyPart(
                found["cells"],
                found["squares"],
                float(found["diameter"]),
                str(found["origin"]),
                str(found["failure"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
