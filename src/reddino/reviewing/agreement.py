"""How far readers agree: Cohen's and Fleiss' kappa, per class, with intervals over groups."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from reddino.evaluation.intervals import LEAST_GROUPS, LEVEL, RESAMPLES, group_weights, interval
from reddino.reviewing.kappa import (
    Real,
    beyond_chance,
    cohen_kappa,
    fleiss_kappa,
    fleiss_sums,
    specific_agreement,
)
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
        agreement: fraction of pairs of readers (mean over cells) with the same answer; of an answer, how
            often another reader gives it where one does (specific agreement).
        cells: that both (Fleiss: two or more) of them read; of an answer, those to which one gave it.
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


def agreement(state: ReviewState, groups: Mapping[int, str] | Sequence[str]) -> list[Kappa]:
    """Return the agreement of each pair of readers (Cohen) and of three or more (Fleiss), also per answer.

    Deciding verdicts do not count: who decides has seen that others differ. `unsure` is an answer.

    Args:
        state: of a review; not as a blind reader sees it.
        groups: by row of the table, what is resampled, as of `Manifest.fold_groups()`.
    """
    read = {
        cell: {reader: one.answer for reader, one in verdicts.items() if not one.deciding}
        for cell, verdicts in sorted(state.verdicts.items())
    }
    readers = list(dict.fromkeys(reader for answers in read.values() for reader in answers))
    found: list[Kappa] = []
    for pair in combinations(readers, 2):
        found += _compared(
            pair, [cell for cell in read if all(one in read[cell] for one in pair)], read, groups
        )
    if len(readers) > 2:
        cells = [cell for cell, answers in read.items() if len(answers) > 1]
        found += _compared(tuple(readers), cells, read, groups)
    return found


def _compared(
    readers: tuple[str, ...],
    cells: Sequence[int],
    read: Mapping[int, Mapping[str, str]],
    groups: Mapping[int, str] | Sequence[str],
) -> list[Kappa]:
    """Return the agreement of readers on all answers, and on each against all others."""
    if not cells:
        return []
    answers = sorted({read[cell][one] for cell in cells for one in readers if one in read[cell]})
    code = {answer: number for number, answer in enumerate(answers)}
    # (n, readers); -1 where a reader has no verdict.
    codes = np.array([[code.get(read[cell].get(one, ""), -1) for one in readers] for cell in cells])
    _, group = np.unique([groups[cell] for cell in cells], return_inverse=True)
    found = [_kappa(readers, "", codes, len(answers), group)]
    if len(answers) > 2:
        for answer, number in code.items():
            one_against_all = np.where(codes < 0, -1, (codes == number).astype(np.int64))
            found.append(_kappa(readers, answer, one_against_all, 2, group))
    return found


def _kappa(
    readers: tuple[str, ...],
    answer: str,
    codes: npt.NDArray[np.int64],
    answers: int,
    group: npt.NDArray[np.int64],
) -> Kappa:
    """Return one measure of codes (n, readers), with its interval over groups (n,); of an answer, it is 1."""
    counts = np.stack([(codes == number).sum(axis=1) for number in range(answers)], axis=1).astype(np.float64)
    groups = int(group.max()) + 1
    if len(readers) == 2:
        measure, by_group = "cohen", _confusions(codes, answers, group, groups)
        of_sums: Callable[[Real], Real] = _cohen_of_sums
    else:
        measure, of_sums = "fleiss", fleiss_kappa
        by_group = np.zeros((groups, answers + 2))
        np.add.at(by_group, group, fleiss_sums(counts))
    sums = by_group.sum(axis=0, keepdims=True)
    estimate = float(of_sums(sums)[0])
    weights = group_weights(groups, RESAMPLES, 0)
    resampled = np.concatenate([of_sums(drawn @ by_group) for drawn in weights])
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    bearing = counts[:, 1] > 0 if answer else np.ones(len(codes), dtype=np.bool_)
    of_answer = len(np.unique(group[bearing]))
    differ = bool((counts.max(axis=1) < counts.sum(axis=1)).any())
    limits = _limits(resampled, estimate, differ, chance, of_answer) if of_answer >= LEAST_GROUPS else None
    same = specific_agreement(counts, 1) if answer else float(fleiss_sums(counts)[:, 1].mean())
    return Kappa(measure, readers, answer, estimate, limits, same, int(bearing.sum()), of_answer)


def _confusions(
    codes: npt.NDArray[np.int64], answers: int, group: npt.NDArray[np.int64], groups: int
) -> Real:
    """Return the confusion matrix of two readers in each group, flattened (groups, answers * answers)."""
    cell = (group * answers + codes[:, 0]) * answers + codes[:, 1]
    counted = np.bincount(cell, minlength=groups * answers**2)
    return counted.reshape(groups, answers**2).astype(np.float64)


def _cohen_of_sums(sums: Real) -> Real:
    """Return Cohen's kappa (b,) of confusion matrices that were flattened (b, C * C)."""
    answers = math.isqrt(sums.shape[1])
    return cohen_kappa(sums.reshape(-1, answers, answers))


def _limits(
    resampled: Real, estimate: float, differ: bool, chance: float, groups: int
) -> tuple[float, float] | None:
    """Return a 95 % interval within -1..1.

    Where no reader ever differs, no resample does. The agreement then lies above (1 - level)^(1/groups), as
    if each group were one trial ("rule of three"), and kappa above what follows from it.
    """
    if np.isnan(estimate):
        return None
    if not differ:
        least = (1 - LEVEL) ** (1 / groups)
        return max(float(beyond_chance(np.array(least), np.array(chance))), -1.0), 1.0
    found = interval(resampled, estimate)
    return None if found is None else (max(found[0], -1.0), min(found[1], 1.0))


class KeptAgreement:
    """The agreement of readers, computed again only when readers have answered since.

    Args:
        groups: (n,) of all cells.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = groups
        self._kept: tuple[int, list[Kappa]] = (-1, [])
        self._lock = threading.Lock()

    def of(self, state: ReviewState) -> list[Kappa]:
        """Return the agreement in a state of the review."""
        with self._lock:
            if self._kept[0] != state.last_event:
                self._kept = (state.last_event, agreement(state, self._groups))
            return self._kept[1]
