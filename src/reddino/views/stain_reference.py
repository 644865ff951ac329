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


#: Medians over seven laboratories (Chula-RBC-12, engineers of Chulalongkorn, BCCD, Ankara, both sources of
#: TXL-PBC, and SigTuple; all openly licensed) of the medians over 26 to 40 pictures each; six show two
#: stains. `experiments/stain_reference.py` prints them. A later reference would need another name in
#: `ViewSpec.stain`, since tables record the name alone.
REFERENCE = StainReference(
    light=np.array([197.0, 199.0, 191.0]),
    lab=LabStatistics(np.array([68.4, 6.8, 0.9]), np.array([14.1, 9.0, 9.6])),
    stains=Stains(
        vectors=np.array([[0.622, 0.257], [0.682, 0.928], [0.385, 0.270]]), amounts=np.array([0.93, 1.53])
    ),
)
