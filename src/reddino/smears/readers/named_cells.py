"""Collections of single cells whose file names give the origin of the cell: NIH malaria and Elsafty."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_csv import read_csv
from reddino.smears.readers.rows import Rows, find_images
from reddino.smears.spelling import clean

_NIH_NAME = re.compile(r"^(?P<patient>C\d+P\d+)thinF?_(?P<field>.+?)_cell_\d+", re.IGNORECASE)
_ELSAFTY_NAME = re.compile(r"^slide\s*(?P<slide>\d+)\s*\((?P<numbers>[^)]*)\)", re.IGNORECASE)
_NO_CLASS = "lies in no class folder, so that its class is not known"


def read_nih_malaria(
    folder: str | Path, *, source: str | None = None, failures: Failures | None = None
) -> Manifest:
    """Read NIH malaria cells: the class is the folder, and the name holds the patient.

    Names are like `C100P61ThinF_IMG_..._cell_162.png`. Each patient has one thin film, so `slide` is the
    patient too; the photograph that the cell was cut from goes to the extra column `field`.

    Raises:
        RedDinoError: a name of another form (with `failures`, it is noted and left out).
    """
    rows = Rows(Path(folder), source, failures)
    for image in find_images(folder, failures):
        name = _NIH_NAME.match(image.name)
        if name is None:
            rows.report(image, "the name is not of the form C<n>P<n>ThinF_<field>_cell_<n>")
            continue
        if image.parent == rows.folder:
            rows.report(image, _NO_CLASS)
            continue
        patient = name["patient"].upper()
        rows.add(image, slide=patient, patient=patient, label=image.parent.name, field=name["field"])
    return rows.manifest()


def _sources_by_slide(file: Path) -> dict[str, str]:
    """Return the source of each slide number, from a CSV with the columns `slide` and `source`."""
    if not file.is_file():
        raise RedDinoError(f"{file}: there is no such table of slides")
    table, place = read_csv(file, _require_slides)
    found: dict[str, str] = {}
    entries = zip(table.column("slide").to_pylist(), table.column("source").to_pylist(), strict=True)
    for row, entry in enumerate(entries):
        slide, source = (clean(text or "") for text in entry)
        if not (slide.isascii() and slide.isdecimal() and len(slide) < 20) or not source:
            raise RedDinoError(f"{place.of(row)}: needs a slide number and a source")
        number = str(int(slide))
        if found.setdefault(number, source) != source:
            raise RedDinoError(f"{place.of(row)}: slide {number} is of '{found[number]}' above")
    return found


def _require_slides(names: Sequence[str], file: str) -> None:
    if names.count("slide") != 1 or names.count("source") != 1:
        raise RedDinoError(f"{file} needs the columns 'slide' and 'source', each once")


def read_elsafty(
    folder: str | Path,
    *,
    source: str | None = None,
    sources: str | Path | None = None,
    failures: Failures | None = None,
) -> Manifest:
    """Read Elsafty cells: the class is the folder, and the name holds the slide.

    Names are like `Slide 1 (1,93,472,116,497).png`. The numbers in brackets are kept as text in the extra
    column `name_numbers`; their meaning is not documented.

    Args:
        folder: the collection.
        source: one source for all slides, if `sources` is not given.
        sources: CSV with the columns `slide` (number) and `source`.
        failures: collects images with names of another form; without it they raise.

    Raises:
        RedDinoError: a name of another form, or a slide that `sources` does not list.
    """
    by_slide = _sources_by_slide(Path(sources)) if sources is not None else None
    rows = Rows(Path(folder), source, failures)
    for image in find_images(folder, failures):
        name = _ELSAFTY_NAME.match(image.name)
        if name is None:
            rows.report(image, "the name is not of the form 'Slide <n> (<numbers>)'")
            continue
        if image.parent == rows.folder:
            rows.report(image, _NO_CLASS)
            continue
        slide = str(int(name["slide"]))
        values = {"slide": slide, "label": image.parent.name, "name_numbers": name["numbers"].strip()}
        if by_slide is not None:
            if slide not in by_slide:
                raise RedDinoError(f"{sources} does not list slide {slide}, to which {image.name} belongs")
            values["source"] = by_slide[slide]
        rows.add(image, **values)
    return rows.manifest()
