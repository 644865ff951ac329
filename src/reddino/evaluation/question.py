"""What is evaluated on a table: labels, protocol, groups, classifiers; and the splits that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.choices import PUBLISHED, Classifier, Protocol
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.few_shot import few_shot
from reddino.evaluation.intervals import RESAMPLES
from reddino.evaluation.leaks import (
    alike_notes,
    divided_notes,
    groups_of,
    kept_apart,
    leak_notes,
    without_tested,
)
from reddino.evaluation.separation import separation_doubts
from reddino.evaluation.source_splits import cross_source, leave_one_source_out
from reddino.evaluation.splits import (
    Split,
    grouped_folds,
    held_out,
    require_two_classes,
    split_column,
    straddling,
    stratified_folds,
    unlearned_classes,
)
from reddino.foundations.errors import RedDinoError

Count = Annotated[int, Field(ge=1, le=1_000_000)]
#: Protocols in which a column defines the training and test rows, so that no group can be kept together.
SIDES_GIVEN = ("cross-source", "leave-one-source-out", "fixed")


class Question(BaseModel):
    """Everything that an evaluation depends on besides the table.

    Attributes:
        label: column of the classes.
        classes: labels that are joined, renamed or dropped.
        protocol: `kfold`, the paper's stratified folds, on which cells of one field stand on both sides;
            `grouped-kfold`, stratified folds of whole groups; `cross-source`, each source trains in turn and
            each other is tested; `leave-one-source-out`; `fixed`, a split that a column names; `few-shot`,
            `shots` training cells a class, drawn `repeats` times, tested on other groups.
        group_by: column of the groups, such as `patient`; None: rows of one image, `group`, `slide` or
            `patient`.
        join_sources: those of `patient`, `slide`, `group` (and `group_by`) whose names mean the same under
            every source.
        source_column: column of the sources, for the protocols across sources.
        split_column: column of a fixed split, with the values `train` and `test`, or those of `test_values`.
        test_values: values of `split_column` that are tested; the rest trains.
        folds: number of folds.
        seed: of folds, draws and resamples.
        shots: training cells a class.
        repeats: draws of few-shot.
        classifiers: that are fitted.
        resamples: of the bootstrap; 0 switches intervals off.
        keep_border: let cells that the border of their image cuts take part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str = "label"
    classes: ClassMap = ClassMap()
    protocol: Protocol = "grouped-kfold"
    group_by: str | None = None
    join_sources: tuple[str, ...] = ()
    source_column: str = "source"
    split_column: str = "split"
    test_values: tuple[str, ...] = ()
    folds: Annotated[int, Field(ge=2)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    shots: Count = 5
    repeats: Count = 10
    classifiers: tuple[Classifier, ...] = PUBLISHED
    resamples: Annotated[int, Field(ge=0, le=1_000_000)] = RESAMPLES
    keep_border: bool = False


@dataclass(frozen=True)
class SplitPlan:
    """Splits of labelled rows, and notes for the reader of the scores.

    Attributes:
        splits: training and test rows.
        groups: (n,) the group of each row.
        notes: for the reader of the scores.
    """

    splits: tuple[Split, ...]
    groups: list[str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class KeptTogether:
    """What stays together, of rows that are a sample: joined by way of rows that were not drawn, too.

    Attributes:
        groups: (n,) as of `groups_of`.
        apart: (n,) as of `kept_apart`.
    """

    groups: list[str]
    apart: list[str]


def plan_splits(
    question: Question, emb: Embeddings, labels: Sequence[str], kept: KeptTogether | None = None
) -> SplitPlan:
    """Return the splits of a question.

    Args:
        question: its protocol, folds, groups and seed.
        emb: the labelled rows.
        labels: (n,) their classes.
        kept: what stays together of a sample; None: found of these rows.

    Raises:
        RedDinoError: classes, groups or sources cannot be split that way.
    """
    groups = groups_of(emb, question.group_by, question.join_sources) if kept is None else kept.groups
    splits, notes = _splits(question, emb, labels, groups)
    together = groups
    if question.protocol in ("grouped-kfold", "few-shot"):
        notes = (*notes, *divided_notes(emb, question.group_by, groups))
    if question.protocol in SIDES_GIVEN:
        together = kept_apart(emb, question.join_sources) if kept is None else kept.apart
        splits, left_out = without_tested(splits, together, question.join_sources)
        notes = (*notes, *left_out)
    shared = straddling(splits, groups)
    leaks = leak_notes(emb, together, splits)
    alike = alike_notes("classes", labels)
    if question.group_by is not None:
        alike += alike_notes(f"values of '{question.group_by}'", emb.names(question.group_by))
    doubts = separation_doubts(
        emb,
        labels,
        # Stratified folds divide every group.
        [str(row) for row in range(len(labels))] if question.protocol == "kfold" else groups,
        across_sources=question.protocol in ("cross-source", "leave-one-source-out"),
    )
    notes = (*(doubt.note() for doubt in doubts), *notes)
    notes = (*notes, *([shared] if shared else []), *leaks, *alike, *unlearned_classes(splits, labels))
    return SplitPlan(splits, groups, notes)


def _splits(
    question: Question, emb: Embeddings, labels: Sequence[str], groups: Sequence[str]
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    if question.protocol == "kfold":
        return stratified_folds(labels, question.folds, question.seed).splits(), ()
    if question.protocol == "grouped-kfold":
        folds = grouped_folds(labels, groups, question.folds, question.seed)
        return folds.splits(), folds.notes
    if question.protocol == "cross-source":
        return cross_source(labels, emb.names(question.source_column)), ()
    if question.protocol == "leave-one-source-out":
        return leave_one_source_out(labels, emb.names(question.source_column)), ()
    if question.protocol == "fixed":
        return _fixed(question, emb, labels), ()
    return few_shot(
        labels,
        groups,
        shots=question.shots,
        repeats=question.repeats,
        folds=question.folds,
        seed=question.seed,
    )


def _fixed(question: Question, emb: Embeddings, labels: Sequence[str]) -> tuple[Split, ...]:
    require_two_classes(labels)
    if question.split_column not in emb.table.column_names:
        raise RedDinoError(
            f"the fixed protocol reads its split from the column '{question.split_column}', which the table "
            f"lacks; it has {', '.join(emb.table.column_names)}; name another as the split column"
        )
    values = emb.names(question.split_column)
    if not question.test_values:
        return split_column(values)
    ((train, test),) = held_out(values, question.test_values)
    tested = ", ".join(question.test_values)
    return (Split(f"all but {tested}", train, ((tested, test),)),)
