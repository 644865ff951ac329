"""The evaluation of embedding tables: classifiers over the splits of a protocol, scored with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.equal_vectors import equal_notes
from reddino.embedding.finite import require_finite
from reddino.evaluation import classifiers, linear_probe
from reddino.evaluation.choices import Classifier
from reddino.evaluation.chosen_rows import ChosenRows
from reddino.evaluation.classifiers import Prediction
from reddino.evaluation.intervals import (
    ENOUGH_GROUPS,
    FEW_GROUPS,
    LEAST_GROUPS,
    PredictedRows,
    resampled_scores,
)
from reddino.evaluation.metrics import Classes, confusion_matrix, largest_class, score
from reddino.evaluation.question import KeptTogether, Question, SplitPlan, plan_splits
from reddino.evaluation.results import CHANCE, FoldResult, Result
from reddino.evaluation.sampling import DrawnSample
from reddino.evaluation.splits import Rows, Split, untested_classes
from reddino.evaluation.taking_part import cut_notes, labelled_and_cut
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage, watched

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tested:
    """A test set with the predictions of every classifier, CHANCE among them."""

    trained_on: str
    tested_on: str
    train: int
    rows: Rows
    truth: Classes
    predictions: Mapping[str, Prediction]


@dataclass(frozen=True)
class TablePredictions:
    """All predictions for one table, before they are scored.

    Attributes:
        emb: the labelled rows.
        left_out: rows of the table that took no part.
        names: classes by number.
        plan: splits and groups.
        tests: the test sets.
        notes: sentences, those of the plan among them.
        at_border: labelled rows among those left out, since the border of their image cuts their cell.
        sample: what was drawn of the labelled rows; None: all of them took part.
    """

    emb: Embeddings
    left_out: int
    names: tuple[str, ...]
    plan: SplitPlan
    tests: tuple[Tested, ...]
    notes: tuple[str, ...]
    at_border: int = 0
    sample: DrawnSample | None = None


def evaluate_table(
    emb: Embeddings, question: Question | None = None, *, task: str = "", model: str | None = None
) -> Result:
    """Score the vectors of one table.

    Args:
        emb: the table; rows with an empty label, on neither side of a fixed split, or of cells that the
            border of their image cuts (but with `keep_border`) are left out and counted.
        question: labels, protocol, groups and classifiers; None takes all defaults.
        task: a title for tables.
        model: a name for tables; None takes the one in the table's metadata.

    Raises:
        RedDinoError: a column is absent, vectors are not finite, or the classes and groups cannot be split.
    """
    question = question or Question()
    return summarise(predict_table(emb, question), question, task=task, model=model)


def predict_table(emb: Embeddings, question: Question, chosen: ChosenRows | None = None) -> TablePredictions:
    """Fit every classifier on every split of a question, and predict the test rows.

    Args:
        emb: the table, or the rows of it that were chosen.
        question: what is evaluated.
        chosen: how these were chosen; None: `emb` is the whole table.
    """
    labelled, labels, cut = labelled_and_cut(emb, question)
    gone = sorted(
        {labels[row] for row in np.flatnonzero(cut)} - {labels[row] for row in np.flatnonzero(~cut)}
    )
    if cut.any():
        labelled, labels = labelled.select(~cut), [labels[row] for row in np.flatnonzero(~cut)]
    left_out, at_border = len(emb) - len(labelled), int(cut.sum())
    about = cut_notes(at_border, gone)
    if chosen is not None:
        left_out, at_border = chosen.left_out, chosen.facts.at_border
        drawn = chosen.sample.notes() if chosen.sample else []
        about = [*drawn, *cut_notes(at_border, chosen.facts.gone)]
    require_finite(labelled)
    plan = _planned(question, labelled, labels, at_border, chosen)
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    wanted, notes = _possible(question.classifiers, plan.splits, few=question.protocol == "few-shot")
    tests = tuple(
        tested
        for split in watched(plan.splits, f"scoring {labelled.meta.get('model', 'a table')}")
        for tested in predict_split(labelled, numbers, split, wanted, plan.groups)
    )
    return TablePredictions(
        emb=labelled,
        left_out=left_out,
        names=tuple(names.tolist()),
        plan=plan,
        tests=tests,
        notes=(
            *about,
            *plan.notes,
            *notes,
            *equal_notes(labelled.vectors),
            *_fit_notes(tests),
        ),
        at_border=at_border,
        sample=None if chosen is None else chosen.sample,
    )


def _planned(
    question: Question, labelled: Embeddings, labels: Sequence[str], cut: int, chosen: ChosenRows | None
) -> SplitPlan:
    """Return the splits; where they cannot be made, the error names cells that take no part.

    These are the `cut` ones, and those that were not drawn.
    """
    kept = None if chosen is None else KeptTogether(chosen.groups, chosen.apart)
    try:
        return plan_splits(question, labelled, labels, kept)
    except RedDinoError as error:
        left = [
            f"{counted(cut, 'cell')} that the border of the image cuts took no part, which --keep-border "
            "changes"
        ] * bool(cut)
        if chosen is not None and chosen.sample is not None:
            left.append(f"this is of a {chosen.sample.title()}, which --rows changes")
        if not left:
            raise
        raise RedDinoError("; ".join([str(error), *left])) from error


def predict_split(
    emb: Embeddings, numbers: Classes, split: Split, wanted: Sequence[Classifier], groups: Sequence[str]
) -> list[Tested]:
    """Fit each classifier once, and predict all test sets of a split at once."""
    tested = np.concatenate([rows for _, rows in split.tests])
    learned = numbers[split.train]
    training_groups = [groups[row] for row in split.train]
    predictions: dict[str, Prediction] = {}
    predictions |= classifiers.fit_and_predict(
        emb.vectors[split.train], learned, emb.vectors[tested], wanted, training_groups
    )
    largest = largest_class(learned, len(tested))
    predictions[CHANCE] = Prediction(largest, np.zeros(len(tested)))
    found, start = [], 0
    for name, rows in split.tests:
        part = slice(start, start + len(rows))
        start += len(rows)
        cut = {
            chosen: Prediction(one.predicted[part], one.positive[part], one.converged, one.note)
            for chosen, one in predictions.items()
        }
        found.append(Tested(split.name, name, len(split.train), rows, numbers[rows], cut))
    return found


def summarise(
    predictions: TablePredictions,
    question: Question,
    *,
    task: str = "",
    model: str | None = None,
    only: Mask | None = None,
    seen: Mapping[str, str] | None = None,
) -> Result:
    """Score predictions.

    Args:
        predictions: of the test sets of one table.
        question: that they answer.
        task: its title.
        model: name for the scores; None takes that of the table.
        only: (labelled rows,) tested rows that count; None counts all. Training is not touched.
        seen: whether the model saw each source in pretraining.
    """
    tests = [test for test in (_within(test, only) for test in predictions.tests) if len(test.rows)]
    sources = np.asarray(predictions.emb.strings("source"), dtype=np.str_)
    chosen = tuple(name for name in tests[0].predictions if name != CHANCE)
    resamples, interval_notes = _resamples(predictions, tests, question)
    cells = len(predictions.emb) if only is None else int(only.sum())
    group = np.asarray(predictions.plan.groups, dtype=np.str_)
    return Result(
        model=model or str(predictions.emb.meta.get("model", "")),
        task=task,
        protocol=question.protocol,
        group_by=question.group_by or "image, group, slide or patient",
        seed=None
        if question.protocol in ("fixed", "cross-source", "leave-one-source-out")
        else question.seed,
        classes=predictions.names,
        cells=cells,
        left_out=predictions.left_out,
        at_border=predictions.at_border,
        groups=len(np.unique(group if only is None else group[only])),
        folds=tuple(_scored(test, len(predictions.names)) for test in tests),
        classifiers=chosen,
        source_confusion={name: _by_source(tests, name, sources, len(predictions.names)) for name in chosen},
        resamples=resamples,
        seen=dict(seen or {}),
        notes=(*predictions.notes, *_untested(tests, predictions.names), *interval_notes),
        embedding=predictions.emb.meta,
        question=question.model_dump(mode="json"),
        sample=predictions.sample,
    )


def _untested(tests: Sequence[Tested], names: Sequence[str]) -> list[str]:
    """Return notes on what the test sets lack."""
    named = [
        (
            test.tested_on if test.tested_on == test.trained_on else f"{test.trained_on} -> {test.tested_on}",
            test.truth,
        )
        for test in tests
    ]
    return untested_classes(named, names)


def _possible(
    wanted: Sequence[Classifier], splits: Sequence[Split], *, few: bool
) -> tuple[tuple[Classifier, ...], tuple[str, ...]]:
    """Leave out k-NN that would need more neighbours than a few-shot split has training cells."""
    least = min(len(split.train) for split in splits)
    too_wide = [name for name in wanted if few and classifiers.NEIGHBOURS.get(name, 0) > least]
    notes = (f"No {', '.join(too_wide)}: there are {least} training cells.",) if too_wide else ()
    return tuple(name for name in wanted if name not in too_wide), notes


def _within(test: Tested, only: Mask | None) -> Tested:
    if only is None:
        return test
    kept = only[test.rows]
    predictions = {
        name: Prediction(one.predicted[kept], one.positive[kept], one.converged, one.note)
        for name, one in test.predictions.items()
    }
    return Tested(test.trained_on, test.tested_on, test.train, test.rows[kept], test.truth[kept], predictions)


def _scored(test: Tested, classes: int) -> FoldResult:
    return FoldResult(
        train=test.train,
        test=len(test.rows),
        scores={
            name: score(test.truth, one.predicted, classes, one.positive if classes == 2 else None)
            for name, one in test.predictions.items()
        },
        confusion={
            name: confusion_matrix(test.truth, one.predicted, classes)
            for name, one in test.predictions.items()
        },
        converged=all(one.converged for one in test.predictions.values()),
        trained_on=test.trained_on,
        tested_on=test.tested_on,
    )


def _by_source(
    tests: Sequence[Tested], classifier: str, sources: npt.NDArray[np.str_], classes: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Count over all test sets, by the source of the tested cells."""
    rows = np.concatenate([test.rows for test in tests])
    truth = np.concatenate([test.truth for test in tests])
    predicted = np.concatenate([test.predictions[classifier].predicted for test in tests])
    own = sources[rows]
    return {
        str(name): confusion_matrix(truth[own == name], predicted[own == name], classes)
        for name in np.unique(own)
    }


