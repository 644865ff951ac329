"""What slides and fields are worth: quality."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reddino.api.arguments import Advance, numbers_in_range
from reddino.api.sole_writer import sole_writer
from reddino.figures.canvas import save_figure
from reddino.figures.quality_maps import MOST_FIELDS, field_sheet, quality_map
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv
from reddino.foundations.provenance import provenance
from reddino.regions.quality import RegionRow, SlideQuality, judged_slides, region_rows, summary
from reddino.regions.survey import Survey, survey
from reddino.smears.choices import Subfolders
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.opening import Data, open_data
from reddino.smears.readings import Readings
from reddino.smears.slides.identity import require_distinct_slides
from reddino.smears.slides.opening import opened

log = logging.getLogger(__name__)

#: The files of a result.
REGIONS_FILE, SUMMARY_FILE, SURVEY_FOLDER = "quality.csv", "quality.json", "_survey"
#: Longest side of a thumbnail of a field, and pixels of a slide's smallest copy that are read at most.
_THUMBNAIL, _MOST = 320, 60_000_000


@dataclass(frozen=True)
class Quality:
    """The quality of slides and fields.

    Attributes:
        rows: of quality.csv, one a region or picture.
        slides: their squares and verdicts; plain pictures by source.
        maps: files with pictures.
    """

    rows: tuple[RegionRow, ...]
    slides: tuple[SlideQuality, ...]
    maps: tuple[Path, ...]

    def summaries(self) -> list[tuple[str, str, str]]:
        """Return of each slide its name, what lies on it, and its monolayer."""
        return [(one.name, one.sentence().partition(": ")[2], summary(one)) for one in self.slides]


@numbers_in_range
@sole_writer(folders=("out",))
def quality(
    data: Data | Sequence[Data],
    out: str | Path,
    *,
    threads: int = 0,
    subfolders: Subfolders = "auto",
    failures: Failures | None = None,
    progress: Advance | None = None,
) -> Quality:
    """Measure what regions of slides, or fields, are worth, and where the monolayer lies.

    Args:
        data: whole slides, or pictures of fields, as of `cells`.
        out: folder for quality.csv (a row for each region), quality.json and a map of each slide; a survey
            that was stopped continues there.
        threads: regions in work at once; 0 takes a few, by the cores there are.
        subfolders: what those of a folder of images stand for; `auto`: what their names look like.
        failures: takes what cannot be read or shows no cells.
        progress: called with regions done and regions in all.

    Raises:
        RedDinoError: nothing that could be read, a slide under two names, or a manifest that lists cells.
    """
    failures = Failures() if failures is None else failures
    manifest = open_data(data, failures, subfolders=subfolders)
    if manifest.is_cell().any():
        raise RedDinoError(
            "quality is measured of whole pictures, and the manifest lists cells: give the pictures"
        )
    require_distinct_slides(manifest)
    folder = Path(out)
    with ExitStack() as kept:
        made = survey(manifest, folder / SURVEY_FOLDER, kept, threads=threads, progress=progress)
        _note_failures(made, failures)
        slides = judged_slides(made)
        if not any(len(one.verdicts) for one in slides):
            raise RedDinoError(f"no region could be measured: {failures.summary()}")
        rows = region_rows(made, slides)
        header = list(RegionRow.__dataclass_fields__)
        write_csv(
            folder / REGIONS_FILE, header, [[_shown(value) for value in vars(row).values()] for row in rows]
        )
        write_text(folder / SUMMARY_FILE, json.dumps(_about(made, slides), indent=2) + "\n")
        files = _map_files(folder, slides)
        maps = [
            path for one, file in zip(slides, files, strict=True) for path in _draw(made, one, rows, file)
        ]
    return Quality(tuple(rows), tuple(slides), tuple(maps))


def _shown(value: object) -> str:
    """Return a value of quality.csv; nothing for what was not measured."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def _note_failures(made: Survey, failures: Failures) -> None:
    for number, place in enumerate(made.places):
        if reason := made.part(number).failure:
            failures.add(made.manifest.root / place.name, reason)


def _about(made: Survey, slides: Sequence[SlideQuality]) -> dict[str, object]:
    """Return quality.json."""
    return {
        "slides": [
            {
                "name": one.name,
                "verdicts": one.sentence(),
                "monolayer": summary(one),
                "cell_diameter_px": None if math.isnan(one.diameter) else round(one.diameter, 3),
                "scale": made.scales[one.slide_key].origin if one.slide_key else "each picture's own",
                "um_per_px": one.um_per_px,
            }
            for one in slides
        ],
        "provenance": provenance(seed=None, data=made.manifest.fingerprint(), model=None),
    }


def _map_files(folder: Path, slides: Sequence[SlideQuality]) -> list[Path]:
    """Return the file of each map; slides of one name, such as those of two sources, are numbered."""
    taken: set[str] = set()
    files = []
    for one in slides:
        plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in one.name)
        name, number = plain or "fields", 1
        # Disks that take capitals for small letters would write one over the other too.
        while name.lower() in taken:
            number += 1
            name = f"{plain or 'fields'}-{number}"
        taken.add(name.lower())
        files.append(folder / f"{name}.quality.png")
    return files


def _draw(made: Survey, one: SlideQuality, rows: Sequence[RegionRow], path: Path) -> list[Path]:
    """Draw the map of a slide, or a sheet of the fields of a source; return its file, if there is one."""
    if not len(one.verdicts):
        return []
    if not one.slide_key:
        return _draw_fields(made, one, rows, path)
    place = made.places[int(one.picture[0])]
    if place.part is None or place.size is None:
        return []
    try:
        with opened(made.manifest.root / place.part.file, place.part.scene or 0) as reader:
            level = len(reader.level_sizes) - 1
            width, height = reader.level_sizes[level]
            if width * height > _MOST:
                log.warning("no map of %s: it holds no smaller copy of itself to draw on", one.name)
                return []
            thumbnail = reader.read(0, 0, width, height, level=level)
    except ImageError as error:
        log.warning("no map of %s: %s", one.name, error.reason)
        return []
    title = f"{one.name}: {summary(one)}"
    save_figure(quality_map(thumbnail, place.size, one.squares, one.verdicts, one.areas, title=title), path)
    return [path]


def _draw_fields(made: Survey, one: SlideQuality, rows: Sequence[RegionRow], path: Path) -> list[Path]:
    """Draw some fields of a source, spread over their ranks."""
    verdicts = {row.path: row for row in rows}
    numbers = sorted(set(one.picture.tolist()), key=lambda n: verdicts[made.places[n].name].rank)
    chosen = [numbers[int(i)] for i in np.unique(np.linspace(0, len(numbers) - 1, MOST_FIELDS).round())]
    readings = Readings(made.manifest.table)
    pictures, titles = [], []
    for number in chosen:
        name = made.places[number].name
        try:
            pixels = decode_image(made.manifest.root / name, **readings.of(name))
        except ImageError:
            continue
        scale = _THUMBNAIL / max(pixels.shape[:2])
        pictures.append(
            np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        )
        titles.append(verdicts[name].verdict)
    if not pictures:
        return []
    save_figure(field_sheet(pictures, titles), path)
    return [path]
