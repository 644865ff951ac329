"""The table of a campaign, from the runs that are finished: Markdown to read and JSON with every number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablation.compare import Arms, Comparison, Unit, mean_and_sd, task_weights
from ablation.plan import TURNED, Plan, Run
from ablation.results import RunResult, made_by_plan, read_result
from ablation.score import OUTLIER, RANK, RARE_RECALL, SCORES, Scored
from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.render import Grid, markdown
from reddino.foundations.atomic import write_text
from reddino.foundations.provenance import provenance

MACRO = [f"{name} macro F1" for name in PUBLISHED]
CHOOSING = "choosing score"
#: Measures without an interval, as they stand on the tasks of several sources.
BATCH = ("source told", "iLISI", "kBET within class", "source within class")


#: Mean minutes of a pretraining: on the clock, and of the processor, which other programs do not lengthen.
MINUTES = {"minutes a run": "seconds", "CPU minutes": "cpu_seconds"}


@dataclass
class Finished:
    """What the runs of a plan have found so far.

    Attributes:
        arms: every measure.
        minutes: by name of a column and arm, those of each run's training.
        missing: runs without a result, or without one of the tasks that others have.
        notes: sentences for the reader.
    """

    arms: Arms
    minutes: dict[str, dict[str, list[float]]]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_finished(plan: Plan, out: Path) -> Finished:
    """Read the results that are there."""
    found = {run: result for run in plan.runs() if (result := read_result(out / run.folder)) is not None}
    scored: dict[str, dict[int, dict[Unit, Scored]]] = {}
    minutes: dict[str, dict[str, list[float]]] = {title: {} for title in MINUTES}
    for run, result in found.items():
        own = scored.setdefault(run.arm, {}).setdefault(run.seed, {})
        wanted = plan.file.folds[run.fold].tasks
        own |= {(run.fold, title): one for title, one in result.scored.items() if title in wanted}
        for column, key in MINUTES.items():
            if key in result.about.get("training", {}):
                minutes[column].setdefault(run.arm, []).append(result.about["training"][key] / 60)
    arms = Arms(scored, plan.file.networks)
    finished = Finished(arms, minutes)
    finished.missing = list(_missing(plan, found, arms.units()))
    finished.notes = list(_notes(plan, found, arms.units()))
    return finished


def write_table(plan: Plan, out: Path) -> Path:
    """Write table.md and table.json; returns the first."""
    finished = read_finished(plan, out)
    units = finished.arms.units()
    folds = [fold for fold in plan.file.folds if any(unit[0] == fold for unit in units)]
    grids = []
    if len(folds) > 1:
        grids += _overviews(plan, finished, units, "All folds, each task with the same weight")
    for fold in folds:
        own = [unit for unit in units if unit[0] == fold]
        grids += _overviews(plan, finished, own, fold)
        grids += [_one_task(plan, finished, unit) for unit in own]
    head = [
        f"# {plan.path.stem}",
        "",
        f"Reference: {plan.file.reference}. Scores in points of 100, mean over seeds (sd over seeds); "
        "differences from the reference on the same cells and seeds, with 95 % intervals by bootstrap over "
        "groups of cells, which hold the seeds fixed, and the sd of the difference over seeds.",
        "",
        *(f"- {line}" for line in finished.notes),
        *(f"- missing: {line}" for line in finished.missing),
        "",
    ]
    text = "\n".join([*head, *(markdown(grid) for grid in grids)])
    write_text(out / "table.md", text)
    write_text(out / "table.json", json.dumps(_as_json(plan, finished), indent=1, allow_nan=False) + "\n")
    return out / "table.md"


def arm_names(plan: Plan, finished: Finished) -> list[str]:
    """Arms that have results: the reference, the other arms, what was turned, the networks."""
    file = plan.file
    known = [*plan.arms(), *(TURNED + name for name in file.turned), *file.networks]
    return [name for name in known if name in finished.arms.scored]


def columns(units: Sequence[Unit], finished: Finished) -> dict[str, dict[tuple[Unit, str], float]]:
    """What the overviews show, by title: the weights of each mean over tasks."""
    found = {CHOOSING: task_weights(units, MACRO)}
    for score in SCORES:
        found |= {f"{name} {score}": task_weights(units, [f"{name} {score}"]) for name in PUBLISHED}
    found[RARE_RECALL] = task_weights(units, [f"{name} {RARE_RECALL}" for name in PUBLISHED])
    for measure in (OUTLIER, RANK, *BATCH):
        having = [unit for unit in units if measure in finished.arms.measures(unit)]
        if having:
            found[measure] = task_weights(having, [measure])
    return found


def _overviews(plan: Plan, finished: Finished, units: Sequence[Unit], title: str) -> list[Grid]:
    """Means over tasks, arms down: the scores, and what the paper gives as reasons for them."""
    shown = columns(units, finished)
    scores = {name: shown[name] for name in (CHOOSING, *MACRO)}
    reasons = {name: shown[name] for name in (RARE_RECALL, OUTLIER, RANK, *BATCH) if name in shown}
    caption = f"Mean over {', '.join(dict.fromkeys(unit[1] for unit in units))}."
    return [
        _means(plan, finished, scores, f"{title}: scores", captions=(caption,)),
        _means(plan, finished, reasons, f"{title}: reasons"),
    ]


def _means(
    plan: Plan,
    finished: Finished,
    shown: Mapping[str, dict[tuple[Unit, str], float]],
    title: str,
    *,
    captions: tuple[str, ...] = (),
) -> Grid:
    """Means over tasks with their differences, and the minutes of a run.

    Args:
        shown: by title of a column, what it is the mean of.
    """
    names = list(shown)
    header = ["arm", "seeds"]
    for name in names:
        header += [name, "difference"]
    rows = []
    for arm in arm_names(plan, finished):
        found = {name: finished.arms.compare(arm, plan.file.reference, shown[name]) for name in names}
        row = [arm, _count(plan, arm, found[names[0]])]
        for name in names:
            row += _pair(found[name], name)
        spent = [finished.minutes[column].get(arm) for column in MINUTES]
        rows.append((*row, *(f"{mean_and_sd(one)[0]:.1f}" if one else "-" for one in spent)))
    return Grid(title, (*header, *MINUTES), tuple(rows), captions=captions)


def _one_task(plan: Plan, finished: Finished, unit: Unit) -> Grid:
    """One task of a fold: every classifier."""
    arms = finished.arms
    measures = [
        *MACRO,
        *(f"{name} wF1" for name in PUBLISHED),
        *(f"{name} {RARE_RECALL}" for name in PUBLISHED),
    ]
    measures += [OUTLIER] if OUTLIER in arms.measures(unit) else []
    header = ["arm", "seeds"]
    for name in measures:
        header += [name, "difference"] if name in (*MACRO, OUTLIER) else [name]
    rows = []
    for arm in arm_names(plan, finished):
        row: list[str] = []
        first = None
        for name in measures:
            found = arms.compare(arm, plan.file.reference, {(unit, name): 1.0})
            first = first or found
            row += [_points(found), _gain(found)] if name in (*MACRO, OUTLIER) else [_points(found)]
        rows.append((arm, _count(plan, arm, first), *row))
    example = next(run[unit] for one in arms.scored.values() for run in one.values() if unit in run)
    result = example.detail.get("result", {})
    caption = (
        f"{result.get('cells')} cells in {result.get('groups')} groups, {result.get('protocol')}; "
        f"rare: {', '.join(example.detail.get('rare_classes', []))}."
    )
    return Grid(f"{unit[0]}: {unit[1]}", tuple(header), tuple(rows), captions=(caption,))


def _missing(plan: Plan, found: dict[Run, RunResult], units: Sequence[Unit]) -> Iterator[str]:
    """Runs that have no result, together by fold and arm; and tasks that a run lacks."""
    absent: dict[str, dict[str, list[int]]] = {}
    for run in plan.runs():
        titles = [title for fold, title in units if fold == run.fold]
        if run not in found:
            absent.setdefault(run.fold, {}).setdefault(run.arm, []).append(run.seed)
        else:
            lacking = [title for title in titles if title not in found[run].scored]
            if lacking:
                yield f"{run.fold} / {run.arm} / seed {run.seed}: not scored on {', '.join(lacking)}"
    for fold, arms in absent.items():
        listed = (f"{arm} (seed {', '.join(map(str, seeds))})" for arm, seeds in arms.items())
        yield f"{fold}: {'; '.join(listed)}"


def _notes(plan: Plan, found: dict[Run, RunResult], units: Sequence[Unit]) -> Iterator[str]:
    """Tasks that nobody scored, samples of the runs, and scored sources that a pretraining saw."""
    for fold, one in plan.file.folds.items():
        never = [title for title in one.tasks if (fold, title) not in units]
        if never:
            yield f"{fold}: no run is scored on {', '.join(never)}"
    others = [run for run, result in found.items() if not made_by_plan(plan, run, result)]
    if others:
        named = ", ".join(dict.fromkeys(f"{run.fold} / {run.arm}" for run in others))
        yield f"made by another recipe or network than the plan and options of this command say: {named}"
    samples = sorted(
        {str(one.about["training"]["samples"]) for one in found.values() if one.about.get("training")}
    )
    if samples:
        yield f"samples a run: {', '.join(samples)}"
    for run, result in found.items():
        for title, scored in result.scored.items():
            statuses = scored.detail.get("seen_in_pretraining", {})
            seen = sorted(source for source, status in statuses.items() if status == "seen")
            if seen:
                name = f"{run.fold} / {run.arm} / seed {run.seed}"
                yield f"{name}: the pretraining saw {', '.join(seen)} ({title})"


def _as_json(plan: Plan, finished: Finished) -> dict[str, Any]:
    """Every comparison: by fold (and over all), by arm, by measure."""
    arms, units = finished.arms, finished.arms.units()
    parts = {"all folds": units, **{fold: [u for u in units if u[0] == fold] for fold in plan.file.folds}}

    def compared(arm: str, weights: dict[tuple[Unit, str], float]) -> dict[str, Any] | None:
        found = arms.compare(arm, plan.file.reference, weights)
        return None if found is None else asdict(found)

    names = arm_names(plan, finished)
    means = {
        title: {
            arm: {name: compared(arm, one) for name, one in columns(own, finished).items()} for arm in names
        }
        for title, own in parts.items()
        if own
    }
    tasks = {
        f"{fold} / {title}": {
            arm: {name: compared(arm, {((fold, title), name): 1.0}) for name in arms.measures((fold, title))}
            for arm in names
        }
        for fold, title in units
    }
    return {
        "provenance": provenance(seed=list(plan.file.seeds)),
        "reference": plan.file.reference,
        "missing": finished.missing,
        "notes": finished.notes,
        "means_over_tasks": means,
        "tasks": tasks,
        "minutes": finished.minutes,
    }


def _count(plan: Plan, arm: str, found: Comparison | None) -> str:
    if found is None:
        return "0"
    return "-" if arm in plan.file.networks else str(found.seeds)


def _pair(found: Comparison | None, name: str) -> list[str]:
    """A measure and its difference: in points of 100, or as it is where it is no score."""
    if name not in (RANK, *BATCH):
        return [_points(found), _gain(found)]
    if found is None:
        return ["-", "-"]
    return [f"{found.mean:.3g}", "-" if found.difference is None else f"{found.difference:+.2g}"]


def _points(found: Comparison | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found.mean:.1f}" + (f" ({100 * found.sd:.1f})" if found.sd is not None else "")


def _gain(found: Comparison | None) -> str:
    if found is None or found.difference is None:
        return "-"
    parts = []
    if found.interval is not None:
        low, high = (100 * one for one in found.interval)
        parts.append(f"{low:+.1f} to {high:+.1f}")
    if found.difference_sd is not None:
        parts.append(f"sd {100 * found.difference_sd:.1f}")
    return f"{100 * found.difference:+.1f}" + (f" ({'; '.join(parts)})" if parts else "")
