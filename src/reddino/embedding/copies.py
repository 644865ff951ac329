"""Which images of a table are copies of one another: found once by `embed`, kept beside its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json

if TYPE_CHECKING:
    from reddino.smears.manifest import Manifest
    from reddino.smears.sketches import Sketch

COPIES_FILE = "copies.json"


def note_copies(manifest: Manifest, table: Path) -> None:
    """Put beside the parts of a finished table which of its images are the same, or nearly.

    The parts hold sketches of the images; those of a table of a time when none were made are read for theirs.

    Args:
        manifest: that the table was made of.
        table: its folder.
    """
    from reddino.checks.copies import copies_of
    from reddino.embedding.table import noted_contents, read_meta

    data = {"data": read_meta(table)["data"], "contents": noted_contents(table)}
    noted = _noted(table)
    if {name: noted.get(name) for name in data} == data:
        return
    sketches = _sketches(manifest, table)
    sets = [list(paths) for paths in copies_of(manifest, sketches).values()]
    found = {**data, "images": len(sketches), "copies": sets}
    write_text(table / COPIES_FILE, json.dumps(found, indent=1) + "\n")


def read_copies(table: Path) -> dict[str, str] | None:
    """By path, the first of the images that are the same, or nearly; images that are there once are absent.

    None where nobody looked.

    Raises:
        RedDinoError: the list is damaged.
    """
    found = _noted(table)
    if not found:
        return None
    sets = found.get("copies")
    if not isinstance(sets, list) or not all(_is_set(paths) for paths in sets):
        raise RedDinoError(f"{table / COPIES_FILE} is not a list of copies: delete it and embed again")
    return first_of_copies(sets)


def first_of_copies(sets: Iterable[Sequence[str]]) -> dict[str, str]:
    """By path of each copy, the first of its set."""
    return {path: paths[0] for paths in sets for path in paths}


def _is_set(paths: object) -> bool:
    return isinstance(paths, list) and len(paths) > 1 and all(isinstance(path, str) for path in paths)


def _noted(table: Path) -> Mapping[str, object]:
    path = table / COPIES_FILE
    noted: Mapping[str, object] = read_json(path) if path.is_file() else {}
    return noted


def _sketches(manifest: Manifest, table: Path) -> dict[int, Sketch]:
    """Of the images that have rows, by number."""
    from reddino.embedding.table import finished_parts, read_part
    from reddino.smears.decode import ImageError, decode_image
    from reddino.smears.readings import Readings
    from reddino.smears.sketches import sketch_from_hex, sketch_of

    paths, readings = manifest.images()[0], Readings(manifest.table)
    sketches: dict[int, Sketch] = {}
    for part in finished_parts(table).values():
        record = read_part(part)[1]
        noted = {number: sketch_from_hex(digits) for number, digits in record.hashes.items()}
        made = {number: sketch for number, sketch in noted.items() if sketch is not None}
        if record.rows and not made:
            for number in range(record.start, record.stop):
                try:
                    made[number] = sketch_of(
                        decode_image(manifest.root / paths[number], **readings.of(paths[number]))
                    )
                except ImageError:
                    continue
        sketches |= made
    return sketches
