"""The cells of a review as arrays: their vectors, the pictures they lie in, and what of them is labelled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.view_encoder import Vectors
from reddino.evaluation.leaks import groups_of
from reddino.figures.outliers import outlier_scores

Numbers = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

#: Principal components that distances between cells are measured in, at most.
COMPONENTS = 64
#: Cells, drawn at random, that the components are found on.
DRAWN = 20_000


@dataclass(frozen=True)
class Pool:
    """All cells of a review; row numbers everywhere else are rows of this.

    Attributes:
        vectors: (n, d) float32.
        fields: (n,) number of the picture that a cell lies in.
        groups: (n,) number of what stays on one side of a split (field, slide, patient).
        sources: (n,) laboratory or camera, "" where unknown; strangeness is measured within one.
    """

    vectors: Vectors
    fields: Numbers
    groups: Numbers
    sources: Sequence[str] = field(repr=False, default=())

    @classmethod
    def of(
        cls, table: Embeddings, *, group_by: str | None = None, join_sources: Collection[str] = ()
    ) -> Pool:
        """Return the cells of an embedding table.

        Args:
            table: with a row for each cell.
            group_by: column of the groups; None: rows of one image, group, slide or patient.
            join_sources: columns whose values mean the same under every source.

        Raises:
            RedDinoError: the table lacks the column.
        """
        groups = np.unique(groups_of(table, group_by, join_sources), return_inverse=True)[1]
        fields = np.unique(table.strings("path"), return_inverse=True)[1]
        return cls(table.vectors, fields.astype(np.int64), groups.astype(np.int64), table.names("source"))

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def scale(self) -> tuple[Vectors, Vectors]:
        """Mean and spread (d,), (d,) of the vectors; the spread is 1 of numbers that hardly change."""
        drawn = self.vectors[_drawn(len(self), DRAWN)].astype(np.float64)
        mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
        spread = np.where(spread > 1e-6 * float(spread.max(initial=0)), spread, 1.0)
        return mean.astype(np.float32), spread.astype(np.float32)

    @cached_property
    def features(self) -> Vectors:
        """Principal components (n, p) float32 of the standardised vectors, in which cells are compared."""
        mean, spread = self.scale
        drawn = (self.vectors[_drawn(len(self), DRAWN)] - mean) / spread
        _, axes = np.linalg.eigh(drawn.T @ drawn)
        axes = axes[:, ::-1][:, :COMPONENTS].astype(np.float32)
        return np.ascontiguousarray(
            (self.vectors @ (axes / spread[:, None])) - mean @ (axes / spread[:, None])
        )

    @cached_property
    def strangeness(self) -> Real:
        """How far (n,) each cell lies from the others of its source; 1 is the median, 2 twice as far."""
        sources = self.sources or [""] * len(self)
        return np.nan_to_num(outlier_scores(self.features, sources), nan=1.0, posinf=1e9)

    def nearest(self, rows: Sequence[int] | Numbers, count: int) -> Numbers:
        """Return the cells (k <= count,) most like any of `rows`, nearest first, without `rows` themselves.

        Args:
            rows: of cells that are given.
            count: how many at most.
        """
        given = np.asarray(rows, dtype=np.int64)
        least = np.full(len(self), np.inf, dtype=np.float32)
        squares = np.einsum("ij,ij->i", self.features, self.features)
        for row in given.tolist():
            one = self.features[row]
            np.minimum(least, squares - 2 * (self.features @ one) + one @ one, out=least)
        least[given] = np.inf
        count = min(count, len(self) - len(np.unique(given)))
        if count <= 0:
            return np.empty(0, dtype=np.int64)
        first = np.argpartition(least, count - 1)[:count]
        return first[np.argsort(least[first], kind="stable")].astype(np.int64)


@dataclass(frozen=True)
class Labelled:
    """What readers have said so far.

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


def _drawn(rows: int, most: int) -> Numbers:
    """Return at most so many row numbers, sorted; always the same."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False)).astype(np.int64)
