"""The diameter of a red cell in the pixels of an image: from the manifest, else by segmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.rbc.finding import find_cells
from reddino.rbc.magnification import MIXED, group_medians, picture_scales
from reddino.rbc.picture_diameters import FEW
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

_log = logging.getLogger(__name__)


def cell_diameters(
    manifest: Manifest, diameters: Mapping[str, float] | None, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the red-cell diameter in pixels for each of `rows`: the manifest's own, else that of its source.

    Where the boxes of a source show pictures of several magnifications, that of the source times the scale
    of the picture (`magnification.picture_scales`).
    """
    values = manifest.numbers("cell_diameter")[rows]
    if not np.isnan(values).any():
        return values
    sources = manifest.strings("source")
    by_row = np.array(
        [(diameters or {}).get(sources[row], np.nan) for row in rows.tolist()], dtype=np.float64
    )
    by_row *= picture_scales(manifest)[manifest.images()[1][rows]]
    values = np.where(np.isnan(values), by_row, values)
    unknown = ~(values > 0)
    if unknown.any():
        row = int(rows[np.argmax(unknown)])
        raise RedDinoError(
            f"the cell diameter of source '{sources[row]}' is not known (row {row + 1}); "
            "fill the column 'cell_diameter', give a diameter for the source, or cut views in pixels"
        )
    return values


def image_diameters(manifest: Manifest, diameters: Mapping[str, float] | None) -> NDArray[np.float64]:
    """Return the red-cell diameter in pixels of each image (m,), as `cell_diameters` of its first row.

    Unknown diameters are NaN.
    """
    rows = np.unique(manifest.images()[1], return_index=True)[1].astype(np.int64)
    own, sources = manifest.numbers("cell_diameter")[rows], manifest.strings("source")
    of_source = np.array([(diameters or {}).get(sources[row], np.nan) for row in rows.tolist()], np.float64)
    return np.where(own > 0, own, of_source * picture_scales(manifest))


def source_diameters(
    manifest: Manifest, *, sample: int = 8, seed: int = 0, refuse_mixed: bool = False
) -> dict[str, float]:
    """Return the red-cell diameter of each source in pixels, at the magnification that is typical of it.

    The median of the manifest's `cell_diameter` where a source has any, else the median of what classical
    segmentation finds on `sample` of its images, drawn by `seed`; each over the scale of its picture.

    Args:
        manifest: of pictures.
        sample: pictures of each source that are measured.
        seed: of their choice.
        refuse_mixed: refuse a source whose measured pictures differ more than `MIXED` times from their
            median, instead of logging it.

    Raises:
        RedDinoError: no image of a source shows cells that can be measured, or it is refused.
    """
    sources = np.array(manifest.strings("source"), dtype=object)
    given = manifest.numbers("cell_diameter")
    images, codes = manifest.images()
    scales = picture_scales(manifest)
    diameters: dict[str, float] = {}
    for source in sorted(set(sources.tolist())):
        rows = sources == source
        filled = rows & ~np.isnan(given)
        known = given[filled] / scales[codes[filled]]
        if len(known):
            diameters[source] = float(np.median(known))
            continue
        candidates = [(images[code], float(scales[code])) for code in np.unique(codes[rows]).tolist()]
        diameters[source] = _estimated_diameter(
            manifest, source, candidates, sample=sample, seed=seed, refuse=refuse_mixed
        )
    return diameters


def _estimated_diameter(
    manifest: Manifest,
    source: str,
    images: list[tuple[str, float]],
    *,
    sample: int,
    seed: int,
    refuse: bool,
) -> float:
    """Return the median over some of `images`, each a path and the scale of its picture."""
    found: list[float] = []
    sure: list[float] = []
    readings = Readings(manifest.table)
    for index in np.random.default_rng(seed).permutation(len(images)).tolist():
        if len(found) == sample:
            break
        path, scale = images[index]
        try:
            cells = find_cells(decode_image(manifest.root / path, **readings.of(path)))
        except RedDinoError:
            continue
        diameter = float(cells.typical_diameter) / scale
        if len(cells) and np.isfinite(diameter) and diameter > 0:
            found.append(diameter)
            sure += [diameter] * int((~cells.touches_border).sum() >= FEW)
    if not found:
        raise RedDinoError(
            f"no red cells could be measured in the {len(images)} images of source '{source}'; "
            "fill the column 'cell_diameter' (pixels) of the manifest"
        )
    typical = float(np.median(found))
    odd = sure if refuse else found
    if odd and (max(odd) > MIXED * typical or min(odd) < typical / MIXED):
        if refuse:
            raise RedDinoError(_mixed(source, odd))
        spread = f"{min(odd):.0f} to {max(odd):.0f} pixels in {len(odd)} of its pictures"
        _log.warning(
            "source %s: red cells measure %s, and all are taken for %.0f; give cell_diameter for each "
            "picture, or a source for each magnification",
            *(source, spread, typical),
        )
    return typical


def refuse_mixed_sources(found: Manifest) -> None:
    """Refuse found cells, each with its picture's `cell_diameter`, whose source has no one scale.

    Raises:
        RedDinoError: the diameters of a source's pictures differ more than `MIXED` times from their median.
    """
    pictures, medians = group_medians(found.images()[1], found.numbers("cell_diameter"))
    first = np.unique(found.images()[1], return_index=True)[1][pictures]
    sources = np.array(found.strings("source"), dtype=object)[first]
    # Of a few cells no picture has a scale of its own.
    enough = np.bincount(found.images()[1])[pictures] >= FEW
    for source in sorted(set(sources[enough].tolist())):
        diameters = medians[enough & (sources == source)]
        typical = float(np.median(diameters))
        if diameters.max() > MIXED * typical or diameters.min() < typical / MIXED:
            raise RedDinoError(_mixed(source, diameters.tolist()))


def _mixed(source: str, diameters: Sequence[float]) -> str:
    """Return why a source of these diameters, one of each measured picture, has no one scale."""
    return (
        f"source '{source}' has no one scale: red cells measure {min(diameters):.0f} to "
        f"{max(diameters):.0f} pixels in {len(diameters)} of its pictures, more than {MIXED:g} times their "
        "median or less; cut each picture at its own scale (scale picture, for a classifier: fit it again), "
        "give cell_diameter for each picture, or a source for each magnification"
    )


def missing_diameters(manifest: Manifest, *, refuse_mixed: bool = False) -> dict[str, float] | None:
    """Measure the red-cell diameter in pixels by source; None where every row of the manifest has one.

    `refuse_mixed` as for `source_diameters`.
    """
    if not np.isnan(manifest.numbers("cell_diameter")).any():
        return None
    with stage("measuring cell diameters"):
        return source_diameters(manifest, refuse_mixed=refuse_mixed)
