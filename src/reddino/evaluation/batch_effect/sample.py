"""A sample of an embedding table, and every measure of the batch effect that can be taken of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.batch_effect.mixing import kbet, lisi, silhouette
from reddino.evaluation.batch_effect.pairs import pair_distances, rendered_pairs
from reddino.evaluation.batch_effect.predictability import predictability, reduced
from reddino.evaluation.batch_effect.variance import eta_squared, eta_squared_by_chance, eta_squared_within
from reddino.evaluation.leaks import groups_of, shared_names
from reddino.foundations.errors import RedDinoError

Groups = npt.NDArray[np.int64]

#: Slides or patients that a probe has to choose from, at most.
MOST_VALUES = 20
#: A class takes part in kBET within classes from so many cells on, and with the sources that have a tenth.
LEAST_CELLS = 50
PERPLEXITY = 30.0
#: Column that names a cell alike under every source, as `reddino synthesise --every-source` writes it.
CELL_COLUMN = "cell"


@dataclass(frozen=True)
class Measure:
    """One measure of one embedding.

    Attributes:
        name: a key of MEANINGS.
        value: what was measured.
        without: what it would be if the groups in question left no trace.
        detail: sizes that belong to the value.
    """

    name: str
    value: float
    without: float | None
    detail: str = ""


def drawn(emb: Embeddings, labels: Sequence[str], rows: int, options: Mapping[str, Any]) -> Sample:
    """Return a sample of at most `rows` rows."""
    sample = _sample(emb, options["source"], rows, options["seed"])
    return Sample(emb.select(sample), [labels[row] for row in sample.tolist()], **options)


def _sample(emb: Embeddings, source: str, rows: int, seed: int) -> Groups:
    """Return the rows of the sample, in order; all renderings of a cell come along with it."""
    sources = emb.names(source)
    if len(set(sources)) < 2:
        raise RedDinoError(
            f"a batch effect needs at least two sources in column '{source}'; here: {sorted(set(sources))}"
        )
    cells = _cell_names(emb, sources)
    units = np.unique(np.asarray(cells), return_inverse=True)[1] if cells else np.arange(len(emb))
    order = np.random.default_rng(seed).permutation(int(units.max()) + 1)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    # Whole units in their drawn order, as many as fit.
    by_place = np.argsort(place[units], kind="stable")
    fitting = np.cumsum(np.bincount(place[units])) <= max(rows, 2)
    taken = fitting[place[units[by_place]]]
    return np.sort(by_place[taken]).astype(np.int64)


def _cell_names(emb: Embeddings, sources: Sequence[str]) -> list[str]:
    """Return the name of each row's cell where cells stand under several sources; else nothing."""
    if CELL_COLUMN not in emb.table.column_names:
        return []
    names = emb.strings(CELL_COLUMN)
    numbers = np.unique(np.asarray(sources), return_inverse=True)[1]
    return names if len(rendered_pairs(names, numbers)) else []


