"""Which rows of a table may be hits of which queries: conditions, and what is excluded for each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reddino.embedding.combinations import combinations
from reddino.embedding.conditions import Condition, mask_of
from reddino.embedding.copies_file import read_copies
from reddino.embedding.table_on_disk import Block, TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.rbc.found_cells import given_at_border
from reddino.searching.choices import Same
from reddino.smears.column_names import AT_BORDER

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: What a row's group is named by; of slides and patients, those of one source.
COLUMNS: Mapping[Same, tuple[str, ...]] = {
    "field": ("path",),
    "slide": ("source", "slide"),
    "patient": ("source", "patient"),
}
#: A group of no row of the table, and that of rows that lack the column.
ELSEWHERE, NAMELESS = -2, -1


@dataclass(frozen=True)
class Candidates:
    """Which rows of a table may be hits.

    Attributes:
        rows: of the table.
        allowed: (n,) which rows meet the conditions; None: all.
        groups: (n,) number of each row's field, slide or patient; None: nothing is excluded by these.
        cut: rows that are no hits since the border of their image cuts them.
        own: by query, rows that show the query itself.
        own_groups: (q,) number of each query's field, slide or patient.
    """

    rows: int
    allowed: Mask | None = None
    groups: Indices | None = None
    cut: int = 0
    own: Mapping[int, Indices] = field(default_factory=dict)
    own_groups: Indices | None = None

    @property
    def count(self) -> int:
        """Return how many rows meet the conditions."""
        return self.rows if self.allowed is None else int(self.allowed.sum())

    def barred(self, queries: Indices, start: int, stop: int) -> Mask | None:
        """Return which rows (q, n) from `start` to `stop` are no hits of queries (q,); None: all may be."""
        found: Mask | None = None
        if self.allowed is not None:
            found = np.tile(~self.allowed[start:stop], (len(queries), 1))
        if self.groups is not None and self.own_groups is not None:
            same = self.groups[start:stop] == self.own_groups[queries, None]
            found = same if found is None else found | same
        for place, query in enumerate(queries.tolist()):
            rows = self.own.get(query)
            mine = None if rows is None else rows[(rows >= start) & (rows < stop)]
            if mine is not None and len(mine):
                found = np.zeros((len(queries), stop - start), np.bool_) if found is None else found
                found[place, mine - start] = True
        return found


def find_groups(table: TableOnDisk, same: Same) -> tuple[Indices, dict[tuple[str, ...], int]]:
    """Return the number (n,) of each row's field, slide or patient, and the numbers by their names.

    Copies of a picture are one field. Rows without a slide or patient have none that could be excluded.

    Raises:
        RedDinoError: the table has no such column, or no value in it.
    """
    names = [name for name in COLUMNS[same] if name in table.schema.names]
    if COLUMNS[same][-1] not in names:
        raise RedDinoError(
            f"'{table.folder}' has no column '{same}', by which nothing can be excluded: leave it out"
        )
    copies = (read_copies(table.folder) or {}) if same == "field" else {}
    known: dict[tuple[str, ...], int] = {}
    found = [_numbered(block, names, known, copies) for block in table.blocks(names)]
    groups = np.concatenate([np.empty(0, np.int64), *found])
    if not known:
        raise RedDinoError(
            f"column '{same}' of '{table.folder}' is empty, so that nothing can be excluded by it: leave it "
            "out, "
            "or exclude the same field"
        )
    return groups, known


def _numbered(
    block: Block, names: Sequence[str], known: dict[tuple[str, ...], int], copies: Mapping[str, str]
) -> Indices:
    """Return the numbers (n,) of a block's rows; `known` keeps those of the names."""
    codes, found = combinations(block.columns, names)
    numbers = np.empty(len(found), np.int64)
    for place, values in enumerate(found):
        named = group_name(tuple("" if value is None else str(value) for value in values), copies)
        numbers[place] = NAMELESS if not named[-1] else known.setdefault(named, len(known))
    return numbers[codes]


def group_name(values: tuple[str, ...], copies: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a group is known by: a picture by the first of its copies."""
    return (copies.get(values[0], values[0]),) if len(values) == 1 else values


def find_whole(table: TableOnDisk) -> Mask | None:
    """Return which rows (n,) the border of their image does not cut.

    None where it cuts none, cuts all, or the table has no such column: then all rows count.
    """
    if AT_BORDER not in table.schema.names:
        return None
    cut = np.concatenate([given_at_border(block.columns) for block in table.blocks([AT_BORDER])])
    return None if cut.all() or not cut.any() else ~cut


def find_allowed(table: TableOnDisk, conditions: Sequence[Condition]) -> Mask | None:
    """Return which rows (n,) meet conditions; None where there are none.

    Raises:
        RedDinoError: no row meets them, or the table lacks a column that they name.
    """
    if not conditions:
        return None
    allowed = mask_of(table, conditions)
    if not allowed.any():
        named = " and ".join(map(str, conditions))
        raise RedDinoError(f"no row of '{table.folder}' meets {named}: look at the columns' values")
    return allowed
