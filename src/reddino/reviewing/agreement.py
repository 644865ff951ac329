"""How far readers agree: Cohen's and Fleiss' kappa, per class, with intervals over groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from reddino.evaluation.intervals import LEAST_GROUPS, LEVEL, RESAMPLES, group_weights, interval
from reddino.reviewing.kappa import Real, beyond_chance, cohen_kappa, fleiss_kappa, fleiss_sums
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
        agreement: fraction of cells (Fleiss: of pairs of readers, mean over cells) with the same answer.
        cells: that both (Fleiss: two or more) of them read.
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
        cell: {reader: one.answer for reader, one in said.items() if not one.deciding}
        for cell, said in sorted(state.verdicts.items())
    }
    readers = list(dict.fromkeys(reader for said in read.values() for reader in said))
    found: list[Kappa] = []
    for pair in combinations(readers, 2):
        found += _compared(
            pair, [cell for cell in read if all(one in read[cell] for one in pair)], read, groups
        )
    if len(readers) > 2:
        cells = [cell for cell, said in read.items() if len(said) > 1]
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
    """Return one measure of codes (n, readers), with its interval over groups (n,)."""
    named = np.eye(answers)[codes] * (codes >= 0)[..., None]  # (n, readers, answers)
    if len(readers) == 2:
        measure = "cohen"
        per_cell = np.einsum("ni,nj->nij", named[:, 0], named[:, 1]).reshape(len(codes), -1)
        of_sums: Callable[[Real], Real] = _cohen_of_sums
        same = float((codes[:, 0] == codes[:, 1]).mean())
    else:
        measure, per_cell, of_sums = "fleiss", fleiss_sums(named.sum(axis=1)), fleiss_kappa
        same = float(per_cell[:, 1].mean())
    count = int(group.max()) + 1
    by_group = np.zeros((count, per_cell.shape[1]))
    np.add.at(by_group, group, per_cell)
    estimate = float(of_sums(by_group.sum(axis=0, keepdims=True))[0])
    resampled = np.concatenate(
        [of_sums(weights @ by_group) for weights in group_weights(count, RESAMPLES, 0)]
    )
    chance = float((named.sum(axis=(0, 1)) ** 2).sum() / named.sum() ** 2)
    limits = _limits(resampled, estimate, same, chance, count) if count >= LEAST_GROUPS else None
    return Kappa(measure, readers, answer, estimate, limits, same, len(codes), count)


def _cohen_of_sums(sums: Real) -> Real:
    """Return Cohen's kappa (b,) of confusion matrices that were flattened (b, C * C)."""
    answers = math.isqrt(sums.shape[1])
    return cohen_kappa(sums.reshape(-1, answers, answers))


def _limits(
    resampled: Real, estimate: float, same: float, chance: float, groups: int
) -> tuple[float, float] | None:
    """Return a 95 % interval within -1..1.

    Where no reader ever differs, no resample does. The agreement then lies above (1 - level)^(1/groups), as
    if each group were one trial ("rule of three"), and kappa above what follows from it.
    """
    if np.isnan(estimate):
        return None
    if same == 1.0:
        least = (1 - LEVEL) ** (1 / groups)
        return max(float(beyond_chance(np.array(least), np.array(chance))), -1.0), 1.0
    found = interval(resampled, estimate)
    return None if found is None else (max(found[0], -1.0), min(found[1], 1.0))
