"""Chula RBC-12 (Naruenatthanaset et al., arXiv 2012.01321): fields with a text file each, a line a cell."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import Drawn
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest, with_groups
from reddino.smears.readers.pairing import by_stem, one_each, report_unmatched
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

CLASSES = (
    "normal",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)


def read_chula(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    boxes_on: Drawn | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Read images in `Dataset/` or `images/`, and cells in `Label/<n>.txt` or `labels/<n>.txt`.

    A cell is a line `x y class`.

    x and y are a point near the cell's centre. An image without labels gives one row without label. Where
    `same_field_groups.csv` is there, `group` is filled from it.

    Args:
        folder: the collection.
        source: as `read_folder`.
        slide: as `read_folder`.
        patient: as `read_folder`.
        boxes_on: which pixels the points of pictures with an EXIF orientation belong to, `stored` or
            `upright`; the files do not show it.
        failures: takes what is noted and left out; None raises it.

    Raises:
        RedDinoError: a folder is missing, a line is not `x y class`, a point lies outside its image, or a
            text file matches two images (with `failures`, it is noted and left out).
    """
    folder = Path(folder)
    image_folder = _one_of(folder, ("Dataset", "images"))
    label_folder = _one_of(folder, ("Label", "labels"))
    rows = Rows(folder, source, failures)
    images, files = find_images(image_folder, failures), find_files(label_folder, (".txt",))
    pairs = by_stem(images, files)
    matched = one_each(pairs, rows)
    found = {image: _read_cells(file, rows) for image, file in matched.items()}
    if len(matched) == len(pairs):
        rows.require_annotated(sum(map(bool, found.values())), f"cells in {label_folder.name}/")
    report_unmatched(rows, images, files, pairs)
    for image in images:
        annotation = Annotation(matched.get(image, image), found.get(image, []))
        add_annotated(rows, image, annotation, boxes_on)
    manifest = rows.manifest(slide=slide, patient=patient)
    groups = folder / "same_field_groups.csv"
    return with_groups(manifest, groups) if groups.exists() else manifest


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    if not folder.is_dir():
        raise RedDinoError(f"{folder}: there is no such folder")
    wanted = {name.lower() for name in names}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name.lower() in wanted:
            return entry
    raise RedDinoError(f"{folder} has no folder {' or '.join(f'{name}/' for name in names)}")


def _read_cells(file: Path, rows: Rows) -> list[Cell]:
    cells: list[Cell] = []
    for line_number, line in lines_of(file, rows):
        try:
            x, y, kind = line.split()
            index = class_number(kind)
            if index >= len(CLASSES):
                raise ValueError(kind)
            cells.append(((number(x), number(y)), CLASSES[index]))
        except ValueError:
            rows.report(
                file, f"line {line_number}: '{line[:80]}' is not 'x y class' with a class from 0 to 12"
            )
    return cells
