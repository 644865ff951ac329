"""COCO: JSON files that list images, categories and annotations with a `bbox`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reddino.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Cell, Rows, find_files, find_images

_TABLES = ("images", "annotations", "categories")


def read_coco(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Boxes of every JSON file below the folder that has `images`, `annotations` and `categories`.

    `file_name` is looked for below the folder of the JSON file, below `folder`, and last by its bare name. An
    image without boxes gives one row; images that no JSON file lists give none. Other arguments as
    `read_folder`.

    Raises:
        RedDinoError: no such JSON file, an image that is not there, or an annotation that makes no sense
            (with `failures`, both are noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    images = _Images(find_images(folder))
    described = [(file, tables) for file in find_files(folder, (".json",)) if (tables := _read_tables(file))]
    if not described:
        raise RedDinoError(f"{folder} holds no JSON file with {', '.join(_TABLES)}.")
    for file, tables in described:
        _add_file(file, tables, images, rows)
    return rows.manifest(slide=slide, patient=patient)


class _Images:
    """The images of a collection, to be found by the name that a JSON file gives them."""

    def __init__(self, images: list[Path]) -> None:
        self._known = set(images)
        self._by_name: dict[str, list[Path]] = {}
        for image in images:
            self._by_name.setdefault(image.name, []).append(image)

    def find(self, name: str, parents: tuple[Path, ...]) -> Path | None:
        """The image below one of `parents`, else the only one of that bare name."""
        for parent in parents:
            if name and parent / name in self._known:
                return parent / name
        same = self._by_name.get(Path(name.replace("\\", "/")).name, [])
        return same[0] if len(same) == 1 else None


def _read_tables(file: Path) -> dict[str, list[dict[str, Any]]] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RedDinoError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(content, dict) or any(not isinstance(content.get(name), list) for name in _TABLES):
        return None
    for name in _TABLES:
        if not all(isinstance(entry, dict) for entry in content[name]):
            raise RedDinoError(f"{file}: '{name}' must be a list of objects.")
    return {name: content[name] for name in _TABLES}


def _add_file(file: Path, tables: dict[str, list[dict[str, Any]]], images: _Images, rows: Rows) -> None:
    labels = {entry.get("id"): str(entry.get("name", "")) for entry in tables["categories"]}
    boxes: dict[Any, list[Cell]] = {entry.get("id"): [] for entry in tables["images"]}
    for index, entry in enumerate(tables["annotations"]):
        try:
            boxes[_known(entry, "image_id", boxes)].append(
                (_box(entry), labels[_known(entry, "category_id", labels)])
            )
        except ValueError as error:
            rows.report(file, f"annotation {index} (id {entry.get('id')}): {error}")
    for index, entry in enumerate(tables["images"]):
        image = images.find(
            str(entry.get("file_name", "")), (file.parent, rows.folder, rows.folder / "images")
        )
        if image is None:
            rows.report(
                file,
                f"image {index} (id {entry.get('id')}): '{entry.get('file_name')}' is missing or not unique",
            )
            continue
        rows.add_cells(image, boxes[entry.get("id")])


def _known(entry: dict[str, Any], key: str, known: dict[Any, Any]) -> Any:
    value = entry.get(key)
    if isinstance(value, list | dict) or value not in known:
        raise ValueError(f"its {key} {value} is not listed")
    return value


def _box(entry: dict[str, Any]) -> list[float]:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        raise ValueError("its bbox is not [x, y, width, height]")
    if not (abs(box[0]) < float("inf") and abs(box[1]) < float("inf") and box[2] > 0 and box[3] > 0):
        raise ValueError(f"its bbox {box} has no area")
    return [float(value) for value in box]
