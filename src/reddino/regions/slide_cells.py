"""The cells of surveyed slides and pictures as a manifest, each once, with the square that it lies in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.foundations.counting import counted
from reddino.foundations.errors import NothingFoundError
from reddino.rbc.found_cells import find_cells_in, of_pictures
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.regions.choices import FAULTS, From
from reddino.regions.choosing import spread_over
from reddino.regions.joining import kept_once
from reddino.regions.monolayer import square_scores
from reddino.regions.quality import SlideQuality, judged_slides
from reddino.regions.survey import Survey, has_regions, survey
from reddino.smears.column_names import AT_BORDER, LEVEL0_X, LEVEL0_Y, MONOLAYER, require_free
from reddino.smears.dealt_pictures import DealsPictures
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.slides.identity import require_distinct_slides

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
log = logging.getLogger(__name__)

#: The column of the verdict on the square that a cell lies in.
QUALITY = "quality"


@dataclass(frozen=True)
class Chosen:
    """Which cells of a survey are taken.

    Attributes:
        start: where they lie: `all`, `usable` (where no fault lies) or `monolayer`.
        cells: how many of each slide, spread over the best squares; None: all.
        seed: of the choice.
    """

    start: From = "all"
    cells: int | None = None
    seed: int = 0


def find_all_cells(
    manifest: Manifest,
    *,
    folder: Path | None = None,
    chosen: Chosen | None = None,
    failures: Failures | None = None,
    progress: Callable[[int, int], None] | None = None,
    pictures: PictureDiameters | None = None,
    threads: int = 0,
    deal: DealsPictures | None = None,
) -> Manifest:
    """Find the red cells of pictures and of whole slides; the one way of `cells`, `embed` and `predict`.

    Pictures alone are searched one after the other (`reddino.rbc.found_cells`); with regions of slides among
    them, or where cells are chosen by quality, all are surveyed.

    Args:
        manifest: of pictures and regions, without cells.
        folder: of the survey, from which one that was killed continues; None: a temporary one.
        chosen: which cells are taken; None: all.
        failures: takes what could not be read, and shows no cells.
        progress: called with pictures done and pictures in all.
        pictures: measures the manifest's pictures, where no slide is among them.
        threads: regions in work at once; 0 takes a few.
        deal: that has pictures and regions searched; None: this process does it.

    Returns:
        A row for each cell, as of `find_cells_in`; of slides with the columns `level0_x` and `level0_y` (the
        cell's centre in the slide), `quality` and `monolayer`.

    Raises:
        RedDinoError: the manifest has a column of such a name, or a slide under two names.
    """
    require_distinct_slides(manifest)
    if chosen is None and not has_regions(manifest):
        return find_cells_in(manifest, failures=failures, progress=progress, pictures=pictures, deal=deal)
    needed = (QUALITY, MONOLAYER, *((LEVEL0_X, LEVEL0_Y) if has_regions(manifest) else ()))
    require_free(manifest.table.column_names, needed, "a survey of slides")
    failures = Failures() if failures is None else failures
    with ExitStack() as kept:
        made = survey(manifest, folder, kept, threads=threads, progress=progress, deal=deal)
        return cells_of(made, Chosen() if chosen is None else chosen, failures)


def cells_of(made: Survey, chosen: Chosen, failures: Failures) -> Manifest:
    """Return the chosen cells of a survey, in the order of its pictures."""
    found = [_of_picture(made, number, failures) for number in range(len(made.places))]
    keep = _once(made, found)
    qualities = judged_slides(made)
    image = np.repeat(np.arange(len(found)), [len(one) for one in found])
    cells = np.concatenate(found) if found else np.empty((0, 7))
    picked = np.flatnonzero(keep)
    squares = _squares(qualities, image[picked], cells[picked, 6].astype(np.int64))
    taken = _taken(qualities, chosen, squares)
    _report(qualities, chosen, len(picked), len(taken))
    picked = picked[taken]
    return _manifest(made, image[picked], cells[picked], squares.select(taken))


def _of_picture(made: Survey, number: int, failures: Failures) -> Real:
    """Return the cells (n, 7) of a picture."""
    part, place = made.part(number), made.places[number]
    if part.failure:
        failures.add(made.manifest.root / place.name, part.failure)
    elif not len(part.cells) and place.region is None:
        failures.add(made.manifest.root / place.name, "no red cells stand out from the background")
    return part.cells


def _once(made: Survey, found: list[Real]) -> npt.NDArray[np.bool_]:
    """Return which of all cells (n,) are kept, so that those of a slide are kept once."""
    keep = np.concatenate([one[:, 4] > 0 for one in found] or [np.empty(0, np.bool_)])
    starts = np.concatenate([[0], np.cumsum([len(one) for one in found])]).astype(np.int64)
    slides: dict[str, list[int]] = {}
    for number, place in enumerate(made.places):
        if place.slide_key:
            slides.setdefault(place.slide_key, []).append(number)
    for key, numbers in slides.items():
        rows = np.concatenate([np.arange(starts[n], starts[n + 1]) for n in numbers])
        boxes = np.concatenate([_at_level0(made, n, found[n]) for n in numbers])
        region = np.repeat(numbers, [len(found[n]) for n in numbers])
        cut = np.concatenate([found[n][:, 5] > 0 for n in numbers])
        keep[rows] = kept_once(boxes, region, keep[rows], _diameter(made, key, numbers), cut=cut)
    return np.asarray(keep, np.bool_)


def _diameter(made: Survey, key: str, numbers: list[int]) -> float:
    """Return the red-cell diameter of a slide, or the median of its pictures where each has its own."""
    own = np.array([made.scales[key].diameter, *(made.part(n).diameter for n in numbers)])
    known = own[np.isfinite(own)]
    return float(own[0] if np.isfinite(own[0]) or not len(known) else np.median(known))


def _at_level0(made: Survey, number: int, cells: Real) -> Real:
    """Return the boxes (n, 4) of a picture's cells in its slide."""
    return np.asarray(cells[:, :4] + np.array([*made.places[number].corner, 0, 0]))


@dataclass(frozen=True)
class _SquareOfCells:
    """What is known of the squares that cells (n,) lie in: picture, number, verdict, area and score."""

    image: Numbers
    number: Numbers
    verdict: npt.NDArray[np.object_]
    area: Numbers
    score: Real

    def select(self, which: Numbers) -> _SquareOfCells:
        """Return those of some cells."""
        return _SquareOfCells(*(values[which] for values in vars(self).values()))


def _squares(qualities: list[SlideQuality], image: Numbers, square: Numbers) -> _SquareOfCells:
    """Return the squares that cells (n,) lie in."""
    verdict = np.full(len(image), "", dtype=object)
    area, score = np.zeros(len(image), np.int64), np.zeros(len(image))
    for one in qualities:
        scores = square_scores(one.squares)
        table = {
            (int(i), int(s)): row for row, (i, s) in enumerate(zip(one.picture, one.number, strict=True))
        }
        for cell in np.flatnonzero(np.isin(image, one.picture)).tolist():
            row = table.get((int(image[cell]), int(square[cell])))
            if row is not None:
                verdict[cell], area[cell], score[cell] = one.verdicts[row], one.areas[row], scores[row]
    return _SquareOfCells(image, square, verdict, area, score)


def _taken(qualities: list[SlideQuality], chosen: Chosen, squares: _SquareOfCells) -> Numbers:
    """Return the cells that are taken, of those that are kept."""
    area = squares.area
    fit = np.ones(len(area), np.bool_)
    if chosen.start == "usable":
        fit = ~np.isin(squares.verdict, list(FAULTS))
    elif chosen.start == "monolayer":
        fit = area > 0
    if chosen.cells is None:
        return np.flatnonzero(fit)
    taken = []
    for one in qualities:
        mine = np.flatnonzero(fit & np.isin(squares.image, one.picture))
        # Areas of the monolayer one after the other, the best squares first.
        rank = np.where(area[mine] > 0, area[mine], area.max() + 1)
        place = squares.image[mine] * 100_000 + squares.number[mine]
        taken.append(mine[spread_over(place, rank, squares.score[mine], chosen.cells, chosen.seed)])
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, np.int64)


