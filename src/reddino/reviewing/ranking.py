"""The queue: which cells are shown next, by a named strategy, and never one picture alone."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from reddino.reviewing.choices import Strategy
from reddino.reviewing.learning import Probe
from reddino.reviewing.pool import Labelled, Numbers, Pool

#: Cells of a page; no run of so many comes from one field alone where there are others.
BATCH = 20


def rank(
    strategy: Strategy,
    pool: Pool,
    labelled: Labelled,
    *,
    count: int = 200,
    batch: int = BATCH,
    probe: Probe | None = None,
    sought: Collection[str] = (),
    among: Numbers | None = None,
    seed: int = 0,
) -> Numbers:
    """Return the rows (k <= count,) to show next, best first; none that has an answer.

    Args:
        strategy: its name.
        pool: all cells.
        labelled: what was said so far.
        count: rows to return; fewer where fewer are left.
        batch: cells of a page, of which one field gives only a part while others have cells.
        probe: the current classifier, which `margin`, `entropy` and `default` use; None: fitted here.
        sought: classes whose neighbours `rare` looks for; none named: those that are rare among the labels.
        among: rows that may be shown, such as those of one slide; None: all.
        seed: of draws and ties; the same labels and seed give the same rows.

    Raises:
        RedDinoError: no such strategy.
    """
    rows = labelled.open_rows(pool)
    if among is not None:
        rows = np.intersect1d(rows, among)
    return np.random.default_rng(seed).permutation(rows)[:count]
