"""Cells of annotations to rows: turned as the picture is, and only those that lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reddino.smears.choices import Drawn
from reddino.smears.decode import ImageError
from reddino.smears.frames import DRAWN_COLUMN, UPRIGHT, Frame, read_frame
from reddino.smears.readers.rows import Cell, Rows, Value

#: Boxes with a shorter side, in pixels, are no cells: fractions of the picture, or a slip of the mouse.
SMALLEST = 1.0


@dataclass(frozen=True)
class Annotation:
    """The annotations of one file for one picture.

    Attributes:
        file: it stands in.
        cells: in pixels, each box its top-left corner and size, each point x and y.
        listed: width and height of the picture as the file gives them; None where it does not.
        place: of the picture in the file, for errors; "" where the file is about this picture alone.
    """

    file: Path
    cells: Sequence[Cell]
    listed: tuple[float, float] | None = None
    place: str = ""


def add_annotated(
    rows: Rows, image: Path, annotation: Annotation, drawn: Drawn | None, *, sure: bool = True
) -> None:
    """Add the cells of a picture; without them, one row, where its boxes cannot be those of the picture.

    Args:
        rows: to add to; takes what makes no sense.
        image: the picture.
        annotation: of it.
        drawn: which pixels boxes belong to, where the user or the reader decides.
        sure: False where the reader takes it so: later checks then count the pictures that are turned.
    """
    if not annotation.cells:
        rows.add(image)
        return
    where = f"{annotation.place}: " if annotation.place else ""
    try:
        frame = read_frame(image)
    except ImageError as error:
        rows.report(image, error.reason)
        return
    try:
        found = frame.drawn_on(annotation.listed, drawn)
    except ValueError as error:
        count = len(annotation.cells)
        rows.report(annotation.file, f"{where}its {count} cells of {image.name} are left out: {error}")
        rows.add(image)
        return
    turned: dict[str, Value] = {} if frame.orientation == 1 or not sure else {DRAWN_COLUMN: UPRIGHT}
    cells = [
        (frame.upright(place) if found == "stored" else place, label) for place, label in annotation.cells
    ]
    rows.add_cells(image, _inside(rows, frame, cells, annotation.file, where), **turned)


def _inside(rows: Rows, frame: Frame, cells: Sequence[Cell], file: Path, where: str) -> list[Cell]:
    kept = []
    for index, (place, label) in enumerate(cells, 1):
        fault = fault_of(place, frame.size)
        if fault is None:
            kept.append((place, label))
        else:
            rows.report(file, f"{where}cell {index} ('{label}') {fault}")
    return kept


def fault_of(place: Sequence[float], size: tuple[int, int]) -> str | None:
    """Return why a box or point cannot be a cell of a picture of (width, height); None where it can."""
    x, y, *sides = place
    w, h = sides or (0.0, 0.0)
    if sides and min(w, h) < SMALLEST:
        return f"is {w:g} x {h:g} pixels, less than one across"
    if not (0 <= x + w / 2 <= size[0] and 0 <= y + h / 2 <= size[1]):
        shown = ", ".join(f"{value:g}" for value in place)
        return f"at ({shown}) lies outside the picture of {size[0]} x {size[1]}"
    return None