def _report(qualities: list[SlideQuality], chosen: Chosen, cells: int, taken: int) -> None:
    """Log what the survey found, and what is left out."""
    for one in qualities:
        log.info("%s", one.sentence())
    if taken < cells:
        log.info(
            "%s of %s are taken (from %s%s)",
            f"{taken:,}",
            counted(cells, "cell"),
            chosen.start,
            "" if chosen.cells is None else f", {chosen.cells:,} of each slide, seed {chosen.seed}",
        )
    if cells and not taken:
        raise NothingFoundError(
            f"none of {counted(cells, 'cell')} lies in '{chosen.start}': take them from all, or look at the "
            "map of reddino quality"
        )


def _manifest(made: Survey, image: Numbers, cells: Real, squares: _SquareOfCells) -> Manifest:
    """Return a manifest with a row for each cell."""
    codes = made.manifest.images()[1]
    first = np.unique(codes, return_index=True)[1]
    about = of_pictures(made.manifest, first[codes]).take(first[image])
    diameters = np.array([made.part(number).diameter for number in range(len(made.places))])
    for side, name in enumerate(("x", "y", "w", "h")):
        about = about.append_column(name, pa.array(cells[:, side], pa.float64()))
    about = about.append_column("cell_diameter", pa.array(diameters[image], pa.float64()))
    about = about.append_column(AT_BORDER, pa.array(cells[:, 5] > 0, pa.bool_()))
    if has_regions(made.manifest):
        corner = np.array([place.corner for place in made.places], np.float64).reshape(-1, 2)[image]
        centre = np.round(corner + cells[:, :2] + cells[:, 2:4] / 2, 2)
        for axis, name in enumerate((LEVEL0_X, LEVEL0_Y)):
            about = about.append_column(name, pa.array(centre[:, axis]).cast(pa.string()))
    about = about.append_column(QUALITY, pa.array(squares.verdict.tolist(), pa.string()))
    about = about.append_column(
        MONOLAYER, pa.array([str(one) if one else "" for one in squares.area.tolist()])
    )
    return Manifest(about, made.manifest.root)
