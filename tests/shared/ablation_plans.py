"""A small plan of an ablation, written into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
RECIPE = """
seed: 0
model: {backbone: vit_tiny_patch14}
augmentation: {operations: [Blur, CLAHE, Solarize], choose: 1}
run: {samples: 8, batch: 4}
"""
TASKS = """
tasks:
  shapes: {data: first, view: cells}
  parasites: {data: [second, third], view: cells}
"""


def write_plan(folder: Path, **changes: Any) -> Path:
    """Write a recipe, tasks and a plan with two arms; `changes` replaces keys of the plan."""
    content: dict[str, Any] = {
        "base": "recipe.yaml",
        "tasks": "tasks.yaml",
        "reference": "A",
        "seeds": [0, 1],
        "folds": {"one": {"pretrain": ["other", "synthetic"], "tasks": ["shapes"]}},
        "arms": {"KoLeo": {"set": ["loss.koleo=0.1"]}, "A": {}},
    }
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "tasks.yaml").write_text(TASKS)
    (folder / "plan.yaml").write_text(yaml.safe_dump({**content, **changes}))
    return folder / "plan.yaml"
