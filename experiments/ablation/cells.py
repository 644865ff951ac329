"""Which cells of a data set are scored: a fixed draw, in natural shares but with enough of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.evaluation.task_file import Task
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, join_manifests, with_groups
from reddino.smears.opening import open_data

Rows = npt.NDArray[np.int64]


def open_task_data(task: Task, paths: Mapping[str, Path]) -> Manifest:
    """All of the data of a task.

    Args:
        paths: manifests by name.

    Raises:
        RedDinoError: a manifest cannot be read, or the task's class map names a label that it lacks.
    """
    manifest = join_manifests([_opened(paths[name], task.groups) for name in task.data])
    task.classes.require_known(manifest.strings(task.label))
    return manifest


def scored_cells(manifest: Manifest, tasks: Sequence[Task], cells: int, least: int) -> Manifest:
    """The cells of one embedding table.

    Args:
        manifest: the data.
        tasks: of the same data and views; a cell takes part if one of them gives it a class.
        cells: about so many are drawn.
        least: of each label and source, where there are as many.

    Raises:
        RedDinoError: no cell takes part.
    """
    labels, sources = manifest.strings(tasks[0].label), manifest.strings("source")
    asked = {label: any(task.classes.class_of(label) for task in tasks) for label in set(labels)}
    inside = np.array([asked[label] for label in labels], dtype=np.bool_)
    rows = np.flatnonzero(inside).astype(np.int64)
    if not len(rows):
        raise RedDinoError(f"no cell of {', '.join(tasks[0].data)} has a class that a task asks for")
    strata = [f"{sources[row]}\0{labels[row]}" for row in rows.tolist()]
    return manifest.select(rows[draw(strata, cells, least)])


def draw(strata: Sequence[str], cells: int, least: int, seed: int = 0) -> Rows:
    """Places (m,) of about `cells` of n rows, in order.

    Each stratum gives its share, rounded, and at least `least` where it has as many; a stratum's rows are
    taken in an order that depends on the seed alone, so that a smaller draw is a part of a larger one.

    Args:
        strata: (n,) the name of each row's stratum.
    """
    names, codes, counts = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    fraction = min(1.0, cells / len(strata))
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    taken = []
    for number in range(len(names)):
        own = shuffled[codes[shuffled] == number]
        taken.append(own[: max(min(least, len(own)), round(fraction * int(counts[number])))])
    return np.sort(np.concatenate(taken)).astype(np.int64)


def _opened(path: Path, groups: str | None) -> Manifest:
    manifest = open_data(path)
    listed = manifest.root / groups if groups else None
    return with_groups(manifest, listed) if listed is not None and listed.is_file() else manifest
