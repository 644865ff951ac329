"""YOLO: a text file an image, a line `class cx cy w h` a cell, as fractions of the image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from reddino.smears.choices import Drawn
from reddino.smears.decode import Failures, ImageError
from reddino.smears.frames import read_frame
from reddino.smears.manifest import Manifest
from reddino.smears.readers.class_names import Names, class_names, given_names
from reddino.smears.readers.pairing import one_each, report_unmatched
from reddino.smears.readers.placed import Annotation, add_annotated
from reddino.smears.readers.rows import (
    Cell,
    Rows,
    class_number,
    find_files,
    find_images,
    number,
)
from reddino.smears.readers.texts import lines_of

#: Rounding of programs that write boxes at the border of a picture.
_SLACK = 1e-3
#: Text files of such collections that are not about one picture.
_OTHER_TEXTS = re.compile(
    r"(readme|licen[cs]e)\b|(classes|requirements|(autosplit_)?(train|val|valid|test)(\d{4})?)\.txt$"
)


def read_yolo(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    names: Sequence[str] | None = None,
    boxes_on: Drawn | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Read boxes of text files next to the images, or in `labels/` parallel to `images/`.

    Class names come from `names`, else from a YAML file with `names`, `classes.txt` or `obj.names` in the
    folder; with none of them the label is the class number. An image without boxes gives one row.

    Args:
        folder: the collection.
        source: as `read_folder`.
        slide: as `read_folder`.
        patient: as `read_folder`.
        names: class names in the order of their numbers.
        boxes_on: which pixels the boxes of pictures with an EXIF orientation belong to. The files do not
            show it; without it they are taken for those of the upright picture, and `check` counts them.
        failures: takes what is noted and left out; None raises it.

    Raises:
        RedDinoError: a line is malformed, a class has no name, a label file matches two images, or the size
            of an image cannot be read (with `failures`, it is noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    classes = given_names(names, rows) if names is not None else class_names(rows.folder, rows)
    images = find_images(folder, failures)
    texts = [file for file in find_files(folder, (".txt",)) if not _OTHER_TEXTS.match(file.name.lower())]
    pairs = [(image, file) for image in images for file in _label_files(image, rows.folder)]
    files = one_each(pairs, rows)
    rows.require_annotated(len(pairs), "a label file (.txt next to it or in labels/)")
    report_unmatched(rows, images, texts, pairs)
    for image in images:
        file = files.get(image)
        if file is None:
            rows.add(image)
        else:
            _add(rows, image, file, classes, boxes_on)
    return rows.manifest(slide=slide, patient=patient)


def _label_files(image: Path, folder: Path) -> list[Path]:
    """Return the text file next to the image, and the one where the last `images` of its path is `labels`."""
    candidates = [image.with_suffix(".txt")]
    parts = list(image.relative_to(folder).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == "images":
            named = [[*parts[:index], name, *parts[index + 1 :]] for name in ("labels", "Labels", "LABELS")]
            candidates += [folder.joinpath(*path).with_suffix(".txt") for path in named]
            break
    there = [file for file in candidates if file.is_file()]
    return [file for at, file in enumerate(there) if not any(file.samefile(other) for other in there[:at])]


def _add(rows: Rows, image: Path, file: Path, classes: Names, drawn: Drawn | None) -> None:
    try:
        frame = read_frame(image)
    except ImageError as error:
        rows.report(image, error.reason)
        return
    cells = _cells(file, frame.stored if drawn == "stored" else frame.size, classes, rows)
    add_annotated(rows, image, Annotation(file, cells), drawn or "upright", sure=drawn is not None)


def _cells(file: Path, size: tuple[int, int], classes: Names, rows: Rows) -> list[Cell]:
    cells: list[Cell] = []
    for line_number, line in lines_of(file, rows):
        try:
            cells.append(_parse_line(line, size, classes))
        except ValueError as error:
            rows.report(file, f"line {line_number}: {error}")
            continue
        if len(line.split()) == 6:
            meaning = (
                "the sixth value is taken for a confidence, not for an angle, and passed over; if a program "
                "predicted these boxes, no one has seen them"
            )
            rows.note("boxes with a confidence", meaning, f"{file.name}, line {line_number}")
    return cells


def _parse_line(line: str, size: tuple[int, int], classes: Names) -> Cell:
    """Parse top-left corner and size in pixels, and the label; a sixth value (confidence) is passed over."""
    values = line.split()
    if len(values) > 6:
        raise ValueError(
            f"{len(values)} values instead of 'class cx cy w h'; outlines are not read, only boxes"
        )
    try:
        index = class_number(values[0])
        cx, cy, w, h = (number(value) for value in values[1:5])
        confidence = number(values[5]) if len(values) == 6 else 1.0
    except ValueError:
        raise ValueError(f"'{line[:80]}' is not 'class cx cy w h'") from None
    if not 0 <= confidence <= 1:
        raise ValueError(f"'{line[:80]}': the sixth value is no confidence, which is between 0 and 1")
    _require_fractions(line, (cx, cy, w, h))
    if classes and index not in classes:
        raise ValueError(f"class {index} has no name; {len(classes)} names are known")
    width, height = size
    box = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
    return box, classes[index] if classes else str(index)


def _require_fractions(line: str, box: tuple[float, float, float, float]) -> None:
    cx, cy, w, h = box
    if w > 0 and h > 0 and max(w, h) <= 1 + _SLACK and min(cx, cy) >= 0 and max(cx, cy) <= 1:
        return
    pixels = "; are these pixels?" if max(box) > 1 + _SLACK else ""
    raise ValueError(f"'{line[:80]}' is not a box in fractions of the image{pixels}")
