"""Sets of classes that hold the true one at a stated rate, calibrated on held-out cells."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from reddino.classification.abstention import HeldOutCells
from reddino.foundations.errors import RedDinoError

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def thresholds(held: HeldOutCells, error: float) -> Real:
    """Return for each class the probability (k,) from which it is in a cell's set.

    Class-conditional split conformal prediction (Vovk 2012; Sadinle, Lei and Wasserman 2019): of the cells of
    each class, at most a fraction `error` has a set without it, however frequent the class is. Classes with
    too few held-out cells for that are in every set.

    Args:
        held: cells that keep their class and probabilities.
        error: fraction of the cells of a class whose set may lack it.

    Raises:
        RedDinoError: `error` is no rate, or the cells were kept without.
    """
    if not 0 < error < 1:
        raise RedDinoError(f"{error:g} is no error rate of sets: give a number between 0 and 1, such as 0.1")
    if held.truth is None or held.probabilities is None:
        raise RedDinoError(
            "the classifier keeps no probabilities of held-out cells, so sets cannot be calibrated: fit it "
            "again with this version"
        )
    found = np.zeros(held.probabilities.shape[1])
    for number in range(len(found)):
        own = np.sort(held.probabilities[held.truth == number, number])
        # The rank, from below, that a new cell's probability is under at most so often.
        rank = math.floor(error * (len(own) + 1))
        found[number] = own[rank - 1] if rank >= 1 else 0.0
    return found


def sets(probabilities: Real, least: Real) -> Flags:
    """Return which classes (n, k) are in the set of each cell."""
    return np.asarray(probabilities >= least)
