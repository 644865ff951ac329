"""A folder of whole slides and microscope files, of any mix of formats: a row for each, or for each scene."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Rows, Value, find_files, note_unread
from reddino.smears.slides.dicom_series import base_file
from reddino.smears.slides.interface import SlideReader
from reddino.smears.slides.listing import distinct_names, slide_name, whole_file
from reddino.smears.slides.names import DICOM, SLIDE_SUFFIXES, TIFF, SlidePart
from reddino.smears.slides.opening import opened


def read_slides(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """List the slides below a folder with their scale, scanner and size; no label or overview is opened.

    Plain pictures are passed over: TIFF files are slides where they are large pyramids.

    Args:
        folder: the collection.
        source: laboratory, camera or stain; the folder's name if None.
        slide: regular expression with a group `(?P<slide>...)`, searched for in the relative path; None: the
            stem of the file, with its folder where several have that stem.
        patient: the same with `(?P<patient>...)`.
        failures: takes files that cannot be opened; without it they raise.

    Returns:
        A row for each scene, with `um_per_px`, `scanner`, `objective`, `format`, and as text `slide_width`,
        `slide_height`, `levels`, `focus_planes` and `channels`.

    Raises:
        RedDinoError: the folder has no slide.
    """
    rows = Rows(Path(folder), source, failures)
    slides = [file for file in find_files(folder, (*SLIDE_SUFFIXES, *TIFF), failures) if whole_file(file)]
    if not slides:
        raise RedDinoError(f"{folder} holds no images of microscopes ({', '.join((*SLIDE_SUFFIXES, *TIFF))})")
    own = [file for file in slides if not file.name.lower().endswith(DICOM)]
    names = distinct_names(("", file) for file in own)
    for file in slides:
        try:
            if not file.name.lower().endswith(DICOM) or base_file(file) == file:
                _add(rows, file, names.get(file))
        except ImageError as error:
            if failures is None:
                raise
            failures.add(error.path, error.reason)
    if failures is not None:
        note_unread(folder, failures)
    return rows.manifest(slide=slide, patient=patient)


def _add(rows: Rows, file: Path, name: str | None) -> None:
    """Add a row for each scene of a file; `name` is that of the slide, None what its file is called."""
    name = name or slide_name(file)
    with opened(file) as reader:
        scenes = reader.scenes
    for scene in range(scenes):
        with opened(file, scene) as reader:
            several = scenes > 1
            path = Path(str(SlidePart(file, scene if several else None)))
            rows.add(path, slide=f"{name}-s{scene}" if several else name, **_described(reader))


def _described(reader: SlideReader) -> dict[str, Value]:
    width, height = reader.size
    return {
        "um_per_px": None if reader.um_per_px is None else f"{reader.um_per_px:.6g}",
        "scanner": reader.about.get("scanner") or None,
        "objective": reader.about.get("objective") or None,
        "format": reader.about.get("format") or None,
        "slide_width": str(width),
        "slide_height": str(height),
        "levels": str(len(reader.level_sizes)),
        "focus_planes": str(reader.planes),
        "channels": " ".join(name.replace(" ", "_") for name in reader.channels) or "RGB",
    }
