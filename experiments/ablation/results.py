"""Result files of a campaign: one JSON a run, and the resampled scores that pair it with others beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ablation.plan import Plan, Run, same_recipe
from ablation.score import Scored
from reddino.foundations.atomic import atomic_path, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json

RESULT, RESAMPLES = "result.json", "resamples.npz"
Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """What a run's files hold.

    Attributes:
        about: fold, arm, seed, training, provenance, as JSON values.
        scored: by task.
    """

    about: Mapping[str, Any]
    scored: Mapping[str, Scored] = field(default_factory=dict)


def write_result(folder: Path, about: Mapping[str, Any], scored: Mapping[str, Scored]) -> None:
    """Write a run's files; the JSON last, since it says that both are there."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{task}\0{measure}": values.astype(np.float64)
        for task, one in scored.items()
        for measure, values in one.resamples.items()
    }
    with atomic_path(folder / RESAMPLES) as partial, partial.open("wb") as file:
        np.savez(file, names=np.array(list(arrays), dtype=np.str_), values=_stacked(arrays))
    tasks = {task: {"cells": one.cells, "values": one.values, **one.detail} for task, one in scored.items()}
    write_text(folder / RESULT, json.dumps({**about, "tasks": tasks}, indent=1) + "\n")


def read_result(folder: Path) -> RunResult | None:
    """A run's result; None where it is not there yet.

    Raises:
        RedDinoError: the files do not hold what they should.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        with np.load(folder / RESAMPLES, allow_pickle=False) as file:
            arrays = dict(zip(file["names"].tolist(), file["values"], strict=True))
        tasks = content.pop("tasks")
        scored = {
            task: Scored(one.pop("cells"), one.pop("values"), _of_task(arrays, task), one)
            for task, one in tasks.items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise RedDinoError(
            f"{folder}: the result cannot be read ({error}): delete {RESULT} there, and the campaign "
            "scores the run again"
        ) from error
    return RunResult(content, scored)


def made_by_plan(plan: Plan, run: Run, result: RunResult) -> bool:
    """Whether the model of a result is the one that the plan now describes.

    True where a result does not tell; that of a turned arm has no recipe of its own.
    """
    if run.made_by:
        return True
    if result.about.get("network", run.network) != run.network:
        return False
    recipe = result.about.get("training", {}).get("recipe")
    if run.network or recipe is None:
        return True
    return same_recipe(recipe, plan.recipe(run.arm, run.seed).model_dump(mode="json"))


def _of_task(arrays: Mapping[str, Real], task: str) -> dict[str, Real]:
    own = f"{task}\0"
    return {name.removeprefix(own): values for name, values in arrays.items() if name.startswith(own)}


def _stacked(arrays: Mapping[str, Real]) -> Real:
    return np.stack(list(arrays.values())) if arrays else np.zeros((0, 0))
