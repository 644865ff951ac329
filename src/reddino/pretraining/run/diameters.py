"""The cell diameters that a run measures its patches in."""

from __future__ import annotations

import json
from pathlib import Path

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, in_line, read_json
from reddino.pretraining.run.folder import DESCRIPTION, DIAMETERS
from reddino.pretraining.run.recipe import Recipe
from reddino.rbc.diameters import missing_diameters
from reddino.smears.manifest import Manifest
from reddino.smears.packs import PackedManifest


def needed_diameters(recipe: Recipe, manifest: Manifest) -> dict[str, float] | None:
    """Return `missing_diameters` where the recipe measures in them and no pack holds them."""
    measures = recipe.data.patch_unit == "diameters" or recipe.data.max_cell_diameter is not None
    return missing_diameters(manifest) if measures and not isinstance(manifest, PackedManifest) else None


def run_diameters(recipe: Recipe, manifest: Manifest, run: Path) -> dict[str, float] | None:
    """Return the cell diameters of a run, if its recipe measures in them.

    They are kept in the run folder: a resumed run must cut the same patches, whoever measures.
    """
    kept = run / DIAMETERS
    if kept.is_file() and (run / DESCRIPTION).is_file():
        return read_diameters(kept)
    measured = needed_diameters(recipe, manifest)
    if measured is not None:
        write_text(kept, json.dumps(measured, indent=2) + "\n")
    return measured


def read_diameters(path: Path) -> dict[str, float]:
    """Read the red-cell diameters in pixels by source that a run keeps.

    Raises:
        RedDinoError: the file cannot be read, or holds something else.
    """
    found = fit(dict[str, float], read_json(path), str(path))
    for source, diameter in found.items():
        if not diameter > 0:
            raise RedDinoError(f"{path}: {in_line(source)}: {diameter:g} is not a diameter")
    return found
