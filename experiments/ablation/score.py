"""The scores of one model: its embedding tables, and from each the tasks and measures of an ablation."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import reddino
from ablation.cells import open_task_data, scored_cells
from ablation.plan import Scoring
from ablation.rare import novelty_rows, rare_classes
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.evaluation.batch_effect.measures import measure_table
from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.intervals import LEAST_GROUPS, PredictedRows, resampled_scores
from reddino.evaluation.leaks import groups_of
from reddino.evaluation.metrics import auroc
from reddino.evaluation.protocol import TablePredictions, predict_table, summarise
from reddino.evaluation.result_files import as_json
from reddino.evaluation.results import RESAMPLED, Result
from reddino.evaluation.task_file import Task
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.pretraining.run.diagnostics import effective_rank
from reddino.smears.manifest import Manifest

Real = npt.NDArray[np.float64]
#: Scores of every classifier that become measures.
SCORES = ("macro F1", "wF1")
RARE_RECALL, OUTLIER, RANK = "rare recall", "outlier AUROC", "effective rank"


@dataclass
class Scored:
    """What was measured on one task.

    Attributes:
        cells: hash of the scored cells, their classes and groups: results are paired where it is equal.
        values: by measure.
        resamples: by measure, (b,) values of resampled groups; a measure without intervals is absent.
        detail: what else the result files hold, as JSON values.
    """

    cells: str
    values: dict[str, float] = field(default_factory=dict)
    resamples: dict[str, Real] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


def table_groups(tasks: Mapping[str, Task]) -> list[dict[str, Task]]:
    """Tasks that share an embedding table: the same data, seen alike."""
    found: dict[str, dict[str, Task]] = {}
    for title, task in tasks.items():
        key = repr((task.data, task.groups, task.label, sorted(task.embedding().items())))
        found.setdefault(key, {})[title] = task
    return list(found.values())


def score_model(
    model: str,
    tasks: Mapping[str, Task],
    paths: Mapping[str, Path],
    scoring: Scoring,
    folder: Path,
    *,
    rare: Mapping[str, Sequence[str]] | None = None,
    keep_tables: bool = False,
) -> dict[str, Scored]:
    """Embed and score one model.

    Args:
        model: as `reddino.embed` takes it.
        tasks: by title.
        paths: manifests by name.
        folder: for the tables, which are deleted afterwards.
        rare: by task, its rare classes, in place of the rule.
        keep_tables: leave the tables there.

    Returns:
        By task.
    """
    found: dict[str, Scored] = {}
    if not keep_tables:  # those of a killed process
        shutil.rmtree(folder, ignore_errors=True)
    for number, group in enumerate(table_groups(tasks)):
        first, table = next(iter(group.values())), folder / f"table-{number}"
        manifest = open_task_data(first, paths)
        few = {
            title: _rare(title, task, (rare or {}).get(title, ()), manifest) for title, task in group.items()
        }
        cells = scored_cells(manifest, list(group.values()), scoring.cells, scoring.least)
        emb = embedded(model, first, cells, scoring, table)
        shared = _table_measures(emb)
        for title, task in group.items():
            scored = score_table(emb, task, title, few[title], scoring.resamples)
            scored.values |= shared.values
            scored.detail |= shared.detail
            found[title] = scored
    if not keep_tables:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _rare(title: str, task: Task, named: Sequence[str], manifest: Manifest) -> Sequence[str]:
    """The rare classes of a task: those that the plan names, or those of the rule."""
    labels = manifest.strings(task.label)
    unknown = sorted(set(named) - {task.classes.class_of(label) for label in set(labels)})
    if unknown:
        raise RedDinoError(f"plan, rare.{title}: no cell of its data has the class '{unknown[0]}'")
    return named or rare_classes(labels, task.classes)


def embedded(model: str, task: Task, cells: Manifest, scoring: Scoring, table: Path) -> Embeddings:
    """The embedding table of a model on cells, seen as a task says."""
    reddino.embed(
        cells,
        model,
        table,
        **{**task.embedding(), "image_size": scoring.image_size},
        batch_size=scoring.batch_size,
        runtime="torch",
        precision=scoring.precision,
        threads=1,
        notice=lambda sentence: None,
    )
    return read_embeddings(table)


def score_table(emb: Embeddings, task: Task, title: str, rare: Sequence[str], resamples: int) -> Scored:
    """One task on one table: classifiers, recall of the rare classes, and novelty of each of them.

    Args:
        rare: the rare classes.
        resamples: of the bootstrap over groups.
    """
    classes = task.classes.restricted_to(
        emb.strings(task.label)
    )  # of the drawn cells; the names were checked
    question = task.questions(title)[title].model_copy(
        update={"classes": classes, "classifiers": PUBLISHED, "resamples": 0}
    )
    predictions = predict_table(emb, question)
    units = _Groups.of(predictions, emb, resamples)
    numbers = _numbers(predictions)
    chosen = [name for name in rare if name in predictions.names]
    if not chosen:
        raise RedDinoError(f"task '{title}' has none of its rare classes: {', '.join(rare)}")
    is_rare = np.isin(numbers, [predictions.names.index(name) for name in chosen])
    everything = summarise(predictions, question, task=title)
    few = summarise(predictions, question, task=title, only=is_rare)
    found = Scored(units.fingerprint(emb, predictions, numbers))
    drawn, drawn_few = units.resampled(predictions), units.resampled(predictions, is_rare)
    for name in PUBLISHED:
        for score in SCORES:
            column = RESAMPLED.index(score)
            found.values[f"{name} {score}"] = everything.mean(name).as_row()[column]
            if drawn:
                found.resamples[f"{name} {score}"] = drawn[name][:, column]
        # Of rows of the rare classes alone, balanced accuracy is the mean of their recalls.
        found.values[f"{name} {RARE_RECALL}"] = few.mean(name).balanced_accuracy
        if drawn_few:  # rare cells may lie in too few groups where all cells do not
            found.resamples[f"{name} {RARE_RECALL}"] = drawn_few[name][:, RESAMPLED.index("bAcc")]
    novelty = _novelty(predictions, numbers, chosen, units)
    if novelty.values:
        found.values[OUTLIER] = float(np.mean(list(novelty.values.values())))
        if novelty.resamples:
            found.resamples[OUTLIER] = np.mean(list(novelty.resamples.values()), axis=0)
    found.detail = {
        "task": task.model_dump(mode="json"),
        "result": _without_rows(everything),
        "rare_classes": chosen,
        "outlier_auroc": novelty.values,
        "seen_in_pretraining": dict(emb.meta.get("seen", {})),
    }
    return found


@dataclass(frozen=True)
class _Groups:
    """The groups of a table: the same draws for every task on it, so that means over tasks are paired too."""

    code: npt.NDArray[np.int64]
    names: npt.NDArray[np.str_]
    resamples: int
    seed: int

    @classmethod
    def of(cls, predictions: TablePredictions, emb: Embeddings, resamples: int) -> _Groups:
        # Groups of all the table's rows, which several tasks share; then those of the task's own rows.
        question_groups = np.asarray(groups_of(emb), dtype=np.str_)
        names = np.unique(question_groups)
        own = np.asarray(predictions.plan.groups, dtype=np.str_)
        if not np.isin(own, names).all():  # groups by a column of its own
            names = np.unique(own)
        code = np.searchsorted(names, own).astype(np.int64)
        return cls(code, names, resamples, zlib.crc32("\0".join(names.tolist()).encode()))

    def resampled(
        self, predictions: TablePredictions, only: npt.NDArray[np.bool_] | None = None
    ) -> dict[str, Real]:
        """By classifier (b, 5) scores; nothing where too few groups are tested."""
        kept = [test.rows if only is None else test.rows[only[test.rows]] for test in predictions.tests]
        if len(np.unique(self.code[np.concatenate(kept)])) < LEAST_GROUPS:
            return {}
        sets: dict[str, list[PredictedRows]] = {name: [] for name in PUBLISHED}
        for test in predictions.tests:
            inside = np.ones(len(test.rows), np.bool_) if only is None else only[test.rows]
            if not inside.any():
                continue
            for name, rows in sets.items():
                predicted = test.predictions[name].predicted[inside]
                rows.append(PredictedRows(self.code[test.rows[inside]], test.truth[inside], predicted))
        return self.scores(sets, len(predictions.names))

    def scores(self, sets: Mapping[str, Sequence[PredictedRows]], classes: int) -> dict[str, Real]:
        """By name (b, 5) scores of rows whose groups are numbers of this table."""
        return resampled_scores(sets, len(self.names), classes, resamples=self.resamples, seed=self.seed)

    def fingerprint(
        self, emb: Embeddings, predictions: TablePredictions, numbers: npt.NDArray[np.int64]
    ) -> str:
        """16 hex digits over the scored cells, their classes and groups."""
        table = predictions.emb
        place = [repr((table.strings("path"), *(table.numbers(name).tolist() for name in ("x", "y"))))]
        tested = np.concatenate([test.rows for test in predictions.tests])
        parts = (numbers, self.code, tested)
        return hash_bytes(*(one.encode() for one in place), *(part.tobytes() for part in parts))


def _numbers(predictions: TablePredictions) -> npt.NDArray[np.int64]:
    """(n,) the class number of every labelled row."""
    numbers = np.full(len(predictions.emb), -1, dtype=np.int64)
    for test in predictions.tests:
        numbers[test.rows] = test.truth
    return numbers


def _novelty(
    predictions: TablePredictions, numbers: npt.NDArray[np.int64], chosen: Sequence[str], units: _Groups
) -> Scored:
    """Outlier AUROC of each rare class as one that the reference lacks."""
    found = Scored("")
    sources = predictions.emb.strings("source")
    for name in chosen:
        novel = numbers == predictions.names.index(name)
        rows = novelty_rows(predictions.emb.vectors, sources, units.code, novel)
        area = None if rows is None or rows.positive is None else auroc(rows.truth == 1, rows.positive)
        if rows is None or area is None:
            continue
        found.values[name] = area
        found.resamples[name] = units.scores({name: [rows]}, 2)[name][:, RESAMPLED.index("AUROC")]
    if len(np.unique(units.code)) < LEAST_GROUPS:
        found.resamples.clear()
    return found


def _table_measures(emb: Embeddings) -> Scored:
    """Effective rank, and the batch-effect measures where there are several sources; without intervals."""
    found = Scored("", {RANK: effective_rank(torch.from_numpy(np.ascontiguousarray(emb.vectors)))})
    if len(set(emb.names("source"))) > 1:
        report = measure_table(emb)
        found.values |= {one.name: one.value for one in report.measures if np.isfinite(one.value)}
        found.detail["batch_effect_without_trace"] = {one.name: one.without for one in report.measures}
        found.detail["batch_effect_notes"] = list(report.notes)
    return found


def _without_rows(result: Result) -> dict[str, Any]:
    """A result as JSON values, less what a campaign of many runs need not repeat."""
    dropped = ("folds", "by_source", "embedding", "question", "seen_in_pretraining")
    return {key: value for key, value in as_json(result).items() if key not in dropped}
