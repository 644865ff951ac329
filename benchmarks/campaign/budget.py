"""Time budgets of the stages, all from one total; what a stage leaves over, those after it get."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A part of the campaign.

    Attributes:
        name: of the stage, and of its JSON file.
        fraction: of the time left when it starts that it may take.
        most: seconds that it may take in any case.
    """

    name: str
    fraction: float
    most: float


#: In the order in which they run: what must be known first comes first, what can use any time comes last.
STAGES = (
    Stage("cuda_tests", 0.25, 150.0),
    Stage("throughput", 0.4, 210.0),
    Stage("pretraining", 1.0, float("inf")),
)
#: Seconds between the end that a stage is told and the one at which it is killed, and for the summary.
GRACE, CLOSING = 10.0, 5.0


class Budget:
    """The seconds of a campaign."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + seconds

    def left(self) -> float:
        """Seconds until the campaign must have ended; never below 0."""
        return max(0.0, self._end - self._clock())

    def of(self, stage: Stage) -> float:
        """Seconds that a stage may work if it starts now; killing it and the summary fit behind them."""
        return max(0.0, min(stage.most, stage.fraction * (self.left() - GRACE - CLOSING)))
