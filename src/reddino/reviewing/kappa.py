"""Cohen's and Fleiss' kappa: agreement of readers beyond that of chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]


def cohen_kappa(confusion: Real) -> Real:
    """Return Cohen's kappa (...) of confusion matrices (..., C, C) of two readers.

    (p_o - p_e) / (1 - p_e), with the observed agreement p_o and that of chance p_e, from how often each
    reader gives each answer (Cohen, A coefficient of agreement for nominal scales, 1960). NaN where p_e is 1,
    or nothing was read.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = confusion / confusion.sum(axis=(-2, -1), keepdims=True)
        observed = np.trace(fraction, axis1=-2, axis2=-1)
        expected = (fraction.sum(axis=-1) * fraction.sum(axis=-2)).sum(axis=-1)
    return beyond_chance(observed, expected)


def fleiss_sums(answers: Real) -> Real:
    """Return what Fleiss' kappa needs of each cell (n, 2 + C): 1, the pairs that agree, the answers.

    Sums over cells, weighted or not, go into `fleiss_kappa`.

    Args:
        answers: (n, C) how many readers gave each answer to each cell; two or more a cell.
    """
    readers = answers.sum(axis=1)
    pairs = (answers * (answers - 1)).sum(axis=1) / (readers * (readers - 1))
    return np.column_stack([np.ones(len(answers)), pairs, answers])


def fleiss_kappa(sums: Real) -> Real:
    """Return Fleiss' kappa (...) of sums (..., 2 + C) of `fleiss_sums`.

    (P - P_e) / (1 - P_e): P is the mean over cells of the fraction of pairs of readers that agree, P_e the
    sum over answers of their squared fractions (Fleiss, Measuring nominal scale agreement among many raters,
    1971). Where some cells have fewer readers, each answer counts once in P_e. NaN as in `cohen_kappa`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = sums[..., 1] / sums[..., 0]
        fraction = sums[..., 2:] / sums[..., 2:].sum(axis=-1, keepdims=True)
    return beyond_chance(observed, (fraction**2).sum(axis=-1))


def specific_agreement(answers: Real, answer: int) -> float:
    """Return how often another reader gives an answer to a cell where one does; NaN where none does.

    Of two readers it is 2a / (2a + b + c) (Fleiss, Statistical methods for rates and proportions, 1981).

    Args:
        answers: (n, C) as for `fleiss_sums`.
        answer: column.
    """
    given, readers = answers[:, answer], answers.sum(axis=1)
    pairs = (given * (readers - 1)).sum()
    return float((given * (given - 1)).sum() / pairs) if pairs else float("nan")


def beyond_chance(observed: Real, expected: Real) -> Real:
    """Return (observed - expected) / (1 - expected); NaN where chance alone agrees always."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)
