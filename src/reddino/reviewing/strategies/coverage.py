"""ProbCover: cells that stand for the most cells that no answered cell is near to.

Yehuda, Dekel, Hacohen and Weinshall, "Active Learning Through a Covering Lens", NeurIPS 2022. scikit-activeml
holds all pairwise distances, 160 GB in float32 at 200,000 cells; here a sample stands for the cells.
"""

from __future__ import annotations

import numpy as np

from reddino.embedding.view_encoder import Vectors
from reddino.reviewing.pool import Numbers
from reddino.reviewing.strategies.distances import squared, to_nearest

#: Cells, drawn at random, that are to be covered, and of those that may be shown, that may cover them.
COVERED, COVERING = 4000, 2000
#: The first radius is the distance within which this fraction of the pairs of cells lies.
FRACTION = 0.02
#: Once all cells are covered the radius becomes smaller by this factor.
SMALLER = 0.85


def coverage_first(
    features: Vectors,
    answered: Numbers,
    rows: Numbers,
    count: int,
    *,
    draw: np.random.Generator,
    radius: float | None = None,
) -> Numbers:
    """Return rows (k <= count,), each of which covers the most cells that are not covered yet.

    Args:
        features: (n, p) of all cells.
        answered: rows that readers have seen; they cover what is near to them.
        rows: that may be returned.
        count: at most.
        draw: for the samples.
        radius: that a cell covers; None: such that `FRACTION` of the pairs are nearer.
    """
    sample = features[draw.permutation(len(features))[:COVERED]]
    candidates = draw.permutation(rows)[: max(COVERING, count)]
    far = squared(features[candidates], sample)
    limit = float(np.quantile(far[:200], FRACTION)) if radius is None else radius**2
    nearest = to_nearest(sample, features[answered])
    chosen: list[int] = []
    free = np.ones(len(candidates), dtype=np.bool_)
    while len(chosen) < min(count, len(candidates)):
        near = far <= limit
        gains: Vectors = near.astype(np.float32) @ (nearest > limit).astype(np.float32)
        while len(chosen) < min(count, len(candidates)):
            gains[~free] = -1
            best = int(gains.argmax())
            if gains[best] <= 0:
                break
            newly = near[best] & (nearest > limit)
            gains -= near[:, newly].sum(axis=1)
            nearest = np.minimum(nearest, far[best])
            free[best] = False
            chosen.append(best)
        limit *= SMALLER**2
        if limit < 1e-9:
            chosen += np.flatnonzero(free)[: count - len(chosen)].tolist()
    return candidates[np.array(chosen, dtype=np.int64)]
