"""Survey slides and fields: find the cells of every region once, join them, and measure its squares.

Regions are read one after the other, several at once over the cores. What one holds is written to a folder
when it is done, so that a survey that was killed continues; the memory is that of the regions in work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from reddino.foundations.atomic import remove_partials
from reddino.foundations.cores import usable_cores
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.rbc.finding import segment_cells
from reddino.rbc.illumination import Plane
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.regions.artefacts import without_ink
from reddino.regions.measures import Core, light_of, measure_squares
from reddino.regions.places import Place, places_of
from reddino.regions.slide_scale import SlideScale, slide_scale
from reddino.regions.survey_parts import SurveyPart, empty_part, read_part, write_part
from reddino.smears.dealt_pictures import DealsPictures
from reddino.smears.decode import decode_image
from reddino.smears.failures import ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.smears.slides.names import SEPARATOR
from reddino.smears.slides.opening import opened

Progress = Callable[[int, int], None]
Real = npt.NDArray[np.float64]
log = logging.getLogger(__name__)

#: What a part was made by; a change of the finder or of the measures changes it.
FORMULA = "survey 1"
#: More regions at once take more memory than a pass may.
MOST_THREADS = 4
#: Red-cell diameters beyond its core in which a region's cells are kept for their neighbours.
_BEYOND = 0.75


@dataclass(frozen=True)
class Survey:
    """A survey of pictures and regions; parts are read on demand.

    Attributes:
        manifest: of the pictures.
        places: of each picture, in its order.
        scales: of slides, by their key.
        folder: of the parts.
    """

    manifest: Manifest
    places: list[Place]
    scales: dict[str, SlideScale]
    folder: Path
    _keys: list[str]

    def part(self, number: int) -> SurveyPart:
        """Return what picture `number` holds."""
        part = read_part(_part_path(self.folder, self.places[number]), self._keys[number])
        if part is None:
            raise RedDinoError(f"the survey in '{self.folder}' was changed; run the same command again")
        return part


def survey(
    manifest: Manifest,
    folder: Path | None,
    kept: ExitStack,
    *,
    threads: int = 0,
    progress: Progress | None = None,
    deal: DealsPictures | None = None,
) -> Survey:
    """Find the cells of all pictures and regions of a manifest, and measure their squares.

    Args:
        manifest: of pictures and regions of slides, without cells.
        folder: of the parts, from which a survey that was killed continues; None: a temporary one.
        kept: until it closes, a temporary folder is there.
        threads: regions in work at once; 0 takes a few, by the cores there are.
        progress: called with pictures done and pictures in all.
        deal: that has the regions surveyed; None: this process does it.
    """
    if folder is None:
        folder = Path(kept.enter_context(TemporaryDirectory(prefix="reddino-survey-")))
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    places = places_of(manifest)
    scales, lights = _of_slides(manifest, places)
    work = _Work(manifest, places, scales, lights, PictureDiameters(manifest))
    readings = Readings(manifest.table)
    keys = [
        _key(manifest, place, scales, float(given), readings.of(place.name))
        for place, given in zip(places, work.diameters.given, strict=True)
    ]
    missing = [n for n, key in enumerate(keys) if read_part(_part_path(folder, places[n]), key) is None]
    done = len(places) - len(missing)
    if done:
        log.info("%s of %s regions are surveyed already", f"{done:,}", f"{len(places):,}")

    def keep(number: int, part: SurveyPart) -> None:
        write_part(_part_path(folder, places[number]), keys[number], part)

    def here() -> Iterator[None]:
        with ThreadPoolExecutor(threads or min(MOST_THREADS, usable_cores()), "survey") as pool:
            try:
                yield from pool.map(lambda number: keep(number, work.part(number)), missing)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def elsewhere(deal: DealsPictures) -> Iterator[None]:
        with closing(deal.results(work.part, manifest, missing)) as parts:
            yield from map(keep, missing, parts)

    for finished, _ in enumerate(here() if deal is None else elsewhere(deal), start=1):
        if progress is not None:
            progress(done + finished, len(places))
    return Survey(manifest, places, scales, folder, keys)


def _part_path(folder: Path, place: Place) -> Path:
    # By its name: pictures that are added later change the numbers.
    return folder / f"{hash_bytes(place.name.encode())}.npz"


def _key(
    manifest: Manifest,
    place: Place,
    scales: dict[str, SlideScale],
    given: float,
    reading: Mapping[str, int],
) -> str:
    """Return what a part is made of: the formula, the picture's file, how it is read, and the scale.

    Args:
        manifest: of the picture.
        place: of the picture.
        scales: of slides, by their key.
        given: red-cell diameter by the manifest; NaN where it gives none.
        reading: focus plane, channel and depth, as `Readings` gives them.
    """
    state = place.state(manifest.root)
    scale = scales[place.slide_key].diameter if place.slide_key else given
    made_of = (FORMULA, place.name, state, place.core, round(scale, 6), sorted(reading.items()))
    return hash_bytes(repr(made_of).encode())


def _of_slides(
    manifest: Manifest, places: list[Place]
) -> tuple[dict[str, SlideScale], dict[str, Plane | None]]:
    """Return the scale of each slide and the light of empty glass in it."""
    regions: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        if place.slide_key:
            regions.setdefault(place.slide_key, []).append(number)
    scales: dict[str, SlideScale] = {}
    lights: dict[str, Plane | None] = {}
    for key, numbers in regions.items():
        first = places[numbers[0]]
        scales[key] = slide_scale(manifest, numbers, first.um_per_px)
        lights[key] = _light(manifest.root, first)
        log.info("%s", scales[key].sentence(first.slide, first.um_per_px))
    return scales, lights


def _light(root: Path, place: Place) -> Plane | None:
    """Return the log intensity (3,) of empty glass, by the smallest copy of a slide; None without one."""
    if place.part is None:
        return None
    try:
        with opened(root / place.part.file, place.part.scene or 0) as reader:
            level = len(reader.level_sizes) - 1
            width, height = reader.level_sizes[level]
            if width * height > 40_000_000:
                return None
            small = reader.read(0, 0, width, height, level=level)
    except ImageError:
        return None
    scanned = small[~(small == 255).all(axis=2)]
    return light_of(scanned[None]) if len(scanned) else None


@dataclass(frozen=True)
class _Work:
    """Surveys single pictures; calls from several threads are allowed."""

    manifest: Manifest
    places: list[Place]
    scales: dict[str, SlideScale]
    lights: dict[str, Plane | None]
    diameters: PictureDiameters

    def part(self, number: int) -> SurveyPart:
        """Return what picture `number` holds."""
        place = self.places[number]
        try:
            pixels = decode_image(
                self.manifest.root / place.name, **Readings(self.manifest.table).of(place.name)
            )
            diameter, origin = self._diameter(number, place, pixels)
            if not np.isfinite(diameter):
                return empty_part("no red cells stand out from the background")
            light = self.lights.get(place.slide_key)
            clean, ink = (pixels, None) if light is None else without_ink(pixels, light, diameter)
            found = segment_cells(clean, diameter, bears_bar=place.core is None)
        except ImageError as error:
            return empty_part(error.reason)
        height, width = pixels.shape[:2]
        core = place.core_within() or Core(0, 0, width, height)
        squares = measure_squares(pixels, found, diameter, core, light)
        cells = found.cells
        cut = cells.touches_border
        boxes = np.column_stack([cells.x, cells.y, cells.w, cells.h])
        if place.part is not None:
            cut = cut & place.at_slide_border(boxes)
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        own = _inside(centres, core, 0.0)
        near = _inside(centres, core, _BEYOND * diameter)
        if ink is not None:
            near &= ~_touched(boxes, ink)
        table = np.column_stack([boxes, own, cut, _square(centres, squares)])[near]
        return SurveyPart(table.astype(np.float64), squares, diameter, origin)

    def _diameter(self, number: int, place: Place, pixels: npt.NDArray[np.uint8]) -> tuple[float, str]:
        """Return the red-cell diameter of a picture, and where it is from."""
        scale = self.scales.get(place.slide_key)
        # A few small rectangles of someone's own may show the scale of themselves alone.
        if scale is not None and (np.isfinite(scale.diameter) or place.region is not None):
            return scale.diameter, scale.origin
        found = self.diameters.of(number, pixels)
        return found.diameter, found.origin


def _inside(centres: Real, core: Core, beyond: float) -> npt.NDArray[np.bool_]:
    """Return which centres (n, 2) lie within a core, or this far beyond it."""
    x, y = centres.T
    return np.asarray(
        (x >= core.x - beyond)
        & (y >= core.y - beyond)
        & (x < core.x + core.w + beyond)
        & (y < core.y + core.h + beyond)
    )


def _touched(boxes: Real, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which boxes (n, 4) a mask reaches into."""
    return np.array(
        [
            mask[max(int(y), 0) : int(np.ceil(y + h)), max(int(x), 0) : int(np.ceil(x + w))].any()
            for x, y, w, h in boxes
        ],
        np.bool_,
    )


def _square(centres: Real, squares: Real) -> npt.NDArray[np.int64]:
    """Return the square (n,) of each centre, the nearest for those beyond the core."""
    if not len(squares) or not len(centres):
        return np.full(len(centres), -1, np.int64)
    w, h = squares[0, 2:4]
    columns = 1 + round((squares[:, 0].max() - squares[0, 0]) / w)
    rows = len(squares) // columns
    c = np.clip(np.floor((centres[:, 0] - squares[0, 0]) / w), 0, columns - 1)
    r = np.clip(np.floor((centres[:, 1] - squares[0, 1]) / h), 0, rows - 1)
    return np.asarray(r * columns + c, np.int64)


def has_regions(manifest: Manifest) -> bool:
    """Return whether a manifest has regions of slides, which are surveyed and not found one by one."""
    # A million plain pictures are not looked at one by one. A manifest may hold regions without their column.
    named = any(SEPARATOR in name for name in manifest.images()[0])
    return named and any(place.slide_key for place in places_of(manifest))