class Sample:
    """A sample with everything that several measures use."""

    def __init__(
        self,
        emb: Embeddings,
        labels: Sequence[str],
        *,
        source: str,
        group_column: str | None,
        join_sources: Collection[str],
        dimensions: int,
        folds: int,
        seed: int,
    ) -> None:
        self.emb, self.labels, self.folds, self.seed = emb, list(labels), folds, seed
        self.vectors = reduced(emb.vectors, dimensions)
        self.source_names = emb.names(source)
        self.sources = _numbers(self.source_names)
        self.classes = _numbers(self.labels)
        self.cells = _cell_names(emb, self.source_names)
        self.group_column, self.join_sources = group_column, join_sources

    def takers(self) -> Iterator[tuple[str, Callable[[], Measure]]]:
        """Yield the name of each measure that needs no label, and the function that takes it."""
        yield "source told", lambda: self._predict("source told", self.source_names, self._groups())
        for column in ("slide", "patient"):
            if len(set(self.emb.strings(column)) - {""}) > 1:
                yield f"{column} told", lambda column=column: self._predict_places(column)  # type: ignore[misc]
        yield "source silhouette", lambda: self._silhouette("source silhouette", self.sources)
        yield "iLISI", lambda: self._lisi("iLISI", self.sources)
        yield "kBET", self._kbet
        yield "variance by source", lambda: self._variance("variance by source", self.sources)

    def class_takers(self) -> Iterator[tuple[str, Callable[[], Measure]]]:
        """Yield the same of measures of classes, where there are two classes at least."""
        if len(set(self.labels)) < 2:
            return
        yield "class told", lambda: self._predict("class told", self.labels, self._groups())
        yield "class silhouette", lambda: self._silhouette("class silhouette", self.classes)
        yield "cLISI", lambda: self._lisi("cLISI", self.classes)
        yield "kBET within class", self._kbet_within
        yield "variance by class", lambda: self._variance("variance by class", self.classes)
        yield "source within class", self._variance_within
        if self.cells:
            yield "source / class distance", self._pairs

    def name_notes(self) -> list[str]:
        """Return notes on names under several sources; renderings of a cell have one name on purpose."""
        try:
            return [] if self.cells else shared_names(self.emb, self._groups())
        except RedDinoError:  # rows without a group, which is an error of the measures that need one
            return []

    def _groups(self) -> list[str]:
        """Return what stays on one side of a split; all renderings of a cell stay together."""
        if not self.cells:
            return groups_of(self.emb, self.group_column, self.join_sources)
        for column in (self.group_column, "patient", "group"):
            if column and all(values := self.emb.names(column)):
                return values
        return self.cells

    def _predict(self, name: str, values: Sequence[str], groups: Sequence[str]) -> Measure:
        found = predictability(self.vectors, values, groups, folds=self.folds, seed=self.seed)
        return Measure(name, found.balanced_accuracy, found.chance, found.detail)

    def _predict_places(self, column: str) -> Measure:
        """Measure the probe accuracy for slides or patients, from other images of theirs."""
        values = [
            f"{source}|{value}" if value else ""
            for source, value in zip(self.source_names, self.emb.strings(column), strict=True)
        ]
        groups = self.emb.strings("path")
        homes: dict[str, set[str]] = {}
        for value, group in zip(values, groups, strict=True):
            homes.setdefault(value, set()).add(group)
        able = sorted(value for value, paths in homes.items() if value and len(paths) > 1)
        if len(able) < 2:
            raise RedDinoError(f"fewer than two values of '{column}' have two images or more")
        drawn = set(np.random.default_rng(self.seed).permutation(able)[:MOST_VALUES].tolist())
        rows = np.array([value in drawn for value in values])
        found = predictability(
            self.vectors[rows],
            [value for value in values if value in drawn],
            [group for group, kept in zip(groups, rows, strict=True) if kept],
            folds=min([self.folds, *(len(homes[value]) for value in drawn)]),
            seed=self.seed,
        )
        detail = f"{found.detail}, folds by image, {len(able)} values in all"
        return Measure(f"{column} told", found.balanced_accuracy, found.chance, detail)

    def _silhouette(self, name: str, groups: Groups) -> Measure:
        return Measure(name, float(silhouette(self.vectors, groups).mean()), 0.0)

    def _lisi(self, name: str, groups: Groups) -> Measure:
        perplexity = min(PERPLEXITY, (len(self.vectors) - 1) // 3)
        # Perfect mixing does not give as many as there are groups: a neighbourhood is a small sample of them.
        dealt = np.random.default_rng(self.seed).permutation(groups)
        value, by_chance = (float(lisi(self.vectors, one, perplexity).mean()) for one in (groups, dealt))
        return Measure(name, value, by_chance, f"perplexity {perplexity:g}")

    def _kbet(self) -> Measure:
        found = kbet(self.vectors, self.sources, seed=self.seed)
        detail = f"{found.tested} neighbourhoods of {found.neighbourhood}"
        return Measure("kBET", found.rate, found.by_chance, detail)

    def _kbet_within(self) -> Measure:
        """Mean over the classes, weighted by their cells."""
        found = []
        for number in np.unique(self.classes):
            rows = np.flatnonzero(self.classes == number)
            counts = np.bincount(self.sources[rows])
            rows = rows[counts[self.sources[rows]] >= 0.1 * LEAST_CELLS]
            if len(rows) >= LEAST_CELLS and len(np.unique(self.sources[rows])) > 1:
                found.append(kbet(self.vectors[rows], self.sources[rows], seed=self.seed))
        if not found:
            raise RedDinoError(f"no class has {LEAST_CELLS} cells under two sources")
        weights = [one.tested for one in found]
        return Measure(
            "kBET within class",
            float(np.average([one.rate for one in found], weights=weights)),
            float(np.average([one.by_chance for one in found], weights=weights)),
            f"{len(found)} classes, {sum(weights)} neighbourhoods",
        )

    def _variance(self, name: str, groups: Groups) -> Measure:
        return Measure(name, eta_squared(self.vectors, groups), eta_squared_by_chance(groups))

    def _variance_within(self) -> Measure:
        together = _numbers([f"{a}|{b}" for a, b in zip(self.sources, self.classes, strict=True)])
        extra = len(np.unique(together)) - len(np.unique(self.classes))
        left = 1 - eta_squared(self.vectors, self.classes)
        by_chance = left * extra / max(len(self.vectors) - len(np.unique(self.classes)), 1)
        value = eta_squared_within(self.vectors, self.sources, self.classes)
        return Measure("source within class", value, by_chance)

    def _pairs(self) -> Measure:
        found = pair_distances(self.vectors, self.cells, self.sources, self.classes, seed=self.seed)
        detail = (
            f"{found.pairs} pairs; medians: {found.renderings:.3f} one cell under two sources, "
            f"{found.same_class:.3f} one class, {found.classes:.3f} two classes in one source"
        )
        return Measure("source / class distance", found.ratio, 0.0, detail)


def _numbers(values: Sequence[str]) -> Groups:
    return np.asarray(np.unique(np.asarray(values), return_inverse=True)[1], dtype=np.int64)
