"""Rows of a manifest that name a microscope file: a row for each of its pictures, or of its regions.

A scene that is small enough is one picture; a larger one becomes its regions (`slide_regions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.column_names import require_free
from reddino.smears.failures import Failures, ImageError
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.slides.files import is_large_pyramid
from reddino.smears.slides.interface import Rectangle, SlideReader
from reddino.smears.slides.names import SlidePart, split_slide
from reddino.smears.slides.opening import opened
from reddino.smears.slides.regions import is_one_picture, slide_regions

#: Columns of the regions of a slide: their number in reading order, and where they lie in it, in pixels.
REGION, LEVEL0_X, LEVEL0_Y = "region", "level0_x", "level0_y"
#: Micrometres of a pixel.
UM_PER_PX = "um_per_px"
#: The size of a pixel by the manifest and by the file may differ by so much.
_AGREE = 0.02


@dataclass(frozen=True)
class SlidePicture:
    """A picture of a microscope file.

    Attributes:
        part: what its path names.
        slide: stem of the file's name, with the scene where there are several.
        um_per_px: None where the file does not state it.
        number: of the region, from 0; None of a scene that is one picture.
        core: the region's own part, in pixels of level 0.
    """

    part: SlidePart
    slide: str
    um_per_px: float | None
    number: int | None
    core: Rectangle


def slide_pictures(part: SlidePart) -> list[SlidePicture]:
    """Return the pictures of a microscope file, or of one scene of it, in reading order.

    Raises:
        ImageError: it cannot be opened.
    """
    with opened(part.file, part.scene or 0) as reader:
        scenes = range(reader.scenes) if part.scene is None else [part.scene]
        several = reader.scenes > 1
    found: list[SlidePicture] = []
    for scene in scenes:
        with opened(part.file, scene) as reader:
            found += _of_scene(reader, SlidePart(part.file, scene if several else None))
    return found


def _of_scene(reader: SlideReader, part: SlidePart) -> list[SlidePicture]:
    stem = part.file.name.split(".")[0] or part.file.name
    slide = stem if part.scene is None else f"{stem}-s{part.scene}"
    if is_one_picture(reader):
        return [SlidePicture(part, slide, reader.um_per_px, None, (0, 0, *reader.size))]
    return [
        SlidePicture(
            replace(part, rectangle=region.rectangle), slide, reader.um_per_px, region.number, region.core
        )
        for region in slide_regions(reader)
    ]


def with_slides(manifest: Manifest, failures: Failures | None = None) -> Manifest:
    """Put the pictures of microscope files in the place of the rows that name the files.

    A row without coordinates becomes a row for each picture; one with coordinates, which are those of level 0,
    goes to the region in which the cell lies. What the manifest says of `slide` and `um_per_px` stays.

    Args:
        manifest: of any pictures; what names none or a part of a microscope file stays as it is.
        failures: takes files that cannot be opened, whose rows are left out; None keeps their rows, so that
            whoever decodes them finds out.

    Raises:
        RedDinoError: the manifest has columns of its own that regions need.
    """
    names, codes = manifest.images()
    parts = {number: part for number, name in enumerate(names) if (part := _whole_file(manifest.root / name))}
    if not parts:
        return manifest
    pictures: dict[int, list[SlidePicture]] = {}
    lost: list[int] = []
    for number, part in watched(list(parts.items()), "opening slides"):
        try:
            pictures[number] = slide_pictures(part)
        except ImageError as error:
            if failures is not None:
                failures.add(error.path, error.reason)
                lost.append(number)
    if lost:
        manifest = manifest.select(~np.isin(codes, lost))
        codes = codes[~np.isin(codes, lost)]
    return _expanded(manifest, codes, names, pictures) if pictures else manifest


def _whole_file(path: Path) -> SlidePart | None:
    """Return the microscope file that a path names whole; None of a plain picture, or a part."""
    part = split_slide(path)
    if part is None:
        return SlidePart(path) if is_large_pyramid(path) else None
    return part if part.rectangle is None else None


def _expanded(
    manifest: Manifest,
    codes: NDArray[np.int64],
    names: Sequence[str],
    pictures: dict[int, list[SlidePicture]],
) -> Manifest:
    if any(one.number is not None for several in pictures.values() for one in several):
        require_free(manifest.table.column_names, [REGION, LEVEL0_X, LEVEL0_Y], "the regions of a slide")
    rows, chosen = _rows(manifest, codes, names, pictures)
    paths, places = _column(manifest, "path"), manifest.centres()
    slides, scales = _column(manifest, "slide"), _column(manifest, UM_PER_PX)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("path", "slide", UM_PER_PX, REGION, LEVEL0_X, LEVEL0_Y)
    }
    for row, one in zip(rows, chosen, strict=True):
        columns["path"].append(paths[row] if one is None else _renamed(paths[row], one.part))
        columns["slide"].append(slides[row] or (one.slide if one else None))
        columns[UM_PER_PX].append(scales[row] or (f"{one.um_per_px:.6g}" if one and one.um_per_px else None))
        region = one.part.rectangle if one else None
        columns[REGION].append(None if one is None or one.number is None else str(one.number))
        columns[LEVEL0_X].append(None if region is None else str(region[0]))
        columns[LEVEL0_Y].append(None if region is None else str(region[1]))
    result = manifest.select(rows)
    for name, values in columns.items():
        if any(value is not None for value in values) or name in manifest.table.column_names:
            result = result.with_column(name, pa.array(values, pa.string()))
    for axis, name in enumerate("xy"):
        shift = np.array(
            [float(one.part.rectangle[axis]) if one and one.part.rectangle else 0.0 for one in chosen]
        )
        if shift.any() and not np.isnan(places).all():
            values = result.numbers(name) - shift
            result = result.with_column(name, pa.array(values, from_pandas=True))
    findings = [*result.findings, *_findings(manifest, codes, names, pictures, scales)]
    return replace(result, findings=tuple(dict.fromkeys(findings)))


def _rows(
    manifest: Manifest,
    codes: NDArray[np.int64],
    names: Sequence[str],
    pictures: dict[int, list[SlidePicture]],
) -> tuple[list[int], list[SlidePicture | None]]:
    """Return the rows of the manifest, some of them several times, and the picture that each is of."""
    centres = manifest.centres()
    rows: list[int] = []
    chosen: list[SlidePicture | None] = []
    for row, number in enumerate(codes.tolist()):
        several: Iterable[SlidePicture | None] = pictures.get(number, [None])
        if number in pictures and not np.isnan(centres[row, 0]):
            several = [_around(centres[row], pictures[number], names[number], manifest.place(row))]
        for one in several:
            rows.append(row)
            chosen.append(one)
    return rows, chosen


def _around(centre: NDArray[np.float64], several: list[SlidePicture], name: str, place: str) -> SlidePicture:
    """Return the picture in whose core a cell lies; of one outside of the slide the first, which refuses it."""
    if len({one.part.scene for one in several}) > 1:
        raise RedDinoError(
            f"{place}: the cell lies in one of the scenes of {name}; name it in the path ({Path(name).name}::s0)"
        )
    for one in several:
        x, y, w, h = one.core
        if x <= centre[0] < x + w and y <= centre[1] < y + h:
            return one
    return several[0]


def _renamed(path: str, part: SlidePart) -> str:
    """Return the path of a manifest's row with the scene and rectangle of a part."""
    known = split_slide(path)
    file = Path(path) if known is None else known.file
    return SlidePart(file, part.scene, part.rectangle).as_posix()


