"""What is learned from labels while a reader gives them: the probe, its running score, and when to stop."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from reddino.classification.softmax import softmax
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.intervals import LEAST_GROUPS, PredictedRows, interval, resampled_scores
from reddino.evaluation.metrics import confusion_matrix, precision_recall_f1, score
from reddino.evaluation.splits import folds_of_groups
from reddino.reviewing.pool import AT_ONCE, Labelled, Numbers, Pool, Real

#: Inverse strength of regularisation, on components whose mean square is 1.
STRENGTH = 0.1
MAX_ITERATIONS = 300
#: Folds of the running score.
FOLDS = 5
#: A class counts in a result from so many labelled cells, in so many groups, on; before, they are candidates.
LEAST_CELLS, LEAST_PLACES = 10, 3
#: Scores that are compared to see whether more labels still help, and the gain that counts as help.
LOOKED_BACK, LEAST_GAIN = 4, 0.01


@dataclass(frozen=True)
class Probe:
    """A linear head on a pool's components, fitted on the rows labelled so far.

    Attributes:
        names: of all classes.
        weights: (k, p) float32.
        bias: (k,) float32; far below the others for classes without a label.
    """

    names: tuple[str, ...]
    weights: Vectors
    bias: Vectors

    def of_features(self, features: Vectors) -> npt.NDArray[np.float32]:
        """Return the probability (n, k) of each class for components (n, p) of vectors."""
        return softmax((features @ self.weights.T + self.bias).astype(np.float64)).astype(np.float32)

    def likeliest(self, features: Vectors) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
        """Return the likeliest class (n,) of components (n, p), and its probability, computed in chunks."""
        classes = np.empty(len(features), dtype=np.int16)
        certainty = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            found = self.of_features(features[part])
            classes[part], certainty[part] = found.argmax(axis=1), found.max(axis=1)
        return classes, certainty


@dataclass(frozen=True)
class ClassScore:
    """How one class does on groups that were not learned from.

    Attributes:
        name: of the class.
        cells, groups: labelled so far.
        candidates_only: too few cells or groups to count in a result.
        precision, recall, f1: None for candidates.
    """

    name: str
    cells: int
    groups: int
    candidates_only: bool
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True)
class RunningScore:
    """How the probe does on held-out groups of labelled cells.

    The cells were chosen by a strategy and are no random sample: the score shows whether labels still help,
    and is not what to expect on all cells.

    Attributes:
        labels: cells with a class.
        macro_f1: mean F1 over the classes that count; None where fewer than two count, or groups are too few.
        low, high: its 95 % interval by bootstrap over groups; None with fewer than 10 groups.
        by_class: in the order of the names.
        note: why there is no score, or what limits it; "" if nothing does.
    """

    labels: int
    macro_f1: float | None
    low: float | None
    high: float | None
    by_class: tuple[ClassScore, ...]
    note: str = ""


def fit_probe(pool: Pool, labelled: Labelled) -> Probe | None:
    """Fit multinomial logistic regression (L-BFGS) on the labelled rows; None with fewer than two classes."""
    present = np.unique(labelled.classes)
    if len(present) < 2:
        return None
    # Rare classes count as much as frequent ones: the labelled cells were sought, and are no random sample.
    model = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS, class_weight="balanced")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few cells of many classes are meant: these are no numbers to regress.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit(pool.features[labelled.rows], labelled.classes)
    weights = np.zeros((len(labelled.names), pool.features.shape[1]), dtype=np.float32)
    bias = np.full(len(labelled.names), -1e3, dtype=np.float32)
    if len(present) == 2:
        weights[present] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weights[present], bias[present] = model.coef_, model.intercept_
    return Probe(labelled.names, weights, bias)


def candidates_only(pool: Pool, labelled: Labelled) -> tuple[str, ...]:
    """Return the classes with too few labelled cells, or in too few groups, to count in a result."""
    return tuple(name for name, few in zip(labelled.names, _too_few(pool, labelled), strict=True) if few)


def _too_few(pool: Pool, labelled: Labelled) -> list[bool]:
    counts, places = labelled.counts, _places(pool, labelled)
    return [
        cells < LEAST_CELLS or groups < LEAST_PLACES
        for cells, groups in zip(counts.tolist(), places, strict=True)
    ]


def _places(pool: Pool, labelled: Labelled) -> list[int]:
    """Return in how many groups each class was labelled."""
    groups = pool.groups[labelled.rows]
    return [len(np.unique(groups[labelled.classes == one])) for one in range(len(labelled.names))]


def held_out_score(pool: Pool, labelled: Labelled, *, seed: int = 0) -> RunningScore:
    """Score the probe on groups of labelled cells that it did not learn from, over folds of groups.

    Classes that are candidates only take no part: they are neither learned nor scored here.

    Args:
        pool: all cells.
        labelled: at least two classes that count, else there is no score.
        seed: of the folds and of the bootstrap.
    """
    few = np.array(_too_few(pool, labelled), dtype=np.bool_)
    counted = np.flatnonzero(~few)
    kept = labelled.only(~few[labelled.classes])
    names = tuple(labelled.names[one] for one in counted)
    known = Labelled(kept.rows, np.searchsorted(counted, kept.classes).astype(np.int64), names)
    groups = len(np.unique(pool.groups[known.rows]))
    if len(names) < 2 or groups < 2:
        note = f"no score yet: two classes need {LEAST_CELLS} cells in {LEAST_PLACES} groups"
        return RunningScore(len(labelled), None, None, None, _by_class(pool, labelled, few, None), note)
    predicted = _predict_folds(pool, known, seed)
    confusion = confusion_matrix(known.classes, predicted, len(names))
    estimate = score(known.classes, predicted, len(names)).macro_f1
    low, high = _spread(pool, known, predicted, estimate, seed) or (None, None)
    note = "" if low is not None else f"no interval: {groups} groups are labelled, of {LEAST_GROUPS} needed"
    by_class = _by_class(pool, labelled, few, precision_recall_f1(confusion))
    return RunningScore(len(labelled), estimate, low, high, by_class, note)


def _predict_folds(pool: Pool, known: Labelled, seed: int) -> Numbers:
    """Return the class (m,) of each labelled row by a probe that did not learn from its group."""
    groups = pool.groups[known.rows]
    predicted = np.zeros(len(known), dtype=np.int64)
    folds = min(FOLDS, len(np.unique(groups)))
    for test in folds_of_groups(groups.astype(str).tolist(), folds, seed):
        train = known.only(np.setdiff1d(np.arange(len(known)), test))
        probe = fit_probe(pool, train)
        if probe is None:
            predicted[test] = train.classes[0]
        else:
            predicted[test] = probe.of_features(pool.features[known.rows[test]]).argmax(axis=1)
    return predicted


def _spread(
    pool: Pool, known: Labelled, predicted: Numbers, estimate: float, seed: int
) -> tuple[float, float] | None:
    """Return the interval of macro F1 over groups; None where they are too few."""
    groups, number = np.unique(pool.groups[known.rows], return_inverse=True)
    if len(groups) < LEAST_GROUPS:
        return None
    tests = {"probe": [PredictedRows(number.astype(np.int64), known.classes, predicted)]}
    drawn = resampled_scores(tests, len(groups), len(known.names), seed=seed)["probe"][:, 3]
    found = interval(drawn, estimate)
    # Moved to the score as it was found, the end of an interval may lie where no score can.
    return None if found is None else (max(0.0, found[0]), min(1.0, found[1]))


def _by_class(
    pool: Pool, labelled: Labelled, few: npt.NDArray[np.bool_], rates: tuple[Real, Real, Real] | None
) -> tuple[ClassScore, ...]:
    counts, places = labelled.counts.tolist(), _places(pool, labelled)
    place = np.cumsum(~few) - 1
    found = []
    for one, name in enumerate(labelled.names):
        known = rates is not None and not few[one]
        own = [float(rate[place[one]]) for rate in rates] if rates is not None and known else [None] * 3
        found.append(ClassScore(name, counts[one], places[one], bool(few[one]), *own))
    return tuple(found)


def stopped_helping(scores: Sequence[float | None]) -> bool:
    """Return whether the last labels gained nothing that counts.

    Args:
        scores: macro F1 of one review, in order; None, where there was none, is passed over.
    """
    known = [one for one in scores if one is not None]
    if len(known) <= LOOKED_BACK:
        return False
    recent, before = known[-LOOKED_BACK:], known[:-LOOKED_BACK]
    return max(recent) - max(before) < LEAST_GAIN
