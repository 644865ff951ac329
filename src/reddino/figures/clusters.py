"""Groups of similar vectors, where nothing else distinguishes the cells of a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from reddino.embedding.view_encoder import Vectors
from reddino.figures.projection import reduce_dimensions

#: Groups that are made, at most; as many as colours that every eye distinguishes.
MOST = 6
#: Vectors of a group on average, at the least.
LEAST_OF_EACH = 10
#: A group of which at least this fraction is of one source is that source's.
ONE_SOURCE = 0.95
#: Sources that hold more of all cells than this fraction explain nothing of a group that is theirs.
COMMON = 0.8


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


def groups_of_one_source(groups: Sequence[str], sources: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the groups that lie in one source, though that source holds fewer of all cells.

    Args:
        groups: (n,) group of each cell; empty where it is in none.
        sources: (n,) source of each cell.

    Returns:
        Group, source and fraction of the group's cells that are of the source, in order of the groups.
    """
    of_groups, of_sources = Counter(groups), Counter(sources)
    return [
        (group, source, cells / of_groups[group])
        for (group, source), cells in sorted(Counter(zip(groups, sources, strict=True)).items())
        if group and cells >= ONE_SOURCE * of_groups[group] and of_sources[source] <= COMMON * len(sources)
    ]
