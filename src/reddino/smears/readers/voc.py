"""Pascal VOC: an XML file an image, an `object` with a `bndbox` a cell."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_bytes
from reddino.smears.choices import Drawn
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.pairing import by_stem, one_each, report_unmatched
from reddino.smears.readers.placed import Annotation, add_annotated
from reddino.smears.readers.rows import Cell, Rows, find_files, find_images, number

_LIMIT = 64 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    boxes_on: Drawn | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Read boxes of XML files, each belonging to the image of the same stem (its `filename` is often wrong).

    The box is taken as written: x = xmin, w = xmax - xmin. An image without XML, or whose XML holds no
    object, gives one row without label. Boxes of a picture with an EXIF orientation are turned where `size`
    is that of the stored pixels.

    Args:
        folder: the collection.
        source: as `read_folder`.
        slide: as `read_folder`.
        patient: as `read_folder`.
        boxes_on: which pixels boxes belong to, where `size` does not decide: `stored` or `upright`.
        failures: takes what is noted and left out; None raises it.

    Raises:
        RedDinoError: an XML file is malformed or ambiguous, its `size` is another picture's, or a box has no
            area or lies outside (with `failures`, noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    images = find_images(folder, failures)
    files = find_files(folder, (".xml",))
    pairs = by_stem(images, files)
    annotations = one_each(pairs, rows)
    rows.require_annotated(len(pairs), "an XML file of the same name")
    report_unmatched(rows, images, files, pairs)
    names = {image.name for image in images}
    for image in images:
        file = annotations.get(image)
        found = _read(file, rows) if file else None
        if found is None:
            rows.add(image)
            continue
        annotation, named = found
        if named in names - {image.name}:
            meaning = "the boxes are given to the picture of the file's own name; check whether that is right"
            rows.note("XML files that name another picture", meaning, f"{annotation.file.name} ({named})")
        add_annotated(rows, image, annotation, boxes_on)
    return rows.manifest(slide=slide, patient=patient)


class _PlainTree(ET.TreeBuilder):
    """Refuses a document type: its entities can expand to gigabytes or name other files."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise RedDinoError("a document type (DOCTYPE) is not accepted")


def _read(file: Path, rows: Rows) -> tuple[Annotation, str] | None:
    """Read the boxes of an XML file, and the name of its picture; None where it cannot be used."""
    try:
        tree = ET.fromstring(read_bytes(file, _LIMIT), parser=ET.XMLParser(target=_PlainTree()))
    except (ET.ParseError, RedDinoError, ValueError, LookupError, RecursionError) as error:
        reason = str(error).removeprefix(f"{file} ")
        rows.report(file, f"cannot be read as XML: {reason}")
        return None
    if tree.tag != "annotation":
        rows.report(file, f"is no Pascal VOC file: it begins with <{tree.tag[:60]}>, not <annotation>")
        return None
    try:
        listed = _listed_size(tree)
    except ValueError as error:
        rows.report(file, str(error))
        return None
    named = (tree.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    return Annotation(file, _cells(tree, file, rows), listed), named


def _listed_size(tree: ET.Element) -> tuple[float, float] | None:
    """Return `size`; None where it is absent, empty or 0 x 0, as some programs write for unknown."""
    texts = [(tree.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    try:
        width, height = (number(text or "0") for text in texts)
    except ValueError:
        raise ValueError(f"its size {' x '.join(texts)} is not a size; its boxes are left out") from None
    if width == height == 0:
        return None
    if not (width > 0 and height > 0):
        raise ValueError(f"its size {width:g} x {height:g} is not a size; its boxes are left out")
    return width, height


def _cells(tree: ET.Element, file: Path, rows: Rows) -> list[Cell]:
    cells: list[Cell] = []
    for index, entry in enumerate(tree.iter("object"), 1):
        name = (entry.findtext("name") or "").strip()
        try:
            cells.append((_box(entry, name), name))
        except ValueError as error:
            rows.report(file, f"object {index} ('{name}'): {error}")
            continue
        if (entry.findtext("difficult") or "").strip() in ("1", "true"):
            meaning = "they are taken as any other, though the annotator was not sure of them"
            rows.note("objects marked difficult", meaning, f"{file.name}, object {index} ('{name}')")
    return cells


def _box(entry: ET.Element, name: str) -> tuple[float, float, float, float]:
    corners = [entry.findtext(f"bndbox/{corner}") or "" for corner in _CORNERS]
    if entry.find("bndbox") is None and entry.find("polygon") is not None:
        raise ValueError("it has an outline (polygon) and no bndbox; outlines are not read, only boxes")
    if entry.find("bndbox") is None and entry.find("robndbox") is not None:
        raise ValueError("it has a turned box (robndbox) and no bndbox, which alone is read")
    try:
        x0, y0, x1, y1 = (number(corner) for corner in corners)
    except ValueError:
        raise ValueError(f"its bndbox lacks a number among {', '.join(map(repr, corners))}") from None
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) has no area")
    for part in ("name", "bndbox"):
        if len(entry.findall(part)) > 1:
            raise ValueError(f"it has several of <{part}>, so that it is not clear which counts")
    if not name:
        raise ValueError("it has no name, so that its class is not known")
    return x0, y0, x1 - x0, y1 - y0
