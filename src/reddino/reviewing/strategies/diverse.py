"""Diversity of a page: its cells do not come from one field alone."""

from __future__ import annotations

from collections import Counter

import numpy as np

from reddino.reviewing.pool import Numbers

#: The fraction of a page that one field may give while others have cells.
MOST_OF_A_FIELD = 0.25


def spread_over_fields(order: Numbers, fields: Numbers, batch: int, count: int) -> Numbers:
    """Return the first `count` rows of an order, such that no page of `batch` is filled by one field.

    A row whose field already has its part of a page waits for the next page; it is taken all the same where
    no other field has a cell.

    Args:
        order: (m,) rows, best first.
        fields: (n,) of all cells.
        batch: cells of a page.
        count: rows to return.
    """
    most = max(1, int(batch * MOST_OF_A_FIELD))
    waiting = order.tolist()
    chosen: list[int] = []
    while waiting and len(chosen) < count:
        taken: list[int] = []
        left: list[int] = []
        used = Counter[int]()
        size = min(batch, count - len(chosen))
        for place, row in enumerate(waiting):
            if len(taken) == size:
                left += waiting[place:]
                break
            own = int(fields[row])
            if used[own] < most:
                used[own] += 1
                taken.append(row)
            else:
                left.append(row)
        short = size - len(taken)
        taken, left = taken + left[:short], left[short:]
        chosen += taken
        waiting = left
    return np.array(chosen, dtype=np.int64)
