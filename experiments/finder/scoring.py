"""Two finders against the labels of the same pictures: counts, F1, overlapping cells, sizes, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from cell_finding import Field
from reddino.rbc.measures import Cells

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
#: A labelled cell overlaps if its box shares more than this of the smaller box with another red cell's. Two
#: discs that touch share at most 0.09.
SHARED = 0.15
#: Times that pictures are drawn again for an interval.
DRAWS = 2000


@dataclass(frozen=True)
class Found:
    """What a finder says of a picture: boxes (n, 4) x, y, w, h; which (n,) the border cuts; the diameter."""

    boxes: Floats
    cut: Flags
    diameter: float

    @property
    def centres(self) -> Floats:
        return self.boxes[:, :2] + self.boxes[:, 2:] / 2


Finder = Callable[[NDArray[np.uint8]], Found]


def of_cells(cells: Cells) -> Found:
    """Return the boxes of the classical finder."""
    boxes = np.stack([cells.x, cells.y, cells.w, cells.h], axis=1)
    return Found(boxes, cells.touches_border, cells.typical_diameter)


def overlapping(boxes: Floats, shared: float = SHARED) -> Flags:
    """Return which boxes (n, 4) share more than `shared` of the smaller one's area with another.

    Points (w = h = 0) do not.
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    ends = boxes[:, :2] + boxes[:, 2:]
    common = np.clip(np.minimum(ends[:, None], ends[None]) - low, 0, None).prod(axis=2)
    np.fill_diagonal(common, 0)
    area = boxes[:, 2:].prod(axis=1)
    return np.asarray((common > shared * np.minimum(area[:, None], area[None])).any(axis=1))


def pairs(truth: Floats, found: Floats, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of true (n, 2) and found centres (m, 2) that pair one to one nearer than `reach`."""
    if not len(truth) or not len(found):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    apart = np.linalg.norm(truth[:, None] - found[None], axis=2)
    rows, columns = linear_sum_assignment(np.where(apart < reach, apart, 1e3 * reach))
    near = apart[rows, columns] < reach
    return rows[near], columns[near]


#: What a picture adds to the sums of a set.
COUNTS = ("labelled", "found", "counted", "matched", "close", "close_counted", "close_matched")


@dataclass(frozen=True)
class Score:
    """What a finder makes of one picture.

    Attributes:
        counts: (7,) as `COUNTS` names them; `counted` leaves out what the border cuts and pairs with no
            label; `close` are those of overlapping cells: a found one counts there if it pairs with one, or
            if it pairs with none and lies in the box of one.
        error: of the diameter, in per cent; NaN without a true one.
        seconds: of the processor.
    """

    counts: Floats
    error: float
    seconds: float


def score(field: Field, find: Finder) -> Score:
    """Run a finder, without being told the diameter, against the labels of one picture."""
    start = time.process_time()
    found = find(field.image)
    seconds = time.process_time() - start
    reach = 0.5 * (field.diameter if np.isfinite(field.diameter) else found.diameter)
    rows, columns = pairs(field.centres, found.centres, reach)
    hit = np.zeros(len(found.boxes), np.bool_)
    hit[columns] = True
    close = overlapping(field.boxes)
    stray = ~hit & ~found.cut
    apart = np.abs(found.centres[:, None] - field.centres[None, close])
    within: NDArray[np.bool_] = apart < field.boxes[None, close, 2:] / 2
    inside = (within[..., 0] & within[..., 1]).any(axis=1)
    matched = int(close[rows].sum())
    counts = (len(field.boxes), len(hit), (hit | ~found.cut).sum(), len(rows), close.sum())
    return Score(
        np.array([*counts, matched + (stray & inside).sum(), matched], np.float64),
        100 * (found.diameter / field.diameter - 1),
        seconds,
    )


def rates(counts: Floats) -> dict[str, Floats]:
    """Return the rates of sums of counts (..., 7): precision, recall, f1; and those of overlapping cells."""
    labelled, _, counted, matched, close, close_counted, close_matched = np.moveaxis(counts, -1, 0)
    return {
        "precision": matched / np.maximum(counted, 1),
        "recall": matched / np.maximum(labelled, 1),
        "f1": 2 * matched / np.maximum(labelled + counted, 1),
        "close_recall": close_matched / np.maximum(close, 1),
        "close_f1": 2 * close_matched / np.maximum(close + close_counted, 1),
    }


def differences(
    one: Sequence[Score], other: Sequence[Score], seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return the difference of each rate, `other` less `one`, and its 95 % interval over whole pictures.

    Args:
        one: of the pictures of a set.
        other: of the same pictures.
        seed: of the pictures that are drawn.
    """
    both = np.stack([[score.counts for score in scores] for scores in (one, other)])
    drawn = np.random.default_rng(seed).integers(0, len(one), (DRAWS, len(one)))
    sums = rates(both[:, drawn].sum(axis=2))
    whole = rates(both.sum(axis=1))
    found = {}
    for name, values in whole.items():
        low, high = np.percentile(sums[name][1] - sums[name][0], [2.5, 97.5])
        found[name] = (float(values[1] - values[0]), float(low), float(high))
    return found
