"""The linear probe: multinomial logistic regression on frozen vectors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.metrics import score
from reddino.evaluation.splits import Folds, grouped_folds, stratified_folds
from reddino.foundations.errors import RedDinoError

MAX_ITERATIONS = 1000


# Values of C that the scaled probe chooses from.
SCALED_CS = tuple(10.0**power for power in range(-4, 3))
INNER_FOLDS = 3
#: Standard deviations of a vector's most varied number from and to which unscaled features are of use.
ORDINARY_SPREAD = 1e-3, 1e3


@dataclass(frozen=True)
class ProbeResult:
    """Predictions of a probe.

    Attributes:
        predicted: (m,) class numbers of the test rows.
        converged: False where L-BFGS stopped at its iteration limit, or found no way down.
        positive: (m,) probability of class 1.
        note: for the reader of the scores, or "".
    """

    predicted: npt.NDArray[np.int64]
    converged: bool
    positive: npt.NDArray[np.float64]
    note: str = ""


def inverse_regularisation(dim: int, classes: int) -> float:
    """Return C = dim x classes / 100, the published evaluation's choice."""
    return dim * classes / 100


def fit_predict(train: Vectors, labels: npt.NDArray[np.int64], test: Vectors) -> ProbeResult:
    """Fit the published probe (L-BFGS, at most 1,000 iterations, features not scaled) and predict.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
    """
    classes = len(np.unique(labels))
    result = _fit_predict(train, labels, test, inverse_regularisation(train.shape[1], classes))
    return replace(result, note=_note_on_scale(train))


def _note_on_scale(train: Vectors) -> str:
    """Return a note on vectors (n, d) so large or small that a probe on unscaled features fails; "" else."""
    spread = float(train.std(axis=0, dtype=np.float64).max())
    least, most = ORDINARY_SPREAD
    if spread == 0 or least <= spread <= most:
        return ""
    return (
        f"The numbers of these vectors spread by about 1e{round(np.log10(spread))}: the probe takes them as "
        "they are, so that its score speaks of their size; the scaled probe does not depend on it."
    )


def fit_predict_scaled(
    train: Vectors, labels: npt.NDArray[np.int64], test: Vectors, groups: Sequence[str]
) -> ProbeResult:
    """Do the same on standardised features, with the C of best macro F1 over inner folds.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
        groups: (n,) what the inner folds keep together.
    """
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1.0
    scaled, scaled_test = (((part - mean) / spread).astype(np.float32) for part in (train, test))
    folds, note = _inner_folds(labels, groups)
    if folds is None:
        best = 1.0
    else:
        classes = int(labels.max()) + 1
        found = {
            c: np.mean([_inner_score(scaled, labels, split, c, classes) for split in folds])
            for c in SCALED_CS
        }
        # The strongest regularisation among equals.
        best = max(found, key=lambda c: (found[c], -c))
    result = _fit_predict(scaled, labels, scaled_test, best)
    return replace(result, note=note)


def _inner_folds(labels: npt.NDArray[np.int64], groups: Sequence[str]) -> tuple[Folds | None, str]:
    names = labels.astype(str).tolist()
    try:
        return grouped_folds(names, groups, INNER_FOLDS), ""
    except RedDinoError:
        pass
    try:
        return (
            stratified_folds(names, INNER_FOLDS),
            "The scaled probe chose C on inner folds without groups, since classes live in too few of them.",
        )
    except RedDinoError:
        return None, "The scaled probe kept C = 1, since classes are too small for inner folds."


def _inner_score(
    vectors: Vectors,
    labels: npt.NDArray[np.int64],
    split: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    c: float,
    classes: int,
) -> float:
    train, test = split
    predicted = _fit_predict(vectors[train], labels[train], vectors[test], c).predicted
    return score(labels[test], predicted, classes).macro_f1


def _fit_predict(train: Vectors, labels: npt.NDArray[np.int64], test: Vectors, c: float) -> ProbeResult:
    classes = np.unique(labels)
    if len(classes) == 1:
        only = np.full(len(test), classes[0], dtype=np.int64)
        return ProbeResult(only, converged=True, positive=(only == 1).astype(np.float64))
    model = LogisticRegression(C=c, solver="lbfgs", max_iter=MAX_ITERATIONS)
    # One thread: L-BFGS makes thousands of small products, and threads that wait for each other between them
    # cost up to 30 times more than they save once another process needs a core. It also fixes the last bits.
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        # Few cells of many classes are meant: these are no numbers to regress.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit(train, labels)
        likely = model.predict_proba(test)
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in caught)
    positive = likely[:, classes == 1].sum(axis=1).astype(np.float64)
    return ProbeResult(classes[likely.argmax(axis=1)].astype(np.int64), converged, positive)
