"""Rare cells: strange ones first, then those near to the rare ones that were labelled.

The second part follows SEALS: Coleman and others, "Similarity Search for Efficient Active Learning and Search
of Rare Concepts", AAAI 2022. It looks at the nearest neighbours of what was found, which is fast in any pool.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.reviewing.pool import Labelled, Numbers, Real
from reddino.reviewing.strategies.distances import to_nearest

#: A class is rare among the labels if it has less than this fraction of the mean over classes.
OF_THE_MEAN = 0.5


def rare_classes(labelled: Labelled) -> Numbers:
    """Return the numbers of classes that have labels, and few of them compared with the others."""
    counts = labelled.counts
    known = max(int((counts > 0).sum()), 1)
    few = (counts > 0) & (counts < OF_THE_MEAN * len(labelled) / known)
    return np.flatnonzero(few).astype(np.int64)


def strange_first(
    features: Vectors, strangeness: Real, answered: Numbers, rows: Numbers, *, count: int
) -> Numbers:
    """Return rows (k <= count,), strangest first, passing over those that look like one answered before.

    A cell is worth its strangeness times its distance to the nearest answered or chosen cell, so that ten
    clumps of platelets do not fill a page.
    """
    pool = rows[np.argsort(-strangeness[rows], kind="stable")[: max(20 * count, 2000)]]
    nearest = np.sqrt(to_nearest(features[pool], features[answered]))
    typical = float(np.median(nearest)) if np.isfinite(nearest).all() else np.inf
    chosen: list[int] = []
    value = strangeness[pool]
    for _ in range(min(count, len(pool))):
        worth = value * np.minimum(nearest / max(typical, 1e-9), 1) if np.isfinite(typical) else value.copy()
        worth[chosen] = -1.0
        best = int(worth.argmax())
        chosen.append(best)
        far = np.sqrt(((features[pool] - features[pool[best]]) ** 2).sum(axis=1))
        nearest = np.minimum(nearest, far)
        if not np.isfinite(typical):
            typical = float(np.median(nearest))
    return pool[np.array(chosen, dtype=np.int64)]


def likely_first(
    features: Vectors,
    labelled: Labelled,
    sought: Numbers,
    rows: Numbers,
    count: int,
    *,
    probabilities: npt.NDArray[np.float32] | None,
) -> Numbers:
    """Return rows (k <= count,) that are likeliest of the sought classes, in turn, rarer ones more often.

    Args:
        features: (n, p) of all cells.
        labelled: cells with a class.
        sought: class numbers.
        rows: that may be returned.
        count: at most.
        probabilities: (len(rows), k) of the current classifier; None: nearer to a sought cell than to others.
    """
    orders, needs = [], []
    for one in sought.tolist():
        own = labelled.rows[labelled.classes == one]
        if not len(own):
            continue
        if probabilities is not None:
            value = probabilities[:, one]
        else:
            value = -to_nearest(features[rows], features[own])
        most = min(count, len(rows))
        best = np.argpartition(-value, most - 1)[:most] if most < len(rows) else np.arange(len(rows))
        orders.append(rows[best[np.argsort(-value[best], kind="stable")]])
        needs.append(1 / len(own))
    return in_turn(orders, needs, count)


def in_turn(orders: list[Numbers], fractions: list[float], count: int) -> Numbers:
    """Return rows (k <= count,) taken from several orders in turn, in given proportions, each row once."""
    chosen: list[int] = []
    seen: set[int] = set()
    places, debts = [0] * len(orders), [0.0] * len(orders)
    total = sum(fractions) or 1.0
    while len(chosen) < count:
        open_orders = [k for k, order in enumerate(orders) if places[k] < len(order) and fractions[k] > 0]
        if not open_orders:
            break
        for k in open_orders:
            debts[k] += fractions[k] / total
        k = max(open_orders, key=lambda one: debts[one])
        debts[k] -= 1.0
        row = int(orders[k][places[k]])
        places[k] += 1
        if row in seen:
            debts[k] += 1.0
            continue
        seen.add(row)
        chosen.append(row)
    return np.array(chosen, dtype=np.int64)
