"""The length of a run, which may grow when it is resumed, and what becomes of its schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.schedules import values_at

#: The key of a run's description that lists how it was lengthened.
LENGTHENED = "lengthened"


def differs_in_length_alone(before: Recipe, now: Recipe) -> bool:
    """Return whether the sections `run` of two recipes agree but for `samples`."""
    return before.run.model_dump(exclude={"samples"}) == now.run.model_dump(exclude={"samples"})


def require_no_shorter(folder: Path, before: Recipe, now: Recipe) -> None:
    """Refuse to make a run shorter.

    Raises:
        RedDinoError: names both lengths.
    """
    if now.run.samples < before.run.samples:
        raise RedDinoError(
            f"{folder} holds a run of {before.run.samples} samples, and the recipe has {now.run.samples}: a "
            f"run can be lengthened, not shortened; give run.samples={before.run.samples} or more"
        )


def lengthening(before: Recipe, now: Recipe, step: int) -> dict[str, int]:
    """Return the record of a run that is lengthened after `step` steps."""
    return {"step": step, "from_samples": before.run.samples, "to_samples": now.run.samples}


def describe_lengthening(before: Recipe, now: Recipe, step: int) -> str:
    """Return a sentence on what becomes of the schedules."""
    old, new = values_at(min(step, before.steps), before).lr, values_at(step, now).lr
    return (
        f"this run of {before.run.samples:,} samples is lengthened to {now.run.samples:,} after step "
        f"{step:,}: rate, weight decay, momentum and temperature continue as in a run of that length, so "
        f"that the learning rate goes from {old:.2g} to {new:.2g}; the model is not that of a run of "
        f"{now.run.samples:,} samples from the start"
    )


def noted_lengthenings(description: dict[str, Any], recipe: Recipe) -> list[dict[str, int]]:
    """Return how a run was lengthened to the length of its recipe.

    A record of more samples is of a command that was killed before the recipe was written.
    """
    found = description.get(LENGTHENED, [])
    return [one for one in found if one["to_samples"] <= recipe.run.samples]
