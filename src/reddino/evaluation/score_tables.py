"""Results side by side: scores of each task, their intervals, and differences between models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from reddino.evaluation import render
from reddino.evaluation.metrics import METRICS, Scores
from reddino.evaluation.render import Grid
from reddino.evaluation.results import CHANCE, RESAMPLED, Difference, Result, paired_differences

AUROC = "AUROC"


def by_task(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return results under the title of their task, in order of appearance."""
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    return tasks


def grids(results: Sequence[Result]) -> list[Grid]:
    """Return the scores of each task and, where there are intervals, these and the models' differences."""
    found = []
    for task, group in by_task(results).items():
        found.append(score_grid(task, group))
        if any(result.resamples for result in group):
            found.append(interval_grid(task, group))
        if len(group) > 1:
            found.append(difference_grid(task, group))
    return found


def rich_tables(results: Sequence[Result]) -> list[Table]:
    """Return the tables of each task for the terminal: scores, then what the intervals are of.

    These are the paired differences of several models, or the scores of a single one.
    """
    return [
        render.rich_table(grid)
        for task, group in by_task(results).items()
        for grid in _on_screen(task, group)
    ]


def rich_scores(results: Sequence[Result]) -> list[Table]:
    """Return the scores of each task alone, for the terminal."""
    return [render.rich_table(score_grid(task, group)) for task, group in by_task(results).items()]


def rich_differences(results: Sequence[Result]) -> list[Table]:
    """Return the paired differences of each task of several models, for the terminal."""
    grids = (paired_grid(task, group) for task, group in by_task(results).items() if len(group) > 1)
    return [render.rich_table(grid) for grid in grids]


def _on_screen(task: str, results: Sequence[Result]) -> list[Grid]:
    """Return the grids of one task, in which no figure stands twice; the last has the captions."""
    scores = score_grid(task, results)
    second = paired_grid(task, results) if len(results) > 1 else interval_grid(task, results)
    if not second.rows:
        return [scores]
    return [replace(scores, captions=()), replace(second, captions=scores.captions)]


def markdown(results: Sequence[Result]) -> str:
    """Return every grid in Markdown."""
    return "\n".join(render.markdown(grid) for grid in grids(results))


def score_grid(task: str, results: Sequence[Result]) -> Grid:
    """Mean and spread of each score: the models under each classifier, then the largest class."""
    rows = comparison_rows(results)
    rules = tuple(number for number in range(1, len(rows)) if rows[number][0] != rows[number - 1][0])
    return Grid(
        titled(task, results),
        ("classifier", "model", *_metrics(results)),
        tuple(rows),
        2,
        tuple(captions(results)),
        rules,
    )


