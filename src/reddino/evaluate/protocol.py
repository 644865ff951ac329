"""The evaluation of embedding tables: probe, 1-NN and 20-NN over folds, or from one table to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reddino.embed.encoder import Vectors
from reddino.embed.table import Embeddings, require_comparable
from reddino.errors import RedDinoError
from reddino.evaluate import knn, probe
from reddino.evaluate.metrics import (
    ClassScores,
    Scores,
    class_table,
    confusion_matrix,
    largest_class,
    score,
)
from reddino.evaluate.splits import Folds, grouped_folds, held_out, stratified_folds
from reddino.smears.manifest import COLUMNS, Manifest

Protocol = Literal["grouped", "ungrouped", "fixed"]
NEIGHBOURS = (1, 20)
CHANCE = "largest class"
CLASSIFIERS = ("probe", *(f"{k}-NN" for k in NEIGHBOURS))
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FoldResult:
    """One split, scored.

    Attributes:
        train, test: rows on either side.
        scores: by classifier, CHANCE among them.
        confusion: by classifier, (classes, classes) counts, truth by prediction.
        converged: whether the probe's fit converged.
    """

    train: int
    test: int
    scores: Mapping[str, Scores]
    confusion: Mapping[str, npt.NDArray[np.int64]]
    converged: bool


@dataclass(frozen=True)
class Result:
    """How well one table's vectors tell the classes apart.

    Attributes:
        model: name of the network or baseline.
        task: what was asked, in the caller's words.
        protocol: grouped, ungrouped, fixed or train-test.
        group_by: the column that made the groups, "" without groups.
        seed: seed of the folds.
        classes: names, in the order of the class numbers.
        cells: labelled rows that took part.
        left_out: rows without a label, or with one that was dropped.
        groups: groups among the cells; 0 without groups.
        folds: the splits.
        notes: sentences that belong beside the scores.
        embedding: metadata of the table.
    """

    model: str
    task: str
    protocol: str
    group_by: str
    seed: int | None
    classes: tuple[str, ...]
    cells: int
    left_out: int
    groups: int
    folds: tuple[FoldResult, ...]
    notes: tuple[str, ...] = ()
    embedding: Mapping[str, Any] = field(default_factory=dict)

    def mean(self, classifier: str) -> Scores:
        """Each score averaged over the folds."""
        return Scores(*self._rows(classifier).mean(axis=0).tolist())

    def sd(self, classifier: str) -> Scores | None:
        """Each score's sample standard deviation over the folds; None for a single split."""
        if len(self.folds) < 2:
            return None
        return Scores(*self._rows(classifier).std(axis=0, ddof=1).tolist())

    def confusion(self, classifier: str) -> npt.NDArray[np.int64]:
        """(classes, classes) counts over all folds; rows are the truth."""
        total: npt.NDArray[np.int64] = np.sum([fold.confusion[classifier] for fold in self.folds], axis=0)
        return total

    def by_class(self, classifier: str) -> list[ClassScores]:
        """Precision, recall and F1 of each class over all folds together."""
        return class_table(self.confusion(classifier), list(self.classes))

    def _rows(self, classifier: str) -> npt.NDArray[np.float64]:
        return np.array([fold.scores[classifier].as_row() for fold in self.folds])


def evaluate_table(
    emb: Embeddings,
    *,
    label: str = "label",
    protocol: Protocol = "grouped",
    group_column: str | None = None,
    folds: int = 5,
    seed: int = 0,
    classes: Mapping[str, str | None] | None = None,
    test_values: Sequence[str] = (),
    task: str = "",
    model: str | None = None,
) -> Result:
    """Score the vectors of one table.

    Args:
        emb: the table; rows with an empty label are left out and counted.
        label: column of the classes.
        protocol: `grouped` keeps each group in one fold; `ungrouped` is the paper's stratified five-fold;
            `fixed` tests the rows whose `group_column` is one of `test_values`, and trains on the rest.
        group_column: column of the groups, such as `patient`; None takes `group`, else `slide`, else `path`.
        folds: number of folds.
        seed: of the folds.
        classes: old label to new, None to drop it; labels that are not named stay.
        test_values: for `fixed`.
        task: a title for tables.
        model: a name for tables; None takes the one in the table's metadata.

    Raises:
        RedDinoError: a column is absent, or the classes and groups cannot be split as asked.
    """
    labelled, labels = labelled_rows(emb, label, classes)
    if protocol == "ungrouped":
        groups: list[str] = []
        split = stratified_folds(labels, folds, seed)
    elif protocol == "grouped":
        groups = groups_of(labelled, group_column)
        split = grouped_folds(labels, groups, folds, seed)
    else:
        groups, split = _fixed_split(labelled, group_column, test_values)
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    scored = tuple(
        score_split(
            labelled.vectors[train], numbers[train], labelled.vectors[test], numbers[test], len(names)
        )
        for train, test in split
    )
    return Result(
        model=model or str(emb.meta.get("model", "")),
        task=task,
        protocol=protocol,
        group_by="" if protocol == "ungrouped" else (group_column or "group, slide or path"),
        seed=None if protocol == "fixed" else seed,
        classes=tuple(names.tolist()),
        cells=len(labelled),
        left_out=len(emb) - len(labelled),
        groups=len(set(groups)),
        folds=scored,
        notes=(*split.notes, *_convergence_notes(scored)),
        embedding=emb.meta,
    )


