"""TypiClust: the most typical cell of each cluster in which nobody has labelled one.

Hacohen, Dekel and Weinshall, "Active Learning on a Budget", ICML 2022. scikit-activeml clusters all cells
again for each batch, which takes minutes at 200,000 cells; here clusters are found on a sample.
"""

from __future__ import annotations

import numpy as np

from reddino.embedding.view_encoder import Vectors
from reddino.reviewing.pool import Numbers, Real
from reddino.reviewing.strategies.distances import nearest_of, squared

#: Cells, drawn at random, that clusters are found on; clusters at most; steps of k-means.
SAMPLE, MOST_CLUSTERS, STEPS = 10_000, 500, 8


def typical_first(
    features: Vectors,
    strangeness: Real,
    answered: Numbers,
    rows: Numbers,
    *,
    count: int,
    draw: np.random.Generator,
) -> Numbers:
    """Return rows (k <= count,): of each cluster without an answer, largest first, the most typical cell.

    Args:
        features: (n, p) of all cells.
        strangeness: (n,); the least strange cell of a cluster is the most typical.
        answered: rows that readers have seen.
        rows: that may be returned.
        count: at most.
        draw: for the sample and the start of the clusters.
    """
    clusters = min(len(answered) + count, MOST_CLUSTERS, len(features))
    centres = cluster_centres(features, clusters, draw)
    of_row = nearest_of(features[rows], centres)
    covered = np.zeros(clusters, dtype=np.bool_)
    if len(answered):
        covered[nearest_of(features[answered], centres)] = True
    sizes = np.bincount(of_row, minlength=clusters)
    # The most typical of each cluster first, then the second of each, and so on.
    order = np.lexsort((strangeness[rows], of_row))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    turn = np.empty(len(rows), dtype=np.int64)
    turn[order] = np.arange(len(rows)) - starts[of_row[order]]
    best = np.lexsort((-sizes[of_row], turn, covered[of_row]))
    return rows[best[:count]]


def cluster_centres(features: Vectors, clusters: int, draw: np.random.Generator) -> Vectors:
    """Return centres (clusters, p) by k-means on a sample, started as k-means++ does."""
    sample = features[draw.permutation(len(features))[:SAMPLE]]
    centres = _spread_out(sample, clusters, draw)
    for _ in range(STEPS):
        nearest = nearest_of(sample, centres)
        sums = np.zeros(centres.shape)
        np.add.at(sums, nearest, sample)
        counts = np.bincount(nearest, minlength=len(centres))
        full = counts > 0
        centres[full] = sums[full] / counts[full, None]
    return centres


def _spread_out(points: Vectors, count: int, draw: np.random.Generator) -> Vectors:
    """Return points (count, p), each drawn in proportion to its squared distance from those before it."""
    chosen = [0]
    far = squared(points, points[:1])[:, 0]
    while len(chosen) < count:
        total = np.cumsum(far, dtype=np.float64)
        if total[-1] <= 0:  # the others equal those that are chosen
            chosen += list(range(len(chosen), count))
            break
        best = int(np.searchsorted(total, draw.random() * total[-1]).clip(0, len(points) - 1))
        chosen.append(best)
        far = np.minimum(far, squared(points, points[[best]])[:, 0])
    return points[chosen].copy()
