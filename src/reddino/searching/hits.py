"""The hits of a search: the rows of a table that are nearest to queries, with their columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.atomic import atomic_path
from reddino.foundations.exports import write_arrow_csv
from reddino.foundations.parquet import write_parquet
from reddino.searching.exact import NearestRows
from reddino.searching.queries import Queries
from reddino.smears.column_names import renamed

#: First columns of the hits, and one more where there are several queries.
QUERY, ROW, DISTANCE = "query", "row", "distance"
LEADING = ("path", "x", "y")


@dataclass(frozen=True)
class Hits:
    """The nearest rows of queries.

    Attributes:
        table: a row for each hit, those of a query together, nearest first: `query` (where a table was the
            query), `path`, `x`, `y`, `distance`, `row` (number in the table) and the other columns.
        queries: names of the queries.
        exact: whether every row was compared; else an index chose those that were.
        recall: fraction of the 20 exact neighbours that the index found of its sample; None: exact.
        searched: rows that could be hits.
        cut: rows that could not, since the border of their image cuts them.
    """

    table: pa.Table
    queries: tuple[str, ...]
    exact: bool
    recall: float | None
    searched: int
    cut: int = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)


def hits_of(table: TableOnDisk, queries: Queries, found: NearestRows, *, named: bool) -> pa.Table:
    """Return the hits as a table, with the queries' names as its first column if they are `named`."""
    there = found.rows >= 0
    rows = found.rows[there]
    columns = table.take(rows)
    own = [*([QUERY] if named else []), DISTANCE, ROW]
    columns = renamed(columns, own, "since the hits' own columns have these names")
    first = [name for name in LEADING if name in columns.column_names]
    made: dict[str, object] = {}
    if named:
        of = np.nonzero(there)[0].tolist()
        made[QUERY] = pa.array([queries.names[query] for query in of], pa.string())
    made |= {name: columns.column(name) for name in first}
    for name in LEADING:
        made.setdefault(name, pa.nulls(len(rows), pa.float64()))
    made[DISTANCE] = pa.array(found.distances[there].astype(np.float64).round(6))
    made[ROW] = pa.array(rows)
    made |= {name: columns.column(name) for name in columns.column_names if name not in made}
    return pa.table(made)


def write_hits(hits: Hits, path: Path) -> None:
    """Write hits as CSV, or as Parquet where the name ends in .parquet, whole or not at all."""
    with atomic_path(path) as partial:
        if path.suffix.lower() == ".parquet":
            write_parquet(hits.table, partial)
        else:
            write_arrow_csv(hits.table, partial)