def train_test(
    train: Embeddings,
    test: Embeddings,
    *,
    label: str = "label",
    classes: Mapping[str, str | None] | None = None,
    task: str = "",
    model: str | None = None,
) -> Result:
    """Fit on one table and test on another, for instance another laboratory's.

    Raises:
        RedDinoError: the tables are not comparable, or one has no labelled rows.
    """
    require_comparable(train, test)
    learned, learned_labels = labelled_rows(train, label, classes)
    tested, tested_labels = labelled_rows(test, label, classes)
    names, numbers = np.unique(np.asarray(learned_labels + tested_labels), return_inverse=True)
    border = len(learned)
    fold = score_split(learned.vectors, numbers[:border], tested.vectors, numbers[border:], len(names))
    unlearned = sorted(set(tested_labels) - set(learned_labels))
    notes = [f"Class '{name}' is tested but has no training cell." for name in unlearned]
    return Result(
        model=model or str(train.meta.get("model", "")),
        task=task,
        protocol="train-test",
        group_by="",
        seed=None,
        classes=tuple(names.tolist()),
        cells=len(learned) + len(tested),
        left_out=len(train) + len(test) - len(learned) - len(tested),
        groups=0,
        folds=(fold,),
        notes=(*notes, *_convergence_notes([fold])),
        embedding=train.meta,
    )


def score_split(
    train: Vectors, train_classes: Classes, test: Vectors, truth: Classes, classes: int
) -> FoldResult:
    """Probe, 1-NN, 20-NN and the largest-class answer of one split.

    Args:
        train, test: (n, d) and (m, d) vectors.
        train_classes, truth: (n,) and (m,) class numbers below `classes`.
    """
    probed = probe.fit_predict(train, train_classes, test)
    neighbours = knn.predict(train, train_classes, test, NEIGHBOURS)
    answers = {
        "probe": probed.predicted,
        **{f"{k}-NN": predicted for k, predicted in neighbours.items()},
        CHANCE: largest_class(train_classes, len(truth)),
    }
    return FoldResult(
        train=len(train),
        test=len(test),
        scores={name: score(truth, predicted, classes) for name, predicted in answers.items()},
        confusion={name: confusion_matrix(truth, predicted, classes) for name, predicted in answers.items()},
        converged=probed.converged,
    )


def labelled_rows(
    emb: Embeddings, label: str, classes: Mapping[str, str | None] | None = None
) -> tuple[Embeddings, list[str]]:
    """The rows with a label, once `classes` renamed (old to new) or dropped (old to None) some; their labels.

    Raises:
        RedDinoError: no row is left, or `classes` names a label that does not occur.
    """
    raw = emb.strings(label)
    renamed = dict(classes or {})
    unknown = sorted(set(renamed) - set(raw))
    if unknown:
        have = ", ".join(sorted(set(raw) - {""}))
        raise RedDinoError(
            f"No row of the table is labelled {', '.join(map(repr, unknown))}; labels are: {have}."
        )
    labels = [renamed.get(name, name) or "" for name in raw]
    mask = np.array([name != "" for name in labels], dtype=np.bool_)
    if not mask.any():
        raise RedDinoError(f"No row of the embedding table has a label in column '{label}'.")
    return emb.select(mask), [name for name in labels if name]


def groups_of(emb: Embeddings, column: str | None = None) -> list[str]:
    """The group of each row: `column` within its source; None takes the manifest's fold groups.

    Raises:
        RedDinoError: a row has no value in the named column.
    """
    if column is None:
        return Manifest(emb.table.select(list(COLUMNS)), Path()).fold_groups()
    values = emb.strings(column)
    missing = sum(value == "" for value in values)
    if missing:
        raise RedDinoError(
            f"{missing} of {len(values)} labelled rows have no '{column}': group by another column."
        )
    return [f"{source}|{value}" for source, value in zip(emb.strings("source"), values, strict=True)]


def _fixed_split(emb: Embeddings, column: str | None, test_values: Sequence[str]) -> tuple[list[str], Folds]:
    if column is None or not test_values:
        raise RedDinoError(
            "The fixed protocol needs a column and the values in it that test, as patient and p7."
        )
    values = emb.strings(column)
    return values, held_out(values, test_values)


def _convergence_notes(folds: Sequence[FoldResult]) -> list[str]:
    stopped = sum(not fold.converged for fold in folds)
    if not stopped:
        return []
    return [
        f"The probe stopped at {probe.MAX_ITERATIONS} iterations, not converged, "
        f"in {stopped} of {len(folds)} folds."
    ]
