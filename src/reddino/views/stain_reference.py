"""The stain to which pictures are brought: a Romanowsky stain (azure and eosin) as laboratories have it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.views.macenko import Stains
from reddino.views.reinhard import LabStatistics


@dataclass(frozen=True)
class StainReference:
    """A stain.

    Attributes:
        light: (3,) 1 + intensity of empty glass.
        lab: statistics of a picture of which half is glass and half cells.
        stains: azure and eosin.
    """

    light: NDArray[np.float64]
    lab: LabStatistics
    stains: Stains


REFERENCE = StainReference(
    light=np.array([218.0, 213.0, 194.0]),
    lab=LabStatistics(np.array([69.0, 8.0, 0.5]), np.array([13.0, 8.0, 8.0])),
    stains=Stains(
        vectors=np.array([[0.59, 0.25], [0.72, 0.92], [0.35, 0.3]]), amounts=np.array([1.0, 1.0])
    ),
)
