"""What `reddino plan` says of the recipes that are measured; counted beforehand, on a CPU."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from campaign.record import read_json, replace_file
from reddino.pretraining.run.plan import UTILISATION, PretrainingPlan, make_plan, peak_of
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.run.step_cost import Counts

FILE = "plans.json"


def key_of(recipe: Recipe) -> str:
    """16 hex digits over what the counts depend on."""
    content = recipe.model_dump(mode="json", exclude={"run", "runtime", "online"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_plans(recipes: list[Recipe], campaign: Path) -> None:
    """Count the operations and memory of one sample of each recipe, on this machine's CPU."""
    content = {key_of(recipe): asdict(count(recipe)) for recipe in recipes}
    replace_file(campaign / FILE, (json.dumps(content, indent=1) + "\n").encode())


def count(recipe: Recipe) -> Counts:
    """Counted on a real step."""
    on_cpu = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"device": "cpu"})})
    return make_plan(on_cpu, device_kind="1/1").counts


def planned(recipe: Recipe, batch: int, campaign: Path, kind: str | None) -> dict[str, Any]:
    """Samples/s and GB that `reddino plan` gives for `batch` on a device of that kind; {} where it cannot."""
    counted = (read_json(campaign / FILE) or {}).get(key_of(recipe))
    if counted is None:
        return {}
    run = recipe.run.model_copy(update={"batch": batch, "accumulate": 1})
    plan = PretrainingPlan(
        recipe.model_copy(update={"run": run}), Counts(**counted), batch, 1, kind or "", 1.0, "", None
    )
    row = {"gflop": round(plan.counts.flops / 1e9, 1), "planned_gb": round(sum(plan.memory.values()), 1)}
    if kind is None:
        return row
    tflops = peak_of(kind)[0]
    plan = replace(plan, samples_per_second=UTILISATION * tflops * 1e12 / plan.counts.flops)
    return {**row, "planned_samples_per_s": round(plan.samples_per_second, 1), "peak_tflops": tflops}
