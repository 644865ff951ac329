"""COCO: JSON files that list images, categories and annotations with a `bbox`."""

from __future__ import annotations

from pathlib import Path

from reddino.smears.choices import Drawn
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readers.coco_entries import box_of, category_names, id_of, is_crowd, size_of
from reddino.smears.readers.coco_files import CocoFile, Listed, find_pictures, open_coco
from reddino.smears.readers.placed import Annotation, add_annotated
from reddino.smears.readers.rows import Cell, Rows, find_files, find_images


def read_coco(
    folder: str | Path,
    *,
    source: str | None = None,
    slide: str | None = None,
    patient: str | None = None,
    boxes_on: Drawn | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Read the boxes of every JSON file below the folder that has `images`, `annotations` and `categories`.

    `file_name` is searched below the folder of the JSON file, below `folder`, and last by its bare name. An
    image without boxes gives one row; images that no JSON file lists give none. Crowd regions are left out
    and counted. Of an image that is listed several times the annotations are joined, equal ones taken once.
    Boxes of a picture with an EXIF orientation are turned where its listed size is that of the stored pixels.

    Args:
        folder: the collection.
        source: as `read_folder`.
        slide: as `read_folder`.
        patient: as `read_folder`.
        boxes_on: which pixels boxes belong to, where the listed size does not decide: `stored` or `upright`.
        failures: takes what is noted and left out; None raises it.

    Raises:
        RedDinoError: no such JSON file, an image that is not there or has another size, an id that is given
            twice, or an annotation that makes no sense (with `failures`, all are noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    images = find_images(folder, failures)
    described = [one for file in find_files(folder, (".json",)) if (one := open_coco(file, rows))]
    if not described:
        rows.refuse(" holds no JSON file with images, annotations and categories")
    listed = [entry for one in described for entry in one.listed(rows)]
    found = find_pictures(listed, images, rows)
    cells = {one.file: _cells_by_image(one, rows) for one in described}
    for image, entries in found.items():
        if len(entries) > 1:
            meaning = "the annotations of all entries are joined; those that are the same are taken once"
            rows.note("images listed several times", meaning, _places(entries))
        _add(rows, image, [_annotation(entry, cells[entry.file], rows) for entry in entries], boxes_on)
    return rows.manifest(slide=slide, patient=patient)


def _places(entries: list[Listed]) -> str:
    return " and ".join(f"{entry.file.name}, {entry.place}" for entry in entries[:2])


def _cells_by_image(described: CocoFile, rows: Rows) -> dict[str, list[Cell]]:
    """Return the cells of each image id; report those that make no sense."""
    names = category_names(described.categories, described.file, rows)
    known = {id_of(entry.get("id")) for entry in described.images if isinstance(entry, dict)} - {None}
    cells: dict[str, list[Cell]] = {}
    taken: dict[tuple[str, tuple[float, ...], str], int] = {}
    for index, entry in enumerate(described.annotations):
        if not isinstance(entry, dict):
            rows.report(described.file, f"annotation {index}: is no object")
            continue
        place = f"annotation {index} (id {str(entry.get('id'))[:40]})"
        if is_crowd(entry):
            meaning = "regions of many cells (iscrowd, or a run-length mask) are no cells and are left out"
            rows.leave_out("crowd regions", described.file, f"{place}: is a crowd region", meaning)
            continue
        try:
            image = _known(entry, "image_id", known)
            label = names[_known(entry, "category_id", set(names))]
            if isinstance(label, ValueError):
                raise label
            box = box_of(entry)
        except ValueError as error:
            rows.report(described.file, f"{place}: {error}")
            continue
        first = taken.setdefault((image, box, label), index)
        if first != index:
            meaning = "annotations of the same image, box and category are taken once"
            fault = f"{place}: is the same as annotation {first}"
            rows.leave_out("annotations listed twice", described.file, fault, meaning)
            continue
        if isinstance(entry.get("score"), int | float):
            meaning = "they have a score: if a program predicted these boxes, no one has seen them"
            rows.note("boxes with a confidence", meaning, f"{described.file.name}, {place}")
        cells.setdefault(image, []).append((box, label))
    return cells


def _known(entry: dict[str, object], key: str, known: set[str | None] | set[str]) -> str:
    found = id_of(entry.get(key))
    if found is None or found not in known:
        raise ValueError(f"its {key} {str(entry.get(key))[:40]} is not listed")
    return found


def _annotation(entry: Listed, cells: dict[str, list[Cell]], rows: Rows) -> Annotation:
    own = cells.get(entry.id, [])
    if entry.id_fault and own:
        rows.report(entry.file, f"{entry.place}: its {len(own)} cells are left out: {entry.id_fault}")
        own = []
    try:
        listed = size_of(entry.content)
    except ValueError as error:
        if own:
            rows.report(entry.file, f"{entry.place}: its {len(own)} cells are left out: {error}")
        own, listed = [], None
    return Annotation(entry.file, own, listed, entry.place)


def _add(rows: Rows, image: Path, annotations: list[Annotation], drawn: Drawn | None) -> None:
    """Add the cells of all annotations of an image, equal ones once."""
    seen: set[tuple[tuple[float, ...], str]] = set()
    filled = [one for one in annotations if one.cells]
    for annotation in filled or annotations[:1]:
        cells = [(place, label) for place, label in annotation.cells if (tuple(place), label) not in seen]
        seen |= {(tuple(place), label) for place, label in cells}
        if cells or not filled:
            add_annotated(
                rows, image, Annotation(annotation.file, cells, annotation.listed, annotation.place), drawn
            )
