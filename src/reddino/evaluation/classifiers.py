"""The classifiers that measure what vectors hold: the published ones, and others by option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation import knn, linear_probe
from reddino.evaluation.choices import Classifier
from reddino.evaluation.metrics import Classes, Real

NEIGHBOURS = {"1-NN": 1, "20-NN": 20, "cosine 1-NN": 1, "cosine 20-NN": 20}


@dataclass(frozen=True)
class Prediction:
    """The predictions of a classifier for m test rows.

    Attributes:
        predicted: (m,) class numbers.
        positive: (m,) how likely class 1 is: the probe's probability, or the fraction of votes.
        converged: False where an iterative fit stopped early.
        note: a sentence for the reader, or "".
    """

    predicted: Classes
    positive: Real
    converged: bool = True
    note: str = ""


def fit_and_predict(
    train: Vectors,
    labels: Classes,
    test: Vectors,
    wanted: Sequence[Classifier],
    groups: Sequence[str],
) -> dict[str, Prediction]:
    """Fit each classifier on the training rows and predict the test rows.

    Args:
        train: (n, d) vectors.
        labels: (n,) class numbers.
        test: (m, d) vectors.
        wanted: which classifiers.
        groups: (n,) what inner folds keep together.

    Raises:
        RedDinoError: fewer training rows than neighbours.
    """
    predictions: dict[str, Prediction] = {}
    plain: tuple[Classifier, ...] = tuple(name for name in wanted if name in ("1-NN", "20-NN"))
    cosine: tuple[Classifier, ...] = tuple(name for name in wanted if name.startswith("cosine"))
    if plain:
        predictions |= _neighbours(train, labels, test, plain)
    if cosine:
        predictions |= _neighbours(unit_length(train), labels, unit_length(test), cosine)
    alone: dict[str, Callable[[], Prediction]] = {
        "probe": lambda: _probed(linear_probe.fit_predict(train, labels, test)),
        "scaled probe": lambda: _probed(linear_probe.fit_predict_scaled(train, labels, test, groups)),
        "nearest mean": lambda: nearest_mean(train, labels, test),
    }
    predictions |= {name: alone[name]() for name in wanted if name in alone}
    return {name: predictions[name] for name in wanted}


def nearest_mean(train: Vectors, labels: Classes, test: Vectors) -> Prediction:
    """Predict the class of the nearest mean training vector; its lead over class 1 orders rows."""
    classes, codes = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), train.shape[1]))
    np.add.at(sums, codes, train.astype(np.float64))
    means = sums / np.bincount(codes)[:, None]
    far = np.stack([((test - mean) ** 2).sum(axis=1) for mean in means], axis=1)
    own = far[:, classes == 1].sum(axis=1)
    # Monotone in the difference of the two distances where there are two classes.
    positive = far.sum(axis=1) - 2 * own if (classes == 1).any() else np.zeros(len(test))
    return Prediction(classes[far.argmin(axis=1)].astype(np.int64), positive)


def unit_length(vectors: Vectors) -> Vectors:
    """Scale vectors (n, d) to length 1, so that Euclidean neighbours are the cosine ones; zeros stay."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(length > 0, length, 1.0)).astype(np.float32)
    return scaled


def _neighbours(
    train: Vectors, labels: Classes, test: Vectors, wanted: Sequence[Classifier]
) -> dict[str, Prediction]:
    voters = knn.voters(train, labels, test, max(NEIGHBOURS[name] for name in wanted))
    predictions: dict[str, Prediction] = {}
    for name in wanted:
        nearest = voters[:, : NEIGHBOURS[name]]
        predictions[name] = Prediction(knn.vote(nearest), (nearest == 1).mean(axis=1))
    return predictions


def _probed(result: linear_probe.ProbeResult) -> Prediction:
    return Prediction(result.predicted, result.positive, result.converged, result.note)
