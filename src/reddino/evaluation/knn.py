"""k-nearest-neighbour classification, equal to scikit-learn's: one exact search serves every k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.nearest import nearest
from reddino.foundations.errors import RedDinoError

Indices = npt.NDArray[np.int64]


def predict(
    train: Vectors, labels: Indices, test: Vectors, ks: Sequence[int] = (1, 20)
) -> Mapping[int, Indices]:
    """Predict class numbers by uniform votes of the k nearest training rows (Euclidean, raw features).

    A tie in votes goes to the smallest class number, as in scikit-learn.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
        ks: numbers of neighbours.

    Returns:
        For each k, (m,) class numbers.

    Raises:
        RedDinoError: fewer training rows than the largest k.
    """
    found = voters(train, labels, test, max(ks))
    return {k: vote(found[:, :k]) for k in ks}


def voters(train: Vectors, labels: Indices, test: Vectors, k: int) -> Indices:
    """Return the class numbers (m, k) of each test row's k nearest training rows, nearest first.

    Raises:
        RedDinoError: fewer training rows than k.
    """
    if len(train) < k:
        raise RedDinoError(f"{k}-NN needs at least {k} training cells, but there are {len(train)}")
    found: Indices = labels[nearest(train, test, k)]
    return found


def vote(voters: Indices) -> Indices:
    """Return the most frequent class number of each row (m, k); the smallest on a tie."""
    classes = int(voters.max(initial=0)) + 1
    row = np.arange(len(voters))[:, None] * classes
    counts = np.bincount((row + voters).ravel(), minlength=len(voters) * classes)
    winners: Indices = counts.reshape(len(voters), classes).argmax(axis=1)
    return winners
