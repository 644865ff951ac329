"""Splits between sources: one trains and the others test, or one tests and the others train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reddino.evaluation.splits import Rows, Split, require_two_classes
from reddino.foundations.errors import RedDinoError


def cross_source(labels: Sequence[str], sources: Sequence[str]) -> tuple[Split, ...]:
    """Train on each source in turn, and test each of the others by itself: the paper's Elsafty protocol.

    The published description leaves open whether the others are scored one by one or together. Here they are
    scored one by one, so that a large source does not drown the small ones.

    Raises:
        RedDinoError: a single source, or one with cells of a single class, which cannot teach.
    """
    rows = _rows_of(labels, sources)
    truth = np.asarray(labels)
    poor = [name for name, own in rows.items() if len(np.unique(truth[own])) < 2]
    if poor:
        raise RedDinoError(
            f"source '{poor[0]}' has cells of one class only ('{truth[rows[poor[0]]][0]}'), so nothing can "
            "be learned from it alone: leave it out, or use the protocol leave-one-source-out"
        )
    return tuple(
        Split(name, own, tuple((other, tested) for other, tested in rows.items() if other != name))
        for name, own in rows.items()
    )


def leave_one_source_out(labels: Sequence[str], sources: Sequence[str]) -> tuple[Split, ...]:
    """Test each source in turn, with training on all the others.

    Raises:
        RedDinoError: a single source.
    """
    rows = _rows_of(labels, sources)
    everything = np.arange(len(labels), dtype=np.int64)
    return tuple(
        Split(f"all but {name}", np.setdiff1d(everything, own), ((name, own),)) for name, own in rows.items()
    )


def _rows_of(labels: Sequence[str], sources: Sequence[str]) -> dict[str, Rows]:
    """Return the row numbers of each source."""
    require_two_classes(np.asarray(labels))
    names, codes = np.unique(np.asarray(sources), return_inverse=True)
    if "" in names:
        raise RedDinoError(
            f"{int((np.asarray(sources) == '').sum())} labelled cells name no source: fill the column, or "
            "give another as the source column"
        )
    if len(names) < 2:
        raise RedDinoError(
            f"testing across sources needs at least two sources, but all cells are of '{names[0]}': "
            "join the data of another laboratory, or use the protocol grouped-kfold"
        )
    return {str(name): np.flatnonzero(codes == i).astype(np.int64) for i, name in enumerate(names)}