def _resamples(
    predictions: TablePredictions, tests: Sequence[Tested], question: Question
) -> tuple[dict[str, npt.NDArray[np.float64]], tuple[str, ...]]:
    """Return bootstrap scores by classifier, or none with the reason."""
    if not question.resamples:
        return {}, ()
    all_groups = np.asarray(predictions.plan.groups, dtype=np.str_)
    tested = np.concatenate([test.rows for test in tests])
    names, codes = np.unique(all_groups[tested], return_inverse=True)
    if len(names) < LEAST_GROUPS:
        return {}, (f"No intervals: {len(names)} tested groups, and at least {LEAST_GROUPS} are needed.",)
    number = np.empty(len(all_groups), dtype=np.int64)
    number[tested] = codes
    two = len(predictions.names) == 2
    sets = {
        name: [
            PredictedRows(
                number[test.rows],
                test.truth,
                test.predictions[name].predicted,
                test.predictions[name].positive if two else None,
            )
            for test in tests
        ]
        for name in tests[0].predictions
    }
    with stage("drawing intervals"):
        drawn = resampled_scores(
            sets, len(names), len(predictions.names), resamples=question.resamples, seed=question.seed
        )
    note = (
        f"Intervals: 95 %, bootstrap over {len(names)} groups of tested cells ({question.resamples} "
        "resamples); how scores vary with the training cells, or with pretraining, is not in them."
        + (FEW_GROUPS if len(names) < ENOUGH_GROUPS else "")
    )
    return drawn, (note,)


def _fit_notes(tests: Sequence[Tested]) -> list[str]:
    stopped = {
        test.trained_on for test in tests if not all(one.converged for one in test.predictions.values())
    }
    fits = {test.trained_on for test in tests}
    notes = list(dict.fromkeys(one.note for test in tests for one in test.predictions.values() if one.note))
    if stopped:
        notes.append(
            f"The probe stopped, at {linear_probe.MAX_ITERATIONS} iterations or before, without having "
            f"converged in {len(stopped)} of {len(fits)} fits."
        )
    return notes
