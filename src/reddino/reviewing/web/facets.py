"""The columns of a table that cells are filtered by, as numbers of few names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.figures.palette import Groups
from reddino.foundations.visible import visible

#: Columns that a page filters by.
FACETS = ("slide", "source", "patient")


@dataclass(frozen=True)
class Facet:
    """A column of the cells.

    Attributes:
        names: of its values, in natural order; "" is one of them where a cell has none.
        codes: (n,) int32 place of each cell's value among the names.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, values: Sequence[str]) -> Facet:
        """Return the facet of the values (n,) of a column."""
        groups = Groups.of(values)
        names = tuple(visible(name, keep="") for name in groups.names)
        return cls(names, groups.index.astype(np.int32))

    def name(self, row: int) -> str:
        """Return the value of a cell."""
        return self.names[int(self.codes[row])]

    def rows(self, name: str) -> npt.NDArray[np.bool_]:
        """Return which cells (n,) have a value; none where there is no such value."""
        if name not in self.names:
            return np.zeros(len(self.codes), dtype=np.bool_)
        found: npt.NDArray[np.bool_] = self.codes == self.names.index(name)
        return found

    def by_value(self, labels: Mapping[int, str], most: int) -> list[dict[str, Any]]:
        """Return for each value, `most` at most, its cells and how many of them have which label.

        Args:
            labels: by row.
            most: values; those with the most labels come first.
        """
        cells = np.bincount(self.codes, minlength=len(self.names))
        found: dict[int, Counter[str]] = {}
        for row, label in labels.items():
            found.setdefault(int(self.codes[row]), Counter())[label] += 1
        order = sorted(found, key=lambda code: (-sum(found[code].values()), code))[:most]
        return [
            {
                "slide": self.names[code] or "not given",
                "cells": int(cells[code]),
                "classes": dict(found[code]),
            }
            for code in order
        ]

    def useful(self) -> bool:
        """Return whether it has more than one value."""
        return len(self.names) > 1


def facets_of(table: Embeddings) -> dict[str, Facet]:
    """Return the columns that cells are filtered by; slides and patients belong to their source."""
    found = {}
    sources = _column(table, "source")
    for name in FACETS:
        values = _column(table, name)
        if name != "source" and _shared(values, sources):
            values = [f"{s} / {v}" if v and s else v for v, s in zip(values, sources, strict=True)]
        found[name] = Facet.of(values)
    return found


def _shared(values: Sequence[str], sources: Sequence[str]) -> bool:
    """Return whether two sources have a value in common, which then means two things."""
    pairs = {pair for pair in zip(values, sources, strict=True) if pair[0]}
    return len(pairs) > len({value for value, _ in pairs})


def _column(table: Embeddings, name: str) -> list[str]:
    return table.names(name) if name in table.table.column_names else [""] * len(table)
