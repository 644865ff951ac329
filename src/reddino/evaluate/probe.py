"""The linear probe: multinomial logistic regression on frozen vectors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from reddino.embed.encoder import Vectors

MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class ProbeResult:
    """Predictions of a probe.

    Attributes:
        predicted: (m,) class numbers of the test rows.
        converged: False where L-BFGS stopped at its iteration limit.
    """

    predicted: npt.NDArray[np.int64]
    converged: bool


def inverse_regularisation(dim: int, classes: int) -> float:
    """C = dim x classes / 100, the published evaluation's choice."""
    return dim * classes / 100


def fit_predict(train: Vectors, labels: npt.NDArray[np.int64], test: Vectors) -> ProbeResult:
    """Fit the published probe (L-BFGS, at most 1,000 iterations, features not scaled) and predict.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
    """
    classes = np.unique(labels)
    if len(classes) == 1:
        return ProbeResult(np.full(len(test), classes[0], dtype=np.int64), converged=True)
    model = LogisticRegression(
        C=inverse_regularisation(train.shape[1], len(classes)), solver="lbfgs", max_iter=MAX_ITERATIONS
    )
    # One thread: L-BFGS makes thousands of small products, and threads that wait for each other between them
    # cost up to 30 times more than they save once another process wants a core. It also fixes the last bits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, labels)
    converged = bool(np.max(model.n_iter_) < MAX_ITERATIONS)
    return ProbeResult(model.predict(test).astype(np.int64), converged)
