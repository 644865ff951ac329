"""Find which images of a finished table are copies of one another, and note them next to its parts."""

from __future__ import annotations

from pathlib import Path

from reddino.checks.copies import copies_of
from reddino.embedding.copies_file import read_copies_file, write_copies_file
from reddino.embedding.part_files import PartRecord, finished_parts, noted_contents, read_meta, read_parts
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.smears.sketches import Sketch, sketch_from_hex, sketch_of


def note_copies(manifest: Manifest, table: Path) -> None:
    """Write next to the parts of a finished table which of its images are the same, or nearly.

    The parts hold sketches of the images. Where an older table holds none, its images are read to make them.

    Args:
        manifest: that the table was made of.
        table: its folder.
    """
    data = {"data": read_meta(table)["data"], "contents": noted_contents(table)}
    noted = read_copies_file(table)
    if {name: noted.get(name) for name in data} == data:
        return
    sketches = _sketches(manifest, table)
    sets = [list(paths) for paths in copies_of(manifest, sketches).values()]
    write_copies_file(table, {**data, "images": len(sketches), "copies": sets})


def _sketches(manifest: Manifest, table: Path) -> dict[int, Sketch]:
    """Return the sketches of the images that have rows, by number of the image."""
    paths, readings = manifest.images()[0], Readings(manifest.table)
    sketches: dict[int, Sketch] = {}
    for _, record in read_parts(list(finished_parts(table).values())):
        noted = {number: sketch_from_hex(digits) for number, digits in record.hashes.items()}
        made = {number: sketch for number, sketch in noted.items() if sketch is not None}
        if record.rows and not made:
            made = _sketches_of_images(manifest.root, paths, readings, record)
        sketches |= made
    return sketches


def _sketches_of_images(
    root: Path, paths: list[str], readings: Readings, record: PartRecord
) -> dict[int, Sketch]:
    """Decode the images of a part and sketch those that can be read."""
    sketches: dict[int, Sketch] = {}
    for number in range(record.start, record.stop):
        try:
            sketches[number] = sketch_of(decode_image(root / paths[number], **readings.of(paths[number])))
        except ImageError:
            continue
    return sketches
