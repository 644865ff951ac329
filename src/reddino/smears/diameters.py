"""How large a red cell is in the pixels of an image: from the manifest, else by segmentation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reddino.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings


def cell_diameters(
    manifest: Manifest, diameters: Mapping[str, float] | None, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Red-cell diameter in pixels for each of `rows`: the manifest's own, else that of its source."""
    values = manifest.numbers("cell_diameter")[rows]
    if not np.isnan(values).any():
        return values
    sources = manifest.strings("source")
    by_row = np.array(
        [(diameters or {}).get(sources[row], np.nan) for row in rows.tolist()], dtype=np.float64
    )
    values = np.where(np.isnan(values), by_row, values)
    unknown = ~(values > 0)
    if unknown.any():
        row = int(rows[np.argmax(unknown)])
        raise RedDinoError(
            f"The cell diameter of source '{sources[row]}' is not known (row {row + 1}): "
            "fill the column 'cell_diameter', give a diameter for the source, or cut views in pixels."
        )
    return values


def source_diameters(manifest: Manifest, *, sample: int = 8, seed: int = 0) -> dict[str, float]:
    """Red-cell diameter of each source in pixels.

    The median of the manifest's `cell_diameter` where a source has any, else the median of what classical
    segmentation finds on `sample` of its images, drawn by `seed`.

    Raises:
        RedDinoError: no image of a source shows cells that can be measured.
    """
    sources = np.array(manifest.strings("source"), dtype=object)
    given = manifest.numbers("cell_diameter")
    images, codes = manifest.images()
    diameters: dict[str, float] = {}
    for source in sorted(set(sources.tolist())):
        rows = sources == source
        known = given[rows & ~np.isnan(given)]
        if len(known):
            diameters[source] = float(np.median(known))
            continue
        candidates = [images[code] for code in np.unique(codes[rows]).tolist()]
        diameters[source] = _estimated_diameter(manifest, source, candidates, sample, seed)
    return diameters


def _estimated_diameter(manifest: Manifest, source: str, images: list[str], sample: int, seed: int) -> float:
    from reddino.smears.cells import estimate_diameter  # scikit-image takes a second to import

    found: list[float] = []
    readings = Readings(manifest.table)
    for index in np.random.default_rng(seed).permutation(len(images)).tolist():
        if len(found) == sample:
            break
        try:
            name = images[index]
            diameter = float(estimate_diameter(decode_image(manifest.root / name, **readings.of(name))))
        except RedDinoError:
            continue
        if np.isfinite(diameter) and diameter > 0:
            found.append(diameter)
    if not found:
        raise RedDinoError(
            f"No red cells could be measured in the {len(images)} images of source '{source}': "
            "fill the column 'cell_diameter' (pixels) of the manifest."
        )
    return float(np.median(found))
