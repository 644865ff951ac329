"""How far readers agree: Cohen's and Fleiss' kappa, per class, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reddino.reviewing.state import ReviewState


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance.

    Attributes:
        measure: `cohen` or `fleiss`.
        readers: whose verdicts were compared.
        answer: class (or `[artefact]`, ...) against all others; "" for all answers at once.
        kappa: 1 = always agree, 0 = as often as by chance; NaN where chance alone agrees always.
        interval: 95 %, by resampling groups; None with fewer than ten groups.
        agreement: fraction of cells of which they say the same.
        cells: that all of them read.
        groups: of those cells.
    """

    measure: str
    readers: tuple[str, ...]
    answer: str
    kappa: float
    interval: tuple[float, float] | None
    agreement: float
    cells: int
    groups: int


def agreement(state: ReviewState, groups: Sequence[str]) -> list[Kappa]:
    """Return the agreement of each pair of readers (Cohen) and of all of them (Fleiss), also per answer.

    Deciding verdicts do not count: who decides has seen that others differ.

    Args:
        state: of a review.
        groups: (rows,) what is resampled: `Manifest.fold_groups()` of the table's rows.
    """
    raise NotImplementedError
