"""The same cell under two sources: the distance of its renderings, compared with that of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.view_encoder import Vectors
from reddino.foundations.errors import RedDinoError

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PairDistances:
    """Median Euclidean distances.

    Attributes:
        renderings: of one cell under two sources.
        same_class: of two cells of one class under one source.
        classes: of two cells of different classes under one source.
        pairs: renderings that were paired.
    """

    renderings: float
    same_class: float
    classes: float
    pairs: int

    @property
    def ratio(self) -> float:
        """Change of source over change of class: above 1 the source moves a cell farther than its class."""
        return self.renderings / self.classes if self.classes > 0 else float("inf")


def rendered_pairs(cells: Sequence[str], sources: Groups) -> npt.NDArray[np.int64]:
    """Return rows (m, 2) that are the same cell ("" means unknown) under two sources; each pair once."""
    by_cell: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        if cell:
            by_cell.setdefault(cell, []).append(row)
    found = [
        (a, b)
        for rows in by_cell.values()
        for place, a in enumerate(rows)
        for b in rows[place + 1 :]
        if sources[a] != sources[b]
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def pair_distances(
    vectors: Vectors,
    cells: Sequence[str],
    sources: Groups,
    classes: Groups,
    *,
    most: int = 20_000,
    seed: int = 0,
) -> PairDistances:
    """Compare what a change of source does to a cell with what a change of class does.

    Args:
        vectors: (n, d).
        cells: (n,) name of the cell, alike in all of its renderings; "" for none.
        sources: (n,) numbers.
        classes: (n,) numbers.
        most: pairs of each kind that are drawn at random.
        seed: of the draw.

    Raises:
        RedDinoError: no cell was rendered under two sources, or a source has one class only.
    """
    rng = np.random.default_rng(seed)
    pairs = rendered_pairs(cells, sources)
    if len(pairs) == 0:
        raise RedDinoError(
            "no cell stands in the table under two sources; `reddino synthesise --every-source` draws such"
        )
    drawn = pairs[rng.permutation(len(pairs))[:most]]
    first = rng.integers(len(vectors), size=8 * most)
    second = rng.integers(len(vectors), size=8 * most)
    apart = (sources[first] == sources[second]) & (first != second)
    alike = classes[first] == classes[second]
    medians = []
    for chosen in (apart & alike, apart & ~alike):
        rows = np.flatnonzero(chosen)[:most]
        if len(rows) == 0:
            raise RedDinoError("no source of the table holds both two cells of a class and two classes")
        medians.append(_median_distance(vectors, first[rows], second[rows]))
    return PairDistances(_median_distance(vectors, *drawn.T), medians[0], medians[1], len(drawn))


def _median_distance(vectors: Vectors, first: Groups, second: Groups) -> float:
    return float(np.median(np.linalg.norm(vectors[first].astype(np.float64) - vectors[second], axis=1)))
