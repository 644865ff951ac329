"""Imported predictions in the database: a first sorting, which readers correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

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
    """Write predictions (n) that the classifier has not written before, and return how many.

    Where a classifier of that name predicted something else for one of the cells, it is another one: what it
    predicts goes by the name with a number.
    """
    given = dict(zip(rows.tolist(), zip(labels, probabilities.tolist(), strict=True), strict=True))
    number, known = _of_name(connection, classifier, given)
    new = [
        {"classifier": number, "row": row, "label": label, "probability": probability}
        for row, (label, probability) in given.items()
        if row not in known
    ]
    for start in range(0, len(new), 10_000):
        connection.execute(sortings.insert(), new[start : start + 10_000])
    return len(new)


def _of_name(
    connection: sa.Connection, classifier: str, given: Mapping[int, tuple[str, float]]
) -> tuple[int, set[int]]:
    """Return the first classifier of that name that agrees with what is given, and the rows that it wrote."""
    columns = (sortings.c.row, sortings.c.label, sortings.c.probability)
    for place in count(1):
        number = number_of(connection, classifiers, classifier if place == 1 else f"{classifier} ({place})")
        found = connection.execute(sa.select(*columns).where(sortings.c.classifier == number)).all()
        if all(row not in given or _same(given[row], (label, likely)) for row, label, likely in found):
            return number, {row for row, _, _ in found}
    raise AssertionError("there is a number for any classifier")


def _same(one: tuple[str, float], other: tuple[str, float]) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) < 1e-6
