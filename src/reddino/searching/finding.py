"""Find the nearest rows of queries: exactly, or past a size by an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.conditions import Condition
from reddino.embedding.copies_file import read_copies
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.searching.candidates import (
    COLUMNS,
    ELSEWHERE,
    Candidates,
    Mask,
    find_allowed,
    find_groups,
    find_whole,
    group_name,
)
from reddino.searching.choices import Same
from reddino.searching.exact import nearest_in
from reddino.searching.hits import Hits, hits_of
from reddino.searching.index import open_index
from reddino.searching.index_files import index_folder
from reddino.searching.queries import Queries
from reddino.smears.column_names import AT_BORDER

Indices = npt.NDArray[np.int64]
Stored = npt.NDArray[np.floating[Any]]

#: Rows that are all compared with a query, at most: some seconds on one core (docs/scale.md).
EXACT_ROWS = 1_000_000


@dataclass(frozen=True)
class SearchOptions:
    """What is to be found.

    Attributes:
        top: hits of each query.
        conditions: that hits must meet.
        exclude_same: what hits must not share with their query; None: nothing.
        exact: compare with every row, however many there are.
        index: folder of the index; None: in the table. One that is named is used, whatever the size.
        seed: of the index's sample.
        keep_border: cells that the border of their image cuts may be hits. They may be as well where a
            condition names that column, or the border cuts every cell.
    """

    top: int = 20
    conditions: Sequence[Condition] = ()
    exclude_same: Same | None = None
    exact: bool = False
    index: str | Path | None = None
    seed: int = 0
    keep_border: bool = False


def find_nearest(table: TableOnDisk, queries: Queries, wanted: SearchOptions, *, named: bool) -> Hits:
    """Return the nearest rows of a table to each query, nearest first.

    Distances are cosine distances, 1 - cos: 0 for vectors of one direction, 2 for opposite ones. The query
    itself is no hit.

    Args:
        table: to search.
        queries: of its model, view and preprocessing.
        wanted: how many, and which.
        named: whether the hits name their query.

    Raises:
        RedDinoError: no row may be a hit, or the index needs a package that is not installed.
    """
    if len(queries.vectors) and queries.vectors.shape[1] != int(table.meta["dim"]):
        raise RedDinoError("the query has another length than the table's vectors: embed both the same way")
    candidates = _candidates(table, queries, wanted)
    exact = wanted.exact or (wanted.index is None and candidates.count <= EXACT_ROWS)
    recall = None
    if exact:
        found = nearest_in(_blocks(table, candidates.allowed), queries.vectors, wanted.top, candidates)
    else:
        index = open_index(table, index_folder(table, wanted.index), seed=wanted.seed)
        recall = index.notes.recall
        found = index.search(queries.vectors, wanted.top, candidates)
    made = hits_of(table, queries, found, named=named)
    return Hits(made, queries.names, exact, recall, candidates.count, candidates.cut)


def _candidates(table: TableOnDisk, queries: Queries, wanted: SearchOptions) -> Candidates:
    allowed, cut = find_allowed(table, wanted.conditions), 0
    with_border = wanted.keep_border or any(one.column == AT_BORDER for one in wanted.conditions)
    whole = None if with_border else find_whole(table)
    if whole is not None:
        met = np.ones(len(table), np.bool_) if allowed is None else allowed
        cut = int((met & ~whole).sum())
        allowed = met & whole
        if not allowed.any():
            raise RedDinoError("the border of its image cuts every cell that may be a hit: add --keep-border")
    if wanted.exclude_same is None:
        return Candidates(len(table), allowed, cut=cut, own=queries.own)
    groups, known = find_groups(table, wanted.exclude_same)
    own_groups = _own_groups(table, queries, wanted.exclude_same, known)
    return Candidates(len(table), allowed, groups, cut, queries.own, own_groups)


def _own_groups(
    table: TableOnDisk, queries: Queries, same: Same, known: dict[tuple[str, ...], int]
) -> Indices:
    """Return the number (q,) of each query's field, slide or patient among those of the table.

    Raises:
        RedDinoError: the slide or patient of a picture is not known.
    """
    names = [name for name in COLUMNS[same] if name in table.schema.names]
    if names[-1] not in queries.columns:
        if same == "field":  # a picture that the table does not have
            return np.full(len(queries), ELSEWHERE, np.int64)
        raise RedDinoError(
            f"the {same} of '{queries.names[0]}' is not known, so that it cannot be excluded: name a row of "
            "the "
            "table, or leave it out"
        )
    copies = (read_copies(table.folder) or {}) if same == "field" else {}
    columns = [queries.columns.get(name, [""] * len(queries)) for name in names]
    found = np.full(len(queries), ELSEWHERE, np.int64)
    for query, key in enumerate(zip(*columns, strict=True)):
        named = group_name(key, copies)
        found[query] = known.get(named, ELSEWHERE) if named[-1] else ELSEWHERE
    return found


def _blocks(table: TableOnDisk, allowed: Mask | None) -> Iterator[tuple[int, Stored]]:
    with stage("comparing with every row") as advance:
        for block in table.blocks(vectors=True, among=allowed):
            yield block.start, block.vectors
            advance(block.start + len(block), len(table))
