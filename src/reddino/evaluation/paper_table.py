"""Tables in the layout of the paper: models by rows, tasks and classifiers by columns, gains at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.evaluation.metrics import METRICS
from reddino.evaluation.render import Grid
from reddino.evaluation.results import CHANCE, Result
from reddino.evaluation.score_tables import by_task, captions, titled
from reddino.foundations.errors import RedDinoError

FAMILY = "reddino"
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Improvements:
    """Gains (columns,) of a family's best model: over the mean of all baselines, and over their best."""

    average: Values
    best: Values


def improvements(values: Values, ours: Sequence[bool]) -> Improvements | None:
    """Return the gains of a family of models, column by column; None without a baseline or the family.

    Args:
        values: (models, columns) scores.
        ours: (models,) whether each model is of the family.
    """
    own = np.asarray(ours, dtype=np.bool_)
    if own.all() or not own.any():
        return None
    best = values[own].max(axis=0)
    return Improvements(best - values[~own].mean(axis=0), best - values[~own].max(axis=0))


def is_of_family(model: str, family: str) -> bool:
    """Return whether a model's name holds the family's, in whatever case."""
    return family.lower() in model.lower()


def paper_grid(
    title: str,
    results: Sequence[Result],
    *,
    classifiers: Sequence[str] = ("probe", "1-NN", "20-NN"),
    family: str = FAMILY,
) -> Grid:
    """Lay out scores in per cent, one row per model; then the largest class, and the two gains.

    Args:
        title: above the table.
        results: of one task or several, each by the same models.
        classifiers: blocks of columns within a task.
        family: what the names of our models hold; gains are its best model's over all others.

    Raises:
        RedDinoError: a task lacks one of the models.
    """
    tasks = by_task(results)
    models = list(dict.fromkeys(result.model for result in results))
    named = [{result.model: result for result in group} for group in tasks.values()]
    for task, group in zip(tasks, named, strict=True):
        missing = [model for model in models if model not in group]
        if missing:
            raise RedDinoError(f"task '{task}' lacks the model '{missing[0]}': a table needs all models")
    columns = [
        (f"{task} " if len(tasks) > 1 else "") + f"{classifier} {metric}"
        for task in tasks
        for classifier in classifiers
        for metric in METRICS
    ]
    values = 100 * np.array([[_block(group[model], classifiers) for group in named] for model in models])
    values = values.reshape(len(models), len(columns))
    chance = (
        100 * np.array([_block(group[models[0]], [CHANCE] * len(classifiers)) for group in named]).ravel()
    )
    rows = [(model, *_numbers(row)) for model, row in zip(models, values, strict=True)]
    rules = [len(rows)]
    rows.append((CHANCE, *_numbers(chance)))
    gains = improvements(values, [is_of_family(model, family) for model in models])
    if gains is not None:
        rules.append(len(rows))
        rows.append(("Avg Improvement", *_numbers(gains.average, sign=True)))
        rows.append(("Improvement", *_numbers(gains.best, sign=True)))
    return Grid(
        titled(title, results),
        ("model", *columns),
        tuple(rows),
        1,
        _captions(results, family, gains is not None),
        tuple(rules),
    )


def _block(result: Result, classifiers: Sequence[str]) -> list[float]:
    """Return the four scores of each classifier, NaN where it was not scored."""
    found: list[float] = []
    for classifier in classifiers:
        scored = result.has(classifier)
        found += result.mean(classifier).as_row() if scored else [np.nan] * len(METRICS)
    return found


def _numbers(row: Values, *, sign: bool = False) -> list[str]:
    return ["-" if np.isnan(value) else f"{value:+.1f}" if sign else f"{value:.1f}" for value in row.tolist()]


def _captions(results: Sequence[Result], family: str, gains: bool) -> tuple[str, ...]:
    notes = ["Per cent, means over the test sets."]
    if gains:
        notes.append(
            f"Avg Improvement: the best '{family}' model less the mean of all others; "
            "Improvement: less the best of the others; points, by column."
        )
    return (*notes, *captions(results))
