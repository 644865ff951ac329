"""Pascal VOC: an XML file an image, an `object` with a `bndbox` a cell."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from reddino.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.rows import Cell, Rows, find_files, find_images, number, require_annotated


def read_voc(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Boxes of XML files, each belonging to the image of the same stem (its `filename` entry is often wrong).

    The box is taken as written: x = xmin, w = xmax - xmin. An image without XML, or whose XML holds no
    object, gives one row without label. Other arguments as `read_folder`.

    Raises:
        RedDinoError: an XML file is malformed or ambiguous, or a box has no area (with `failures`, noted and
            left out).
    """
    rows = Rows(Path(folder), source, failures)
    images = find_images(folder)
    annotations = _match(find_files(folder, (".xml",)), images, rows)
    require_annotated(len(annotations), rows.folder, "an XML file of the same name")
    for image in images:
        file = annotations.get(image)
        rows.add_cells(image, _read_boxes(file, rows) if file else [])
    return rows.manifest(slide=slide, patient=patient)


def _match(files: list[Path], images: list[Path], rows: Rows) -> dict[Path, Path]:
    """The XML file of each image that has one."""
    by_stem: dict[str, list[Path]] = {}
    for image in images:
        by_stem.setdefault(image.stem, []).append(image)
    matched: dict[Path, Path] = {}
    for file in files:
        candidates = by_stem.get(file.stem, [])
        beside = [image for image in candidates if image.parent == file.parent]
        if len(beside or candidates) > 1:
            names = " and ".join(str(image.relative_to(rows.folder)) for image in (beside or candidates)[:2])
            rows.report(file, f"it could belong to {names}; give them different names")
        elif candidates and candidates[0] in matched:
            rows.report(file, f"its image already has {matched[candidates[0]].relative_to(rows.folder)}")
        elif candidates:
            matched[(beside or candidates)[0]] = file
    return matched


class _PlainTree(ET.TreeBuilder):
    """Refuses a document type: its entities can expand to gigabytes or name other files."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise RedDinoError("a document type (DOCTYPE) is not accepted")


def _read_boxes(file: Path, rows: Rows) -> list[Cell]:
    try:
        tree = ET.fromstring(file.read_bytes(), parser=ET.XMLParser(target=_PlainTree()))
    except (ET.ParseError, RedDinoError, ValueError, LookupError) as error:
        rows.report(file, f"cannot be read as XML: {error}")
        return []
    boxes: list[Cell] = []
    for index, entry in enumerate(tree.iter("object"), 1):
        name = (entry.findtext("name") or "").strip()
        corners = [entry.findtext(f"bndbox/{corner}") or "" for corner in ("xmin", "ymin", "xmax", "ymax")]
        try:
            x0, y0, x1, y1 = (number(corner) for corner in corners)
        except ValueError:
            rows.report(
                file,
                f"object {index} ('{name}'): its bndbox lacks a number among {', '.join(map(repr, corners))}",
            )
            continue
        if not (x1 > x0 and y1 > y0):
            rows.report(
                file,
                f"object {index} ('{name}'): the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) has no area",
            )
            continue
        boxes.append(((x0, y0, x1 - x0, y1 - y0), name))
    return boxes
