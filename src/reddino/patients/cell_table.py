"""The cells of an embedding table by patient: who they are at once, their vectors part by part.

A table of millions of cells is never held whole: means are summed over its parts, and models over cells see
as many cells of each patient as memory is given to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.embedding.combinations import combinations
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import alike_columns
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.smears.column_names import AT_BORDER

Rows = NDArray[np.int64]
Real = NDArray[np.float64]
#: Columns by which a cell has an owner, and whether it counts.
_WHOSE = ("patient", "source", "slide", "path", AT_BORDER)
#: Bytes of the vectors that models over cells hold, where no number of cells is given.
_MEMORY = 1_000_000_000
#: Cells of a patient that are held however many patients there are.
_LEAST_CELLS = 64


@dataclass(frozen=True)
class CellTable:
    """An embedding table, as far as patients need it.

    Attributes:
        stored: the table: in memory, or its parts on disk.
        kinds: a row per combination of patient, source, slide, path and border that occurs, without vectors.
        kind: (m,) the combination of each cell.
        meta: of the table.
    """

    stored: Embeddings | TableOnDisk
    kinds: Embeddings
    kind: Rows

    @classmethod
    def of(cls, stored: Embeddings | TableOnDisk) -> CellTable:
        """Read whose each cell is.

        Raises:
            RedDinoError: a part of the table is damaged.
        """
        number: dict[tuple[Any, ...], int] = {}
        codes = [np.empty(0, np.int64)]
        names: tuple[str, ...] | None = None
        for part in _parts(stored, "reading whose cells they are", _WHOSE):
            own = tuple(name for name in _WHOSE if name in part.table.column_names)
            # Parts of earlier versions lack the column of borders: then the table has none.
            names = own if names is None else tuple(name for name in names if name in own)
            combined, values = combinations(part.table, own)
            places = [number.setdefault((own, *one), len(number)) for one in values]
            codes.append(np.array(places, dtype=np.int64)[combined])
        return cls(stored, _kinds(number, names or (), stored), np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def meta(self) -> Any:
        """The metadata of the table."""
        return self.stored.meta

    @property
    def cells_of_kind(self) -> Rows:
        """Cells of each combination (k,)."""
        return np.bincount(self.kind, minlength=len(self.kinds))

    def means(
        self, owner: Rows, patients: int, of: Callable[[Embeddings], NDArray[np.floating]] | None = None
    ) -> Real:
        """Return the mean (n, d) over all cells of each patient.

        Args:
            owner: (k,) number of the patient of each combination, -1 for cells that do not count.
            patients: n; each has cells.
            of: what of cells is averaged, (m, d); None: their vectors.
        """
        sums: Real | None = None
        counts = np.zeros(patients)
        for part, owners in self._owned(owner, "reading the cells' vectors"):
            values = part.vectors if of is None else of(part)
            if sums is None:
                sums = np.zeros((patients, values.shape[1]))
            for one, rows in _by_owner(owners):
                sums[one] += values[rows].astype(np.float64).sum(axis=0)
                counts[one] += len(rows)
        if sums is None or (counts == 0).any():
            raise ValueError("a patient without cells has no picture")
        return np.asarray(sums / counts[:, None], dtype=np.float64)

    def draw(self, owner: Rows, patients: int, most: int, seed: int) -> tuple[Embeddings, Rows]:
        """Return cells, sorted by patient, and the number of each cell's patient (m,).

        Args:
            owner: as for `means`.
            patients: n.
            most: cells of each patient, drawn without replacement where there are more; 0: as many as fit
                into 1 GB.
            seed: of the draw.
        """
        most = most or self.most_cells(patients)
        owners = owner[self.kind]
        order = np.argsort(owners, kind="stable")
        starts = np.searchsorted(owners[order], np.arange(patients + 1))
        rng = np.random.default_rng([seed, 71])
        chosen = []
        for one in range(patients):
            rows = order[starts[one] : starts[one + 1]]
            chosen.append(rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False)))
        return self._take(np.concatenate(chosen)), np.repeat(
            np.arange(patients), [len(one) for one in chosen]
        )

    def most_cells(self, patients: int) -> int:
        """Return how many cells of each patient are held where no number is given."""
        dim = int(self.meta.get("dim", 0)) if isinstance(self.stored, TableOnDisk) else 0
        # Tables in memory take no more.
        return max(_LEAST_CELLS, _MEMORY // (patients * dim * 4)) if dim else len(self)

    def _take(self, rows: Rows) -> Embeddings:
        """Return cells by their row numbers, in that order."""
        if isinstance(self.stored, Embeddings):
            return self.stored.select(rows)
        order = np.argsort(rows)
        wanted = rows[order]
        tables: list[pa.Table] = []
        vectors: NDArray[Any] | None = None
        start = done = 0
        for part in self.stored.read(name="reading the sampled cells"):
            stop = start + len(part)
            own = wanted[done : np.searchsorted(wanted, stop)] - start
            if len(own):
                if vectors is None:
                    vectors = np.empty((len(rows), part.vectors.shape[1]), part.vectors.dtype)
                vectors[order[done : done + len(own)]] = part.vectors[own]
                tables.append(part.table.take(own))
            start, done = stop, done + len(own)
        if vectors is None:
            raise ValueError("no cells to take")
        table = pa.concat_tables(alike_columns(tables), promote_options="permissive")
        return Embeddings(vectors, table.take(np.argsort(order)), self.meta)

    def _owned(self, owner: Rows, name: str) -> Iterator[tuple[Embeddings, Rows]]:
        """Yield the cells of each part, with the number of each one's patient, or -1."""
        owners, start = owner[self.kind], 0
        for part in _parts(self.stored, name):
            yield part, owners[start : start + len(part)]
            start += len(part)


def _parts(
    stored: Embeddings | TableOnDisk, name: str, columns: Sequence[str] | None = None
) -> Iterator[Embeddings]:
    """Yield a table part by part; one in memory at once, with all its columns."""
    if isinstance(stored, Embeddings):
        yield stored
    else:
        yield from stored.read(columns, name)


def _kinds(
    number: dict[tuple[Any, ...], int], names: Sequence[str], stored: Embeddings | TableOnDisk
) -> Embeddings:
    """Return the combinations as a table without vectors, of the columns that all parts have."""
    combined = [dict(zip(one[0], one[1:], strict=True)) for one in number]
    table = pa.table({name: pa.array([one[name] for one in combined]) for name in names})
    if not names:
        table = pa.table({"row": pa.array(np.arange(len(combined)))})
    return Embeddings(np.empty((len(combined), 0), np.float32), table, stored.meta)


def _by_owner(owners: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield each patient of some cells (m,) with the places of its cells; -1 is nobody."""
    order = np.argsort(owners, kind="stable")
    found, first = np.unique(owners[order], return_index=True)
    for one, rows in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        if one >= 0:
            yield one, rows
