"""COCO files, and which pictures of a collection their images are."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json
from reddino.smears.readers.coco_entries import id_of
from reddino.smears.readers.rows import Rows

_TABLES = ("images", "annotations", "categories")
_LIMIT = 2 << 30


@dataclass(frozen=True)
class Listed:
    """An image as a COCO file lists it.

    Attributes:
        file: that lists it.
        place: of the entry in it, for errors.
        id: of the image.
        name: `file_name`, with slashes.
        content: the entry.
        id_fault: why its id does not show which annotations are its own; "" where it can.
    """

    file: Path
    place: str
    id: str
    name: str
    content: dict[str, Any]
    id_fault: str = ""


@dataclass(frozen=True)
class CocoFile:
    """The three tables of a COCO file; their entries may still be anything."""

    file: Path
    images: list[Any]
    annotations: list[Any]
    categories: list[Any]

    def listed(self, rows: Rows) -> list[Listed]:
        """Return the images; report those that cannot be used."""
        entries = [one for index, entry in enumerate(self.images) if (one := self._entry(index, entry, rows))]
        by_id: dict[str, list[Listed]] = {}
        for one in entries:
            by_id.setdefault(one.id, []).append(one)
        return [one for several in by_id.values() for one in self._once_each(several, rows)]

    def _entry(self, index: int, entry: object, rows: Rows) -> Listed | None:
        if not isinstance(entry, dict):
            rows.report(self.file, f"image {index}: is no object")
            return None
        place, key, name = f"image {index} (id {str(entry.get('id'))[:40]})", id_of(entry.get("id")), ""
        if isinstance(entry.get("file_name"), str):
            name = entry["file_name"].replace("\\", "/")
        if key is None:
            rows.report(self.file, f"{place}: its id is missing")
            return None
        return Listed(self.file, place, key, name, entry)

    def _once_each(self, several: list[Listed], rows: Rows) -> Iterator[Listed]:
        """Return the images of one id each.

        Those of different files have no annotations that are surely theirs.
        """
        names = list(dict.fromkeys(one.name for one in several))
        if len(names) == 1:
            if len(several) > 1:
                meaning = "an image with the same id and file is taken once"
                fault = f"{several[1].place}: is the same as {several[0].place}"
                rows.leave_out("images listed twice", self.file, fault, meaning)
            yield several[0]
            return
        fault = f"the id is given twice, for '{names[0]}' and '{names[1]}'"
        rows.report(self.file, f"{several[1].place}: {fault}; annotations of this id are left out")
        for one in several:
            yield replace(one, id_fault=fault)


def open_coco(file: Path, rows: Rows) -> CocoFile | None:
    """Return the tables of a JSON file.

    Return None where it is not a COCO file, or part of one that cannot be used.
    """
    try:
        content = read_json(file, top=None, limit=_LIMIT, nan=True)
    except RedDinoError as error:
        rows.report(file, str(error).removeprefix(f"{file} "))
        return None
    if not isinstance(content, dict):
        return None
    tables = {name: content.get(name) for name in _TABLES}
    missing = [name for name in _TABLES if not isinstance(tables[name], list)]
    if not missing:
        return CocoFile(file, content["images"], content["annotations"], content["categories"])
    if _has(tables["annotations"], "image_id") or _has(tables["images"], "file_name"):
        rows.report(file, f"seems to be a COCO file, but '{missing[0]}' is not a list; it is left out")
    return None


def _has(table: object, name: str) -> bool:
    return isinstance(table, list) and any(isinstance(entry, dict) and name in entry for entry in table[:10])


def find_pictures(listed: Sequence[Listed], images: list[Path], rows: Rows) -> dict[Path, list[Listed]]:
    """Return the entries of each picture, in the order of the list; report those without a picture.

    A picture belongs to the entries that give its path; by its bare name it is found where one name alone
    claims it.
    """
    known = set(images)
    by_name: dict[str, list[Path]] = {}
    for image in images:
        by_name.setdefault(image.name, []).append(image)
    found: dict[Path, list[Listed]] = {}
    claims: dict[Path, set[str]] = {}
    paths = [_by_path(one, known, rows.folder) for one in listed]
    bare = [by_name.get(posixpath.basename(one.name), []) for one in listed]
    for one, path, same in zip(listed, paths, bare, strict=True):
        for claimed in [path] if path else same:
            claims.setdefault(claimed, set()).add(f"path {path}" if path else one.name)
    for one, path, same in zip(listed, paths, bare, strict=True):
        sole = same[0] if len(same) == 1 and len(claims[same[0]]) == 1 else None
        if path is None and sole is None:
            shown = str(one.content.get("file_name"))[:200]
            rows.report(one.file, f"{one.place}: '{shown}' is missing or not unique")
        else:
            found.setdefault(path or same[0], []).append(one)
    return found


def _by_path(one: Listed, known: set[Path], folder: Path) -> Path | None:
    if not one.name:
        return None
    for parent in (one.file.parent, folder, folder / "images"):
        path = Path(posixpath.normpath((parent / one.name).as_posix()))
        if path in known:
            return path
    return None
