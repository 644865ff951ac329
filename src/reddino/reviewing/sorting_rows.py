"""Imported predictions in the database: a first sorting, which readers correct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reddino.reviewing.event_rows import number_of
from reddino.reviewing.records import Suggestion
from reddino.reviewing.schema import classifiers, sa, sortings


def read(connection: sa.Connection) -> dict[int, Suggestion]:
    """Return cell -> prediction; of several classifiers, that of the latest."""
    columns = (sortings.c.row, classifiers.c.name, sortings.c.label, sortings.c.probability)
    found = sa.select(*columns).join_from(sortings, classifiers).order_by(sortings.c.classifier)
    return {
        row: Suggestion(name, label, probability)
        for row, name, label, probability in connection.execute(found)
    }


def insert(
    connection: sa.Connection,
    classifier: str,
    rows: npt.NDArray[np.int64],
    labels: Sequence[str],
    probabilities: npt.NDArray[np.float64],
) -> int:
    """Write predictions (n) that the classifier has not written before, and return how many."""
    number = number_of(connection, classifiers, classifier)
    known = set(
        connection.execute(sa.select(sortings.c.row).where(sortings.c.classifier == number)).scalars()
    )
    new = [
        {"classifier": number, "row": row, "label": label, "probability": probability}
        for row, label, probability in zip(rows.tolist(), labels, probabilities.tolist(), strict=True)
        if row not in known
    ]
    for start in range(0, len(new), 10_000):
        connection.execute(sortings.insert(), new[start : start + 10_000])
    return len(new)
