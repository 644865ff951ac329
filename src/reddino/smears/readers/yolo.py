"""YOLO: a text file an image, a line `class cx cy w h` a cell, as fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from reddino.errors import RedDinoError
from reddino.smears.decode import Failures, ImageError, image_size
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Rows, find_images, number, require_annotated


def read_yolo(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    names: Sequence[str] | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Boxes of text files beside the images, or in `labels/` parallel to `images/`.

    Class names come from `names`, else from a YAML file with `names`, `classes.txt` or `obj.names` in the
    folder; with none of them the label is the class number. An image without boxes gives one row. Other
    arguments as `read_folder`.

    Raises:
        RedDinoError: a line is malformed, a class has no name, or the size of an image cannot be read (with
            `failures`, it is noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    classes = list(names) if names is not None else _class_names(rows.folder)
    annotated = 0
    for image in find_images(folder):
        file = _label_file(image, rows.folder)
        if file is None:
            rows.add(image)
            continue
        annotated += 1
        try:
            size = image_size(image)
        except ImageError as error:
            rows.report(image, error.reason)
            continue
        rows.add_cells(image, _read_boxes(file, size, classes, rows))
    require_annotated(annotated, rows.folder, "a label file (.txt beside it or in labels/)")
    return rows.manifest(slide=slide, patient=patient)


def _label_file(image: Path, folder: Path) -> Path | None:
    """The text file beside the image, else the one where the last `images` of its path is `labels`."""
    beside = image.with_suffix(".txt")
    if beside.is_file():
        return beside
    parts = list(image.relative_to(folder).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            parallel = folder.joinpath(*parts).with_suffix(".txt")
            return parallel if parallel.is_file() else None
    return None


def _class_names(folder: Path) -> list[str]:
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        found = _yaml_names(file)
        if found:
            return found
    for name in ("classes.txt", "obj.names"):
        for file in (folder / name, folder / "labels" / name):
            if file.is_file():
                return [
                    line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()
                ]
    return []


def _yaml_names(file: Path) -> list[str]:
    """The `names` of a data set description: a list, or a mapping from class number to name."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RedDinoError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise RedDinoError(f"{file}: the keys of 'names' must be the class numbers from 0 on.")
        names = [names[index] for index in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) else []


def _read_boxes(
    file: Path, size: tuple[int, int], classes: list[str], rows: Rows
) -> list[tuple[tuple[float, float, float, float], str]]:
    boxes = []
    for line_number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            boxes.append(_parse_line(line, size, classes))
        except ValueError as error:
            rows.report(file, f"line {line_number}: {error}")
    return boxes


def _parse_line(
    line: str, size: tuple[int, int], classes: list[str]
) -> tuple[tuple[float, float, float, float], str]:
    """Top-left corner and size in pixels, and the label; a sixth value (confidence) is passed over."""
    values = line.split()
    try:
        index = int(values[0])
        cx, cy, w, h = (number(value) for value in values[1:5])
    except ValueError:
        raise ValueError(f"'{line.strip()}' is not 'class cx cy w h'") from None
    if len(values) > 6:
        raise ValueError(
            f"{len(values)} values instead of 'class cx cy w h'; outlines are not read, only boxes"
        )
    if not (w > 0 and h > 0 and 0 <= cx <= 1 and 0 <= cy <= 1):
        raise ValueError(f"'{line.strip()}' is not a box in fractions of the image")
    if index < 0 or (classes and index >= len(classes)):
        raise ValueError(f"class {index} has no name; {len(classes)} names are known")
    width, height = size
    box = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
    return box, classes[index] if classes else str(index)