def comparison_rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return rows (classifier, model, scores): the models under each classifier, then the largest class.

    The results are those of one task on the same rows, so that the largest class is the same for all.
    """
    if not results:
        return []
    metrics = _metrics(results)
    rows = [
        (classifier, result.model, *_cells(result, classifier, metrics))
        for classifier in results[0].classifiers
        for result in results
        if result.has(classifier)
    ]
    return [*rows, (CHANCE, "-", *_cells(results[0], CHANCE, metrics))]


def interval_grid(task: str, results: Sequence[Result]) -> Grid:
    """Return the 95 % interval of each score."""
    metrics = _metrics(results)
    chosen = [(classifier, result) for classifier in results[0].classifiers for result in results]
    rows = tuple(
        (classifier, result.model, *(_span(result.interval(classifier, metric)) for metric in metrics))
        for classifier, result in chosen
        if classifier in result.resamples
    )
    title = titled(f"{task}: 95 % intervals".removeprefix(": "), results)
    return Grid(title, ("classifier", "model", *metrics), rows, 2)


def difference_grid(task: str, results: Sequence[Result]) -> Grid:
    """Return each model less the first, on the same cells and the same resampled groups."""
    found = paired_differences(results)
    metrics = tuple(dict.fromkeys(one.metric for one in found))
    rows: dict[tuple[str, str], list[str]] = {}
    for one in found:
        rows.setdefault((one.classifier, one.model), []).append(_gain(one))
    title = f"{task}: difference from {results[0].model}".removeprefix(": ")
    ordered = sorted(rows, key=lambda key: results[0].classifiers.index(key[0]))
    cells = tuple((*key, *rows[key]) for key in ordered)
    return Grid(titled(title, results), ("classifier", "model", *metrics), cells, 2)


def paired_grid(task: str, results: Sequence[Result]) -> Grid:
    """Return each model less the first, a line for each score, with the interval from the same resamples."""
    order = results[0].classifiers
    found = sorted(paired_differences(results), key=lambda one: order.index(one.classifier))
    rows = tuple(
        (
            one.classifier,
            one.model,
            one.metric,
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}" if one.interval else "-",
        )
        for one in found
    )
    rules = tuple(number for number in range(1, len(rows)) if rows[number][0] != rows[number - 1][0])
    title = f"{task}: difference from {results[0].model}".removeprefix(": ")
    return Grid(
        titled(title, results),
        ("classifier", "model", "score", "difference", "95 % interval"),
        rows,
        3,
        (),
        rules,
    )


def titled(title: str, results: Sequence[Result]) -> str:
    """Return a title that states the sample, for files without captions; the title where none was drawn."""
    samples = dict.fromkeys(result.sample.title() for result in results if result.sample is not None)
    return ", ".join([*([title] if title else []), *samples])


def describe(result: Result) -> str:
    """Describe in one line what was scored."""
    of = "" if result.sample is None else f" of a sample ({result.sample.rows:,} of {result.sample.of:,})"
    parts = [
        f"{result.cells:,} cells{of}",
        f"{len(result.classes)} classes",
        f"{result.groups} groups ({result.group_by})",
    ]
    if len(result.folds) > 1:
        parts.append(f"{len(result.folds)} {result.protocol} test sets, mean ± sd")
    else:
        parts.append(
            f"one {result.protocol} split, {result.folds[0].train:,} train, {result.folds[0].test:,} test"
        )
    if others := result.left_out - result.at_border:
        why = ", or on neither side of the split" if result.protocol == "fixed" else ""
        parts.append(f"{others:,} rows left out (no label, or a dropped one{why})")
    return ", ".join(parts)


def captions(results: Sequence[Result]) -> list[str]:
    """Return what was scored, what the models have seen of it, and every note, once each."""
    described = [describe(result) for result in results]
    seen = [sentence for result in results if (sentence := seen_sentence(result))]
    notes = [note for result in results for note in result.notes]
    return list(dict.fromkeys([*described, *seen, *notes]))


def seen_sentence(result: Result) -> str:
    """Return which tested sources were in the model's pretraining, "" where nothing was recorded."""
    if not result.seen:
        return ""
    by_status: dict[str, list[str]] = {}
    for source, status in sorted(result.seen.items()):
        by_status.setdefault(status, []).append(source or "(no name)")
    listed = "; ".join(f"{status}: {', '.join(sources)}" for status, sources in by_status.items())
    return f"Tested sources in the pretraining of {result.model}: {listed}."


def _metrics(results: Sequence[Result]) -> tuple[str, ...]:
    two = any(len(result.classes) == 2 for result in results)
    return RESAMPLED if two else METRICS


def _values(scores: Scores, metrics: Sequence[str]) -> list[float | None]:
    by_name = dict(zip(METRICS, scores.as_row(), strict=True))
    return [scores.auroc if metric == AUROC else by_name[metric] for metric in metrics]


def _cells(result: Result, classifier: str, metrics: Sequence[str]) -> list[str]:
    mean, spread = result.mean(classifier), result.sd(classifier)
    values = _values(mean, metrics)
    around = _values(spread, metrics) if spread else [None] * len(metrics)
    return [_number(value, sd) for value, sd in zip(values, around, strict=True)]


def _number(value: float | None, sd: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if sd is None else f"{value:.3f} ± {sd:.3f}"


def _span(found: tuple[float, float] | None) -> str:
    return f"{found[0]:.3f} to {found[1]:.3f}" if found else "-"


def _gain(one: Difference) -> str:
    span = f" ({one.interval[0]:+.3f} to {one.interval[1]:+.3f})" if one.interval else ""
    return f"{one.difference:+.3f}{span}"
