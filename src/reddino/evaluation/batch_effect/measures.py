"""All measures of the batch effect in an embedding table, each with what it means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.equal_vectors import equal_notes
from reddino.embedding.finite import require_finite
from reddino.evaluation.batch_effect.meanings import MEANINGS
from reddino.evaluation.batch_effect.sample import Measure, Sample, drawn
from reddino.evaluation.class_map import ClassMap, labelled_rows
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.spelling import clean

Groups = npt.NDArray[np.int64]

#: Smaller embeddings (the size of the cell) keep their dimensions and do not reduce the others to theirs.
LEAST_DIMENSIONS, MOST_DIMENSIONS = 8, 64


@dataclass(frozen=True)
class BatchReport:
    """The batch effect in one embedding.

    Attributes:
        model: name of the network or baseline.
        rows: cells that were measured.
        of_rows: cells that could have been.
        sources: by name, the cells of each that were measured.
        classes: names; empty without labels.
        dimensions: principal components that were measured.
        of_dimensions: of the embedding.
        seed: of the sample, the folds and the draws.
        measures: in the order of MEANINGS.
        notes: what could not be measured, and why.
        embedding: metadata of the table.
    """

    model: str
    rows: int
    of_rows: int
    sources: Mapping[str, int]
    classes: tuple[str, ...]
    dimensions: int
    of_dimensions: int
    seed: int
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    embedding: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> float:
        """Return a measure by its name; nan where it could not be taken."""
        return next((one.value for one in self.measures if one.name == name), float("nan"))


def common_dimensions(sizes: Sequence[int]) -> int:
    """Return the dimensions to which embeddings of several sizes are reduced: the smallest, at most 64.

    Those under 8 are left out of the choice, and keep their own.
    """
    counted = [size for size in sizes if size >= LEAST_DIMENSIONS]
    return min([MOST_DIMENSIONS, *counted])


def measure_table(
    emb: Embeddings,
    *,
    label: str = "label",
    source: str = "source",
    group_column: str | None = None,
    join_sources: Collection[str] = (),
    classes: Mapping[str, str | None] | None = None,
    dimensions: int = MOST_DIMENSIONS,
    folds: int = 5,
    rows: int = 5000,
    seed: int = 0,
    model: str | None = None,
) -> BatchReport:
    """Take every measure that the table allows; the others are named in the notes.

    Args:
        emb: the table. Rows without a label count in what needs none: sources, slides, patients, mixing.
        label: column of the classes.
        source: column of the sources.
        group_column: what stays on one side of a split; None: rows of one
            image, group, slide or patient.
        join_sources: columns whose values mean the same under every source.
        classes: old label to new, None to drop it.
        dimensions: principal components to which the vectors are reduced.
        folds: of the probes.
        rows: cells that are drawn at random for the measures, at most.
        seed: of the sample, the folds and the draws.
        model: a name for tables; None takes the one in the table's metadata.

    Raises:
        RedDinoError: fewer than two sources, or vectors that are not finite.
    """
    emb, labels = _classes_of(emb, label, classes)
    require_finite(emb)
    options: dict[str, Any] = {
        "source": source,
        "group_column": group_column,
        "join_sources": join_sources,
        "dimensions": dimensions,
        "folds": folds,
        "seed": seed,
    }
    table = drawn(emb, labels, rows, options)
    labelled, notes = _labelled(emb, labels, table, rows, options)
    takers = [*table.takers(), *(labelled.class_takers() if labelled is not None else ())]
    takers.sort(key=lambda one: list(MEANINGS).index(one[0]))
    measures = []
    for name, take in watched(takers, f"measuring {emb.meta.get('model', 'a table')}"):
        try:
            measures.append(take())
        except RedDinoError as error:
            notes.append(f"{name} was not measured: {error}")
    names, counts = np.unique(np.asarray(table.source_names), return_counts=True)
    return BatchReport(
        model=model or str(emb.meta.get("model", "")),
        rows=len(table.emb),
        of_rows=len(emb),
        sources=dict(zip(names.tolist(), counts.tolist(), strict=True)),
        classes=tuple(sorted(set(labels) - {""})),
        dimensions=table.vectors.shape[1],
        of_dimensions=emb.vectors.shape[1],
        seed=seed,
        measures=tuple(measures),
        notes=(*equal_notes(table.emb.vectors), *table.name_notes(), *notes),
        embedding=emb.meta,
    )


def _classes_of(
    emb: Embeddings, label: str, classes: Mapping[str, str | None] | None
) -> tuple[Embeddings, list[str]]:
    """Return the rows that take part and their classes, "" for rows without a label; dropped labels go."""
    if not any(emb.strings(label)):
        return emb, [""] * len(emb)
    labelled_rows(emb, label, classes)  # refuses a map that names labels which do not occur
    mapping = ClassMap.of_pairs(classes or {})
    raw = emb.strings(label)
    named = {name: mapping.class_of(name) for name in set(raw)}
    kept = [not clean(name) or named[name] != "" for name in raw]
    emb = emb.select(np.asarray(kept, dtype=np.bool_))
    return emb, [named[name] for name, stays in zip(raw, kept, strict=True) if stays]


def _labelled(
    emb: Embeddings, labels: Sequence[str], table: Sample, rows: int, options: Mapping[str, Any]
) -> tuple[Sample | None, list[str]]:
    """Return the sample for the measures of classes, and notes: the one of all rows where all have a label.

    It is drawn by itself: a few labelled cells among many would be lost in the sample of all.
    """
    known = np.flatnonzero([name != "" for name in labels])
    unlabelled = len(emb) - len(known)
    if not unlabelled or not len(known):
        return table, []
    notes = [
        f"{unlabelled} of {len(emb)} cells have no label: they count in the measures of sources, slides and "
        "patients, not in those of classes"
    ]
    try:
        return drawn(emb.select(known), [labels[i] for i in known.tolist()], rows, options), notes
    except RedDinoError as error:
        return None, [*notes, f"measures of classes were not taken: among the cells with a label, {error}"]
