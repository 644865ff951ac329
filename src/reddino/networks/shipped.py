"""Models that come inside the package, so that embedding needs no network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

#: What `reddino embed` takes where no model is named.
DEFAULT_MODEL = "reddino-tiny"


def shipped_models() -> dict[str, Path]:
    """Return the model folders inside the package, by name."""
    place = Path(str(resources.files("reddino"))) / "weights"
    return {folder.name: folder for folder in sorted(place.glob("*")) if folder.is_dir()}


def as_folder(name: str) -> str:
    """Return the folder of a shipped model's name, and every other name (or existing path) as it is."""
    folder = None if Path(name).exists() else shipped_models().get(name)
    return name if folder is None else str(folder)
