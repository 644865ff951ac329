"""Rare classes of a task, and how far outside of the other cells an embedding puts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.intervals import PredictedRows
from reddino.figures.outliers import OUTLIER_NEIGHBOURS, nearest

Real = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]


def rare_classes(labels: Iterable[str], classes: ClassMap) -> list[str]:
    """The quarter of a task's classes with the fewest cells, at least one; of equals the first by name.

    Args:
        labels: of all cells of the data.
        classes: which labels become which classes.
    """
    counted = Counter(classes.class_of(label) for label in labels)
    counts = {name: count for name, count in counted.items() if name}
    order = sorted(counts, key=lambda name: (counts[name], name))
    return sorted(order[: max(1, len(order) // 4)])


def novelty_rows(
    vectors: Vectors, sources: Sequence[str], group: Classes, novel: npt.NDArray[np.bool_]
) -> PredictedRows | None:
    """Outlier scores of a class that the reference lacks, beside those of all other cells.

    The score is that of `reddino.figures.outliers.outlier_scores` with all cells but the novel ones as
    reference: mean Euclidean distance to the 10 nearest of the same source, other than the cell itself, over
    the median of that among the reference.

    Args:
        vectors: (n, d).
        sources: (n,).
        group: (n,) number of each row's group, for the bootstrap.
        novel: (n,) rows of the class.

    Returns:
        Truth 1 for novel cells, and their scores; None where no source has both kinds.
    """
    scores = np.full(len(vectors), np.nan)
    names = np.asarray(sources)
    for name in np.unique(names):
        own = names == name
        reference, queries = np.flatnonzero(own & ~novel), np.flatnonzero(own)
        if len(reference) <= OUTLIER_NEIGHBOURS or not (own & novel).any():
            continue
        mean = _mean_distance(vectors, reference, queries)
        typical = float(np.median(mean[~novel[queries]]))
        scores[queries] = mean / typical if typical > 0 else mean
    known = np.isfinite(scores)
    if not known.any():
        return None
    truth = novel[known].astype(np.int64)
    return PredictedRows(group[known], truth, np.zeros_like(truth), scores[known])


def _mean_distance(vectors: Vectors, reference: Classes, queries: Classes) -> Real:
    """Mean distance (m,) of `queries` to their nearest `reference` rows, themselves left out."""
    near, distances = nearest(vectors[reference], vectors[queries], OUTLIER_NEIGHBOURS + 1)
    own = reference[near] == queries[:, None]
    distances = np.sort(np.where(own, np.inf, distances), axis=1)
    mean: Real = distances[:, :OUTLIER_NEIGHBOURS].mean(axis=1)
    return mean
