"""Folders with files that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def recipe_folder() -> Path:
    """Return the folder of the recipes, and of the task files below it: in the package, or in a checkout."""
    installed = Path(str(resources.files("reddino"))) / "recipes"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "recipes"
