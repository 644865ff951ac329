"""The red-cell diameter of a whole slide, one for all of its regions."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import find_cells
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.smears.slides.names import SlidePart, split_slide
from reddino.smears.slides.opening import opened

log = logging.getLogger(__name__)

#: Micrometres of a red cell, where no region shows its diameter.
USUAL_UM = 7.5
#: Regions that are measured, regions that are tried for that, and whole cells that one must show.
_MEASURED, _TRIED, _WHOLE = 5, 16, 20
#: Side in pixels of the middle of a region that is measured.
_MIDDLE = 1024


@dataclass(frozen=True)
class SlideScale:
    """The red-cell diameter of a slide.

    Attributes:
        diameter: in pixels of level 0; NaN where nothing shows it.
        origin: `given` (by the manifest), `measured` (in sampled regions), `micrometres` (of the usual red
            cell, by the size of a pixel) or `unknown`.
        regions: that were measured.
    """

    diameter: float
    origin: str
    regions: int = 0

    def sentence(self, slide: str, um_per_px: float | None) -> str:
        """Return how the scale of a slide was found."""
        size = f"{self.diameter:.1f} pixels"
        if um_per_px:
            size += f" ({self.diameter * um_per_px:.1f} um)"
        how = {
            "given": "by the manifest",
            "measured": f"measured in {self.regions} sampled regions",
            "micrometres": f"by the size of a pixel, {um_per_px} um, since no region shows enough cells",
        }.get(self.origin, "unknown")
        return f"slide {slide}: a red cell measures {size}, {how}; all regions are searched at this scale"


def slide_scale(manifest: Manifest, numbers: Sequence[int], um_per_px: float | None) -> SlideScale:
    """Measure the red-cell diameter of a slide.

    Args:
        manifest: of regions; a `cell_diameter` that it gives is taken.
        numbers: of the slide's regions among the images of the manifest.
        um_per_px: size of a pixel of level 0; None: unknown.
    """
    names, codes = manifest.images()
    given = manifest.numbers("cell_diameter")[np.isin(codes, numbers)]
    if np.isfinite(given).any():
        return SlideScale(float(np.nanmedian(given)), "given")
    readings = Readings(manifest.table)
    found: list[float] = []
    for number in _likely(manifest.root, [names[one] for one in numbers])[:_TRIED]:
        path = manifest.root / names[numbers[number]]
        try:
            pixels = decode_image(_middle(path), **readings.of(names[numbers[number]]))
            cells = find_cells(pixels)
        except RedDinoError:
            continue
        if int((~cells.touches_border).sum()) >= _WHOLE and math.isfinite(cells.typical_diameter):
            found.append(float(cells.typical_diameter))
        if len(found) == _MEASURED:
            break
    if found:
        return SlideScale(float(np.median(found)), "measured", len(found))
    if um_per_px:
        return SlideScale(USUAL_UM / um_per_px, "micrometres")
    return SlideScale(float("nan"), "unknown")


def _middle(path: Path) -> Path:
    """Return the virtual path of the middle of a region."""
    part = split_slide(path)
    if part is None or part.rectangle is None:
        return path
    x, y, w, h = part.rectangle
    side = min(_MIDDLE, w), min(_MIDDLE, h)
    inner = (x + (w - side[0]) // 2, y + (h - side[1]) // 2, *side)
    return Path(str(SlidePart(part.file, part.scene, inner)))


def _likely(root: Path, names: Sequence[str]) -> list[int]:
    """Return regions in the order in which they are tried: those first that look like a monolayer.

    In the smallest copy of the slide these are neither glass nor dark. Among as many as would do, the order
    is drawn at random.
    """
    order = np.random.default_rng(0).permutation(len(names))
    part = split_slide(root / names[0])
    if part is None or part.rectangle is None:
        return [int(one) for one in order]
    with opened(part.file, part.scene or 0) as reader:
        level = len(reader.level_sizes) - 1
        size, factor = reader.level_sizes[level], reader.levels[level]
        if size[0] * size[1] > 40_000_000:
            return [int(one) for one in order]
        small = reader.read(0, 0, *size, level=level)[..., 1].astype(np.float32)
    light = float(np.percentile(small, 95))
    stain = []
    for name in names:
        own = split_slide(root / name)
        rectangle = own.rectangle if own and own.rectangle else (0, 0, 1, 1)
        x, y, w, h = (int(value / factor) for value in rectangle)
        tile = small[y : y + max(h, 1), x : x + max(w, 1)]
        stain.append(1.0 - float(tile.mean()) / light if tile.size else 0.0)
    values = np.array(stain)
    bare = values < 0.02
    typical = float(np.median(values[~bare])) if (~bare).any() else 0.0
    # Glass last; of the rest, the darker half (the thick part) after the paler one.
    group = np.where(bare, 2, np.where(values > typical, 1, 0))
    return sorted((int(one) for one in order), key=lambda one: int(group[one]))
