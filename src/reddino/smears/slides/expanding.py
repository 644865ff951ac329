"""Rows of a manifest that name a microscope file: a row for each of its pictures, or of its regions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.column_names import REGION, REGION_X, REGION_Y, UM_PER_PX, require_free
from reddino.smears.failures import Failures, ImageError
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.slides.dicom_series import base_file
from reddino.smears.slides.listing import SlidePicture, distinct_names, slide_pictures, whole_file
from reddino.smears.slides.names import DICOM, SlidePart, split_slide

#: The size of a pixel by the manifest and by the file may differ by so much.
_AGREE = 0.02


@dataclass(frozen=True)
class _Slides:
    """The microscope files among the images of a manifest.

    Attributes:
        names: of all images, as they stand in the manifest.
        codes: (n,) which image each row is of.
        pictures: of the microscope files, by number of the image.
    """

    names: Sequence[str]
    codes: NDArray[np.int64]
    pictures: dict[int, list[SlidePicture]]


def with_slides(manifest: Manifest, failures: Failures | None = None) -> Manifest:
    """Put the pictures of microscope files in the place of the rows that name the files.

    A row without coordinates becomes a row for each picture; one with coordinates, which are those of
    level 0, goes to the region in which the cell lies. What the manifest has as `slide` and `um_per_px`
    stays. Of the files of a DICOM slide, those of the smaller levels are passed over.

    Args:
        manifest: of any pictures; what names none or a part of a microscope file stays as it is.
        failures: takes files that cannot be opened, whose rows are left out; None keeps their rows, so that
            whoever decodes them finds out.

    Raises:
        RedDinoError: the manifest has columns of its own that regions need.
    """
    names, codes = manifest.images()
    parts = {number: part for number, name in enumerate(names) if (part := whole_file(manifest.root / name))}
    if not parts:
        return manifest
    pictures: dict[int, list[SlidePicture]] = {}
    lost: list[int] = []
    known = {part.file for part in parts.values()}
    called = _called(manifest, codes, parts)
    for number, part in watched(list(parts.items()), "opening slides"):
        try:
            if _is_other_level(part.file, known):
                lost.append(number)
            else:
                pictures[number] = slide_pictures(part, called.get(number))
        except ImageError as error:
            if failures is not None:
                failures.add(error.path, error.reason)
                lost.append(number)
    if lost:
        kept = ~np.isin(codes, lost)
        manifest, codes = manifest.select(kept), codes[kept]
    return _expanded(manifest, _Slides(names, codes, pictures)) if pictures else manifest


def _called(manifest: Manifest, codes: NDArray[np.int64], parts: Mapping[int, SlidePart]) -> dict[int, str]:
    """Return what slides are called, by number of the image; DICOM slides are left out."""
    first = np.unique(codes, return_index=True)[1]
    sources = manifest.strings("source")
    # The levels of a DICOM slide are files of one name, and a name of their own in their folder.
    named = {
        number: (sources[first[number]], part.file)
        for number, part in parts.items()
        if not part.file.name.lower().endswith(DICOM)
    }
    names = {
        source: distinct_names(one for one in named.values() if one[0] == source)
        for source, _ in named.values()
    }
    return {number: names[source][file] for number, (source, file) in named.items()}


def _is_other_level(file: Path, known: set[Path]) -> bool:
    """Return whether a file is a smaller level of a DICOM slide that is among the images already."""
    if not file.name.lower().endswith(DICOM):
        return False
    base = base_file(file)
    return base != file and base in known


def _expanded(manifest: Manifest, slides: _Slides) -> Manifest:
    rows, chosen = _rows(manifest, slides)
    cut = {row for row, one in zip(rows, chosen, strict=True) if one is not None and one.number is not None}
    for name in (REGION, REGION_X, REGION_Y):
        given = _texts(manifest, name)
        if any(given[row] for row in cut):
            require_free([name], [name], "the regions of a slide")
    result = manifest.select(rows)
    for name, values in _columns(manifest, rows, chosen).items():
        if any(values) or name in manifest.table.column_names:
            result = result.with_column(name, pa.array([value or None for value in values], pa.string()))
    if manifest.is_cell().any():
        for axis, name in enumerate("xy"):
            corners = [one.part.rectangle[axis] if one and one.part.rectangle else 0 for one in chosen]
            moved = result.numbers(name) - np.array(corners, np.float64)
            result = result.with_column(name, pa.array(moved, from_pandas=True))
    findings = [*result.findings, *_findings(manifest, slides)]
    return replace(result, findings=tuple(dict.fromkeys(findings)))


def _rows(manifest: Manifest, slides: _Slides) -> tuple[list[int], list[SlidePicture | None]]:
    """Return the rows of the manifest, some of them several times, and the picture that each is of."""
    centres = manifest.centres()
    rows: list[int] = []
    chosen: list[SlidePicture | None] = []
    for row, number in enumerate(slides.codes.tolist()):
        several: list[SlidePicture | None] = [*slides.pictures.get(number, [None])]
        if number in slides.pictures and not np.isnan(centres[row, 0]):
            several = [_around(centres[row], slides.pictures[number], manifest.place(row))]
        rows += [row] * len(several)
        chosen += several
    return rows, chosen


def _columns(
    manifest: Manifest, rows: Sequence[int], chosen: Sequence[SlidePicture | None]
) -> dict[str, list[str]]:
    """Return the text columns of the new rows; "" where they have none."""
    paths, slides = manifest.strings("path"), manifest.strings("slide")
    scales, given = (
        _texts(manifest, UM_PER_PX),
        [_texts(manifest, name) for name in (REGION, REGION_X, REGION_Y)],
    )
    pictures = list(zip(rows, chosen, strict=True))
    corners = [one.part.rectangle if one else None for one in chosen]
    return {
        "path": [paths[row] if one is None else _renamed(paths[row], one.part) for row, one in pictures],
        "slide": [slides[row] or (one.slide if one else "") for row, one in pictures],
        UM_PER_PX: [
            scales[row] or (f"{one.um_per_px:.6g}" if one and one.um_per_px else "") for row, one in pictures
        ],
        REGION: [
            given[0][row] if one is None or one.number is None else str(one.number) for row, one in pictures
        ],
        REGION_X: [
            given[1][row] if at is None else str(at[0]) for row, at in zip(rows, corners, strict=True)
        ],
        REGION_Y: [
            given[2][row] if at is None else str(at[1]) for row, at in zip(rows, corners, strict=True)
        ],
    }


def _around(centre: NDArray[np.float64], several: list[SlidePicture], place: str) -> SlidePicture:
    """Return the picture in whose core a cell lies; of one outside of the slide the first, which refuses."""
    if len({one.part.scene for one in several}) > 1:
        name = several[0].part.file.name
        raise RedDinoError(
            f"{place}: its file has several scenes; name the one of the cell, such as {name}::s0"
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


def _texts(manifest: Manifest, name: str) -> list[str]:
    """Return a column by row; "" where the manifest has no value, or no such column."""
    return manifest.strings(name) if name in manifest.table.column_names else [""] * len(manifest)


def _findings(manifest: Manifest, slides: _Slides) -> Iterator[Finding]:
    """Yield notes for users on the scale of the slides that were opened."""
    given = {
        int(number): scale
        for number, scale in zip(slides.codes, _texts(manifest, UM_PER_PX), strict=True)
        if scale
    }
    stated = {number: several[0].um_per_px for number, several in slides.pictures.items()}
    conflicts = [
        f"{slides.names[number]} ({given[number]} in the manifest, {own:.4g} in the file)"
        for number, own in stated.items()
        if own is not None and number in given and _differ(given[number], own)
    ]
    if conflicts:
        yield Finding(
            "sizes of a pixel differ",
            f"the manifest gives {counted(len(conflicts), 'slide')} another um_per_px than the file states; "
            "that of the manifest is used",
            len(conflicts),
            conflicts[0],
        )
    unknown = [number for number, own in stated.items() if own is None and number not in given]
    if unknown:
        yield Finding(
            "slides without scale",
            f"{counted(len(unknown), 'microscope file')} without the size of a pixel; where micrometres are "
            "needed, fill the column um_per_px of a manifest",
            len(unknown),
            slides.names[unknown[0]],
            harmless=True,
        )


def _differ(given: str, stated: float) -> bool:
    try:
        return math.isfinite(float(given)) and abs(float(given) / stated - 1) > _AGREE
    except ValueError:
        return False