def _column(manifest: Manifest, name: str) -> list[str]:
    found = name in manifest.table.column_names
    return manifest.strings(name) if found else [""] * len(manifest)


def _findings(
    manifest: Manifest,
    codes: NDArray[np.int64],
    names: Sequence[str],
    pictures: dict[int, list[SlidePicture]],
    scales: list[str],
) -> Iterable[Finding]:
    """Return what users should know of the slides that were opened."""
    given = {int(number): scale for number, scale in zip(codes, scales, strict=True) if scale}
    conflicts = []
    for number, several in pictures.items():
        stated = several[0].um_per_px
        try:
            own = float(given.get(number, "nan"))
        except ValueError:
            continue
        if stated is not None and own == own and abs(own / stated - 1) > _AGREE:
            conflicts.append(f"{names[number]} ({own:g} in the manifest, {stated:.4g} in the file)")
    if conflicts:
        yield Finding(
            "sizes of a pixel differ",
            f"the um_per_px of {counted(len(conflicts), 'slide')} is another in the manifest than in the file; "
            "that of the manifest is used",
            len(conflicts),
            conflicts[0],
        )
    unknown = [
        number for number, several in pictures.items() if several[0].um_per_px is None and number not in given
    ]
    if unknown:
        yield Finding(
            "slides without scale",
            f"{counted(len(unknown), 'microscope file')} that do not state the size of a pixel; where micrometres "
            "are needed, fill the column um_per_px of a manifest",
            len(unknown),
            names[unknown[0]],
            harmless=True,
        )
