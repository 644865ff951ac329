"""Groups that part what belongs together: named columns that are finer than patients or slides."""

from __future__ import annotations

import logging

import numpy as np

from reddino.embedding.embeddings import Embeddings
from reddino.reviewing.pool import Numbers

log = logging.getLogger(__name__)


def warn_of_parted(table: Embeddings, groups: Numbers, group_by: str | None) -> None:
    """Warn where cells of one patient or slide lie in several groups, so that a score is too good.

    Args:
        table: the cells.
        groups: (n,) number of the group of each.
        group_by: column that the groups were named by; None, the default, parts nothing.
    """
    if group_by is None:
        return
    for name in ("patient", "slide"):
        if name == group_by or name not in table.table.column_names:
            continue
        owners, found = np.array(table.names("source")), np.array(table.names(name))
        known = found != ""
        pairs = np.char.add(np.char.add(owners[known], "\0"), found[known])
        _, numbers = np.unique(pairs, return_inverse=True)
        both = np.unique(np.stack([numbers, groups[known]]), axis=1)
        parted = int((np.bincount(both[0]) > 1).sum()) if both.size else 0
        if parted:
            log.warning(
                "groups by '%s' part the cells of %d %s%s: what is learned from one part is tested on the "
                "other, and scores come out too high; leave --group-by (group_by) out, or name '%s'",
                group_by,
                parted,
                name,
                "" if parted == 1 else "s",
                name,
            )
            return
