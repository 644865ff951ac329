"""Red cells of a collection, found by segmentation: a manifest with a row per cell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import Cells
from reddino.rbc.measures import no_cells
from reddino.rbc.picture_diameters import PictureDiameter, PictureDiameters
from reddino.smears.column_names import AT_BORDER, require_free, written_names
from reddino.smears.dealt_pictures import DealsPictures, WorksHere
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import COLUMNS, ID_COLUMNS, READING_COLUMNS
from reddino.smears.readings import Readings

log = logging.getLogger(__name__)

#: What the label of a whole picture becomes, which is not that of each of its cells.
PICTURE_LABEL = "picture_label"
#: Words for yes and no, in lower case; "" is a row that gives none.
_FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", ""), False),
}


@dataclass(frozen=True)
class FoundInPicture:
    """What a picture shows.

    Attributes:
        cells: its red cells.
        measured: its red-cell diameter; None of a picture that cannot be used.
        failure: (path, reason), where there are no cells.
    """

    cells: Cells
    measured: PictureDiameter | None
    failure: tuple[str, str] | None = None


class CellFinder:
    """Finds the red cells of single pictures; calls from several threads are allowed.

    Args:
        manifest: of the pictures.
        diameters: measures them.
    """

    def __init__(self, manifest: Manifest, diameters: PictureDiameters) -> None:
        self._manifest, self._diameters = manifest, diameters
        self._names = manifest.images()[0]
        self._readings = Readings(manifest.table)

    def __reduce__(self) -> tuple[type[CellFinder], tuple[Manifest, PictureDiameters]]:
        """Send to another process what it is made of."""
        return CellFinder, (self._manifest, self._diameters)

    def __call__(self, number: int) -> FoundInPicture:
        """Return what picture `number` shows."""
        name = self._names[number]
        path = self._manifest.root / name
        try:
            pixels = decode_image(path, **self._readings.of(name))
            cells, measured = self._diameters.find(number, pixels)
        except ImageError as error:
            return FoundInPicture(no_cells(), None, (str(error.path), error.reason))
        failure = None if len(cells) else (str(path), "no red cells stand out from the background")
        return FoundInPicture(cells, measured, failure)


def find_cells_in(
    manifest: Manifest,
    *,
    failures: Failures | None = None,
    progress: Callable[[int, int], None] | None = None,
    pictures: PictureDiameters | None = None,
    deal: DealsPictures | None = None,
) -> Manifest:
    """Find the red cells in every image of a manifest.

    Args:
        manifest: images; further rows of one image (its annotated cells) are not needed and not kept. A
            `cell_diameter` that is given is the scale the image is searched at.
        failures: takes the images that cannot be decoded, and those in which no red cell stands out.
        progress: called with images done and images in all.
        pictures: measures this manifest; for callers that need which diameters were borrowed.
        deal: that has the pictures searched; None: this process does it, one after the other.

    Returns:
        A row a cell in the order of the images: `path`, `source`, `slide`, `patient` and `group` of the
        image's first row, what else the manifest has about the image (`of_pictures`), the cell's box in
        `x, y, w, h` and the image's red-cell diameter in `cell_diameter`, all in pixels
        (`PictureDiameters`), and whether the border of the image (or the rim of a round field) cuts the cell
        in `at_border`.

    Raises:
        RedDinoError: the manifest has a column `at_border` about whole pictures, or of one picture
            two patients.
    """
    failures = Failures() if failures is None else failures
    pictures = PictureDiameters(manifest) if pictures is None else pictures
    names, codes = manifest.images()
    first = np.unique(codes, return_index=True)[1]
    about = of_pictures(manifest, first[codes])
    found: list[FoundInPicture] = []
    finder, numbers = CellFinder(manifest, pictures), range(len(names))
    with closing((deal or WorksHere()).results(finder, manifest, numbers)) as results:
        for number, one in enumerate(results):
            found.append(one)
            if one.measured is not None:
                pictures.learn({number: one.measured})
            if one.failure is not None:
                failures.add(*one.failure)
            if progress is not None:
                progress(number + 1, len(names))
    counts = [len(one.cells) for one in found]
    images = about.take(np.repeat(first, counts))
    columns = {
        side: np.concatenate([getattr(one.cells, side) for one in found] or [[]])
        for side in ("x", "y", "w", "h")
    }
    columns["cell_diameter"] = np.repeat(
        [float("nan") if one.measured is None else one.measured.diameter for one in found], counts
    )
    for column, values in columns.items():
        images = images.append_column(column, pa.array(values, pa.float64()))
    cut = [one.cells.touches_border for one in found if len(one.cells)]
    flags = np.concatenate(cut) if cut else np.zeros(0, np.bool_)
    return Manifest(images.append_column(AT_BORDER, pa.array(flags, pa.bool_())), manifest.root)


def of_pictures(manifest: Manifest, first: NDArray[np.int64]) -> pa.Table:
    """Return the columns that are about pictures and not about single cells: all rows of a picture agree.

    The label of a whole picture is called `picture_label`.

    Args:
        manifest: of pictures, or of cells that are not needed.
        first: (n,) for each row the first one of its picture.

    Raises:
        RedDinoError: a column `at_border` of whole pictures, or a picture of two patients, slides, sources or
            groups.
    """
    _require_one_owner(manifest, first)
    table, cells = manifest.table, bool(manifest.is_cell().any())
    further = [name for name in table.column_names if name not in COLUMNS]
    if cells:
        further = [name for name in further if name != AT_BORDER]
    require_free(further, (AT_BORDER,), "a table of cells")
    kept = [name for name in further if name in READING_COLUMNS or _same(table.column(name), first)]
    if lost := [name for name in further if name not in kept]:
        log.warning("columns that differ between cells of a picture are left out: %s", ", ".join(lost))
    found = table.select(["path", *ID_COLUMNS, *kept])
    if not cells and any(manifest.strings("label")) and _same(table.column("label"), first):
        name = written_names([PICTURE_LABEL], kept)[PICTURE_LABEL]
        found = found.append_column(name, table.column("label"))
    return found


def _require_one_owner(manifest: Manifest, first: NDArray[np.int64]) -> None:
    """Refuse rows of one picture that name different patients, of which its cells would get the first.

    Single cells may be of groups of their own.
    """
    for name in [one for one in ID_COLUMNS if one != "group" or not manifest.is_cell().any()]:
        given = np.array(manifest.strings(name), dtype=object)
        odd = np.flatnonzero(given != given[first])
        if len(odd):
            row = int(odd[0])
            raise RedDinoError(
                f"{manifest.place(row)}, column {name}: '{given[row]}', and '{given[first[row]]}' in another "
                f"row of this picture; give each picture one {name}"
            )


def _same(column: Any, first: NDArray[np.int64]) -> bool:
    """Return whether each value of a column is that of row `first` (n,)."""
    return bool(column.take(pa.array(first)).combine_chunks().equals(column.combine_chunks()))


def given_at_border(table: pa.Table) -> NDArray[np.bool_]:
    """Return the rows (n,) of which a table itself holds that the border of their image cuts the cell.

    Raises:
        RedDinoError: a value is neither yes nor no.
    """
    if AT_BORDER not in table.column_names:
        return np.zeros(table.num_rows, np.bool_)
    given = ["" if value is None else str(value) for value in table.column(AT_BORDER).to_pylist()]
    known = {value: _FLAGS.get(value.strip().lower()) for value in set(given)}
    odd = next((row for row, value in enumerate(given) if known[value] is None), None)
    if odd is not None:
        raise RedDinoError(
            f"row {odd + 1}, column '{AT_BORDER}': {given[odd][:40]!r} is neither true nor false; mend it or "
            "rename the column"
        )
    return np.array([known[value] for value in given], np.bool_)
