"""Groups of similar vectors, where nothing else distinguishes the cells of a map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from reddino.embedding.view_encoder import Vectors
from reddino.figures.projection import reduce_dimensions

#: Groups that are made, at most; as many as colours that every eye distinguishes.
MOST = 6
#: Vectors of a group on average, at the least.
LEAST_OF_EACH = 10


def cluster_names(vectors: Vectors, seed: int = 0, most: int = MOST) -> list[str]:
    """Group vectors (n, d) by k-means on their principal components, and name the groups by size.

    The groups part a continuum wherever it is convenient: they are for finding one's way, and are no classes.

    Args:
        vectors: finite.
        seed: of the centres.
        most: groups.

    Returns:
        (n,) `group 1` for the largest, and so on; "" for all where vectors are too few, or all are equal.
    """
    count = min(most, len(vectors) // LEAST_OF_EACH, len(np.unique(vectors[:1000], axis=0)))
    if count < 2:
        return [""] * len(vectors)
    reduced = reduce_dimensions(vectors)
    found = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2048).fit_predict(reduced)
    return _named(found.astype(np.int64), count)


def _named(found: npt.NDArray[np.int64], count: int) -> list[str]:
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    return [f"group {number + 1}" for number in rank[found].tolist()]
