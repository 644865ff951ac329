"""The cells of a review as arrays: their vectors, the pictures they lie in, and what of them is labelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.classification.novelty import nearest_distances
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.table_columns import read_columns

Numbers = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Principal components that cells are compared and learned in, at most.
COMPONENTS = 96
#: Cells, drawn at random, that the components are found on.
DRAWN = 5000
#: Cells of a source, drawn at random, that strangeness is measured from.
COMPARED = 2048
#: Cells whose components are computed at once.
AT_ONCE = 16_384


@dataclass(frozen=True)
class Projection:
    """A linear map of vectors to the components in which they are compared.

    Attributes:
        axes: (d, p) float32.
        offset: (p,) float32, taken off afterwards.
    """

    axes: Vectors
    offset: Vectors

    def of(self, vectors: Vectors) -> Vectors:
        """Return the components (n, p) of vectors (n, d), computed in chunks."""
        found = np.empty((len(vectors), len(self.offset)), dtype=np.float32)
        for start in range(0, len(vectors), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            found[part] = vectors[part] @ self.axes - self.offset
        return found


@dataclass(frozen=True)
class CellVectors:
    """Cells with their vectors, of which a pool can be made.

    Attributes:
        vectors: (n, d) float32.
        fields, groups, sources: as those of a pool.
    """

    vectors: Vectors
    fields: Numbers
    groups: Numbers
    sources: Sequence[str] = field(repr=False, default=())

    @classmethod
    def of(
        cls, table: Embeddings, *, group_by: str | None = None, join_sources: Collection[str] = ()
    ) -> CellVectors:
        """Return the cells of an embedding table in memory; arguments as of `Pool.of_table`.

        Raises:
            RedDinoError: the table lacks the column.
        """
        return cls(table.vectors, *_places(table, group_by, join_sources))

    def __len__(self) -> int:
        return len(self.vectors)

    def only(self, kept: npt.NDArray[Any]) -> CellVectors:
        """Return some of the cells: a boolean mask (n,) or row numbers."""
        rows = np.flatnonzero(kept) if kept.dtype == np.bool_ else kept
        sources = [self.sources[row] for row in rows.tolist()] if self.sources else ()
        return CellVectors(self.vectors[rows], self.fields[rows], self.groups[rows], sources)

    def pool(self) -> Pool:
        """Return these cells as a pool."""
        projection = find_projection(self.vectors[drawn_rows(len(self))])
        return Pool(projection, projection.of(self.vectors), self.fields, self.groups, self.sources)


@dataclass(frozen=True)
class Pool:
    """All cells of a review; row numbers everywhere else are rows of this.

    Attributes:
        projection: to the principal components of the standardised vectors.
        features: (n, p) float32, the cells in these components, in which they are compared and learned; their
            mean square is 1.
        fields: (n,) number of the picture that a cell lies in.
        groups: (n,) number of what stays on one side of a split (field, slide, patient).
        sources: (n,) laboratory or camera, "" where unknown; strangeness is measured within one.
    """

    projection: Projection
    features: Vectors
    fields: Numbers
    groups: Numbers
    sources: Sequence[str] = field(repr=False, default=())

    @classmethod
    def of_table(
        cls,
        table: TableOnDisk,
        *,
        group_by: str | None = None,
        join_sources: Collection[str] = (),
    ) -> Pool:
        """Return the cells of a table on disk; of their vectors, memory holds a row group at a time.

        Args:
            table: with a row for each cell.
            group_by: column of the groups; None: rows of one image, group, slide or patient.
            join_sources: columns whose values mean the same under every source.

        Raises:
            RedDinoError: the table lacks the column, or vectors are not finite.
        """
        drawn = drawn_rows(len(table))
        vectors = table.take_vectors(drawn)
        require_finite(Embeddings(vectors, table.take(drawn, ["path"]), table.meta))
        projection = find_projection(vectors)
        features = np.empty((len(table), len(projection.offset)), dtype=np.float32)
        for block in table.blocks(["path"], vectors=True):
            require_finite(Embeddings(block.vectors, block.columns, table.meta))
            own = slice(block.start, block.start + len(block))
            features[own] = projection.of(block.vectors.astype(np.float32, copy=False))
        columns = read_columns(table, [group_by] if group_by is not None else [])
        fields, groups, sources = _places(columns.combined, group_by, join_sources)
        of_row = columns.of_row
        return cls(
            projection, features, fields[of_row], groups[of_row], [sources[one] for one in of_row.tolist()]
        )

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def strangeness(self) -> Real:
        """How far (n,) each cell lies from others of its source; 1 is the median there, 2 is twice as far.

        Distances are the means to the nearest of a random sample of the source, so that rare cells, which the
        sample hardly holds, stay strange.
        """
        found = np.ones(len(self))
        of_source = np.unique(self.sources or [""] * len(self), return_inverse=True)[1]
        for source in range(of_source.max(initial=-1) + 1):
            rows = np.flatnonzero(of_source == source)
            known = rows[drawn_rows(len(rows), COMPARED)]
            near = self.features[known]
            far = np.concatenate(
                [
                    nearest_distances(self.features[part], near, apart=(part, known))
                    for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
                ]
            )
            middle = float(np.median(far))
            found[rows] = far / middle if np.isfinite(middle) and middle > 0 else 1.0
        return found

    @cached_property
    def _squares(self) -> Vectors:
        """The squared lengths (n,) of the features."""
        return np.asarray(np.einsum("ij,ij->i", self.features, self.features))

    def nearest(
        self, rows: Sequence[int] | Numbers, count: int, among: npt.NDArray[np.bool_] | None = None
    ) -> Numbers:
        """Return the cells (k <= count,) most like any of `rows`, nearest first, without `rows` themselves.

        Every cell is compared, in one pass over the features.

        Args:
            rows: of cells that are given.
            count: how many at most.
            among: (n,) which cells may be found; None: all.
        """
        given = np.asarray(rows, dtype=np.int64)
        least = np.full(len(self), np.inf, dtype=np.float32)
        for row in given.tolist():
            one = self.features[row]
            np.minimum(least, self._squares - 2 * (self.features @ one) + one @ one, out=least)
        free = np.ones(len(self), np.bool_) if among is None else among.copy()
        free[given] = False
        left = np.flatnonzero(free)
        least = least[left]
        if count <= 0 or not len(left):
            return np.empty(0, dtype=np.int64)
        first = np.argpartition(least, count - 1)[:count] if count < len(left) else np.arange(len(left))
        return left[first[np.argsort(least[first], kind="stable")]].astype(np.int64)


@dataclass(frozen=True)
class Labelled:
    """What readers have labelled so far.

    Attributes:
        rows: (m,) of cells with a class, in the order in which they were labelled.
        classes: (m,) numbers below `len(names)`.
        names: of the classes, with those that no cell has yet.
        passed: (k,) rows that were seen and have no class (artefact, none of these, unsure, skipped): neither
            learned from nor shown again.
    """

    rows: Numbers
    classes: Numbers
    names: tuple[str, ...]
    passed: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def of(
        cls, labels: Mapping[int, str], names: Sequence[str] | None = None, passed: Collection[int] = ()
    ) -> Labelled:
        """Return labels by row; classes stand in the order of `names`, or by the alphabet."""
        known = tuple(names) if names is not None else tuple(sorted(set(labels.values())))
        place = {name: number for number, name in enumerate(known)}
        return cls(
            np.fromiter(labels, dtype=np.int64, count=len(labels)),
            np.array([place[name] for name in labels.values()], dtype=np.int64),
            known,
            np.array(sorted(passed), dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, kept: npt.NDArray[Any]) -> Labelled:
        """Return some of the labelled rows: a boolean mask (m,) or places in `rows`."""
        return Labelled(self.rows[kept], self.classes[kept], self.names, self.passed)

    @property
    def counts(self) -> Numbers:
        """Cells of each class (len(names),)."""
        return np.bincount(self.classes, minlength=len(self.names)).astype(np.int64)

    def open_rows(self, pool: Pool) -> Numbers:
        """Return the rows that nobody has answered yet, sorted."""
        free = np.ones(len(pool), dtype=np.bool_)
        free[self.rows] = False
        free[self.passed] = False
        return np.flatnonzero(free).astype(np.int64)


def find_projection(vectors: npt.NDArray[np.floating[Any]]) -> Projection:
    """Return the principal components of vectors (m, d) whose numbers are standardised first."""
    drawn = vectors.astype(np.float64)
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
    # A number that never changes holds nothing; divided by its rounding noise it would seem to.
    spread = np.where(spread > 1e-6 * float(spread.max(initial=0)), spread, 1.0)
    standardised = ((drawn - mean) / spread).astype(np.float32)
    sizes, axes = np.linalg.eigh((standardised.T @ standardised / max(len(drawn), 1)).astype(np.float64))
    kept = min(COMPONENTS, len(sizes))
    axes = axes[:, ::-1][:, :kept] / spread[:, None]
    axes /= np.sqrt(max(float(sizes[::-1][:kept].mean()), 1e-12))
    return Projection(axes.astype(np.float32), (mean @ axes).astype(np.float32))


def _places(
    table: Embeddings, group_by: str | None, join_sources: Collection[str]
) -> tuple[Numbers, Numbers, list[str]]:
    """Return the fields, groups and sources of a table's rows."""
    groups = np.unique(groups_of(table, group_by, join_sources), return_inverse=True)[1]
    fields = np.unique(table.strings("path"), return_inverse=True)[1]
    return fields.astype(np.int64), groups.astype(np.int64), table.names("source")


def drawn_rows(rows: int, most: int = DRAWN) -> Numbers:
    """Return at most so many row numbers, sorted; always the same."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False)).astype(np.int64)
