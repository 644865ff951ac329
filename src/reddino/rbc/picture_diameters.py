"""The red-cell diameter of each picture by itself, so that its cells are cut alike alone or among others."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.rbc.finding import find_cells
from reddino.rbc.magnification import MIXED, group_medians
from reddino.rbc.measures import Cells
from reddino.smears.decode import decode_image, image_size
from reddino.smears.failures import ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

Pixels = NDArray[np.uint8]
_log = logging.getLogger(__name__)

#: Whole cells (or boxes of them) that a picture needs to have a diameter of its own.
FEW = 3
#: Pictures that lend their diameter to one with too few cells, and pictures that are tried for that.
LENDERS, _TRIED = 8, 24
#: Labels of what is no red cell: their boxes do not show its diameter.
OTHER_CELLS = re.compile(
    r"\b(wbc|plt)s?|white|leu[ck]o|lympho|monocyt|neutro|eosino|baso(phil)?|platelet|thrombo|blast",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PictureDiameter:
    """The red-cell diameter of a picture.

    Attributes:
        diameter: in pixels; NaN where nothing shows it.
        origin: `given` (by the manifest), `measured` (by segmentation), `boxes`, `borrowed` (the median of
            other pictures of its source and size), `few` (measured on fewer than three whole cells, where
            no picture can lend any), or `unknown`.
    """

    diameter: float
    origin: str


class PictureDiameters:
    """Measures the red-cell diameter of the pictures of a manifest, each when it is requested.

    The first of these that a picture has: the median of the manifest's own `cell_diameter`; what segmentation
    finds, on three whole cells or more; the median side of the boxes of red cells, of three or more that lie
    within the picture; the median of up to eight pictures of the same source and size; what segmentation
    finds on fewer cells. Segmentation comes before boxes since laboratories draw boxes more or less loosely,
    and since it does not depend on which cells of a picture are listed.

    Calls from several threads are allowed; what they return does not depend on their order.

    Args:
        manifest: of pictures, with or without cells.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._names, self._codes = manifest.images()
        first = np.unique(self._codes, return_index=True)[1]
        self._source = np.array(manifest.strings("source"), dtype=object)[first].tolist()
        given = manifest.numbers("cell_diameter")
        self.given = np.full(len(self._names), np.nan)
        pictures, medians = group_medians(self._codes[given > 0], given[given > 0])
        self.given[pictures] = medians
        self._readings = Readings(manifest.table)
        self._known: dict[int, PictureDiameter] = {}
        self._lent: dict[tuple[str, tuple[int, int]], float] = {}
        self._lending = threading.Lock()
        self._logged: set[str] = set()

    def __reduce__(self) -> tuple[type[PictureDiameters], tuple[Manifest]]:
        """Send the manifest alone to another process, which measures for itself."""
        return PictureDiameters, (self._manifest,)

    def of(self, number: int, pixels: Pixels) -> PictureDiameter:
        """Return the diameter of picture `number`, whose pixels are (H, W, 3) uint8 RGB."""
        if number not in self._known:
            own = self._own(number, pixels)
            self._known[number] = self._or_borrowed(number, pixels, own)
        return self._known[number]

    def find(self, number: int, pixels: Pixels) -> tuple[Cells, PictureDiameter]:
        """Find the red cells of picture `number`, at its own scale; return them and its diameter."""
        if np.isfinite(self.given[number]):
            found = PictureDiameter(float(self.given[number]), "given")
            self._known[number] = found
            return find_cells(pixels, found.diameter), found
        cells = find_cells(pixels)
        found = self._or_borrowed(number, pixels, _by_segmentation(cells))
        self._known[number] = found
        return (find_cells(pixels, found.diameter) if found.origin == "borrowed" else cells), found

    def known(self, numbers: Iterable[int]) -> dict[int, PictureDiameter]:
        """Return what was found of those of these pictures that were requested, by number."""
        return {number: self._known[number] for number in numbers if number in self._known}

    def learn(self, found: Mapping[int, PictureDiameter]) -> None:
        """Take what another process found of pictures of the same manifest, by number."""
        self._known.update(found)

    def borrowed(self) -> list[str]:
        """Return the pictures seen so far whose diameter was borrowed, by path in the manifest."""
        return self._of_origin("borrowed")

    def report(self) -> None:
        """Log which pictures borrowed their diameter, and which sources are of several magnifications."""
        lent = self.borrowed()
        if lent:
            self._log_once(
                f"{counted(len(lent), 'picture')} with too few red cells to measure took the median diameter "
                f"of others of the same source and size, the first is {lent[0]}"
            )
        mixed = [spread for source in sorted(set(self._source)) for spread in self._spread(source)]
        if mixed:
            self._log_once(
                f"each picture is cut at its own scale: red cells measure {'; '.join(mixed)} (diameters "
                f"differ more than {MIXED:g} times within {counted(len(mixed), 'source')})"
            )

    def _log_once(self, sentence: str) -> None:
        """Log a sentence once."""
        if sentence not in self._logged:
            _log.info("%s", sentence)
        self._logged.add(sentence)

    def _own(self, number: int, pixels: Pixels) -> PictureDiameter:
        """Return what the picture shows by itself."""
        if np.isfinite(self.given[number]):
            return PictureDiameter(float(self.given[number]), "given")
        found = _by_segmentation(find_cells(pixels))
        if found.origin == "measured":
            return found
        sides = self._sides(number, pixels.shape[1], pixels.shape[0])
        return PictureDiameter(float(np.median(sides)), "boxes") if len(sides) >= FEW else found

    def _or_borrowed(self, number: int, pixels: Pixels, own: PictureDiameter) -> PictureDiameter:
        if own.origin not in ("few", "unknown"):
            return own
        lent = self._borrow(self._source[number], (pixels.shape[1], pixels.shape[0]))
        return PictureDiameter(lent, "borrowed") if np.isfinite(lent) else own

    def _sides(self, number: int, width: int, height: int) -> NDArray[np.float64]:
        """Return the sides in pixels of the boxes of whole red cells that the manifest lists."""
        rows = self._manifest.select(np.flatnonzero(self._codes == number))
        x, y, w, h = (rows.numbers(name) for name in ("x", "y", "w", "h"))
        red = np.array([OTHER_CELLS.search(label) is None for label in rows.strings("label")])
        whole = (x > 1) & (y > 1) & (x + w < width - 1) & (y + h < height - 1)
        return np.sqrt(w * h)[red & whole & (w > 0) & (h > 0)]

    def _borrow(self, source: str, size: tuple[int, int]) -> float:
        """Return the median diameter of some pictures of a source and size (width, height) that show it."""
        with self._lending:
            if (source, size) not in self._lent:
                found = [one.diameter for one in islice(self._lenders(source, size), LENDERS)]
                self._lent[source, size] = float(np.median(found)) if found else float("nan")
            return self._lent[source, size]

    def _lenders(self, source: str, size: tuple[int, int]) -> Iterator[PictureDiameter]:
        """Yield the diameters of pictures of a source and size that show one by themselves."""
        alike = self._shuffled(number for number, name in enumerate(self._source) if name == source)
        tried = 0
        for number in alike:
            if tried == _TRIED:
                return
            try:
                if image_size(self._path(number)) != size:
                    continue
            except ImageError:
                continue
            tried += 1
            found = self._decoded(number)
            if found is not None and found.origin in ("given", "measured", "boxes"):
                yield found

    def _decoded(self, number: int) -> PictureDiameter | None:
        """Decode picture `number` and return what it shows by itself; None where it cannot be decoded."""
        try:
            pixels = decode_image(self._path(number), **self._readings.of(self._names[number]))
            return self._own(number, pixels)
        except RedDinoError:
            return None

    def _path(self, number: int) -> Path:
        return self._manifest.root / self._names[number]

    def _shuffled(self, numbers: Iterable[int]) -> list[int]:
        """Return pictures in an order that follows from their file names alone, whatever their folders."""

        def key(number: int) -> tuple[str, str]:
            name = self._names[number]
            return hash_bytes(Path(name).name.encode()), name

        return sorted(numbers, key=key)

    def _of_origin(self, origin: str) -> list[str]:
        return [self._names[n] for n in sorted(self._known) if self._known[n].origin == origin]

    def _spread(self, source: str) -> Iterator[str]:
        """Yield the extremes of a source whose diameters differ more than `MIXED` times."""
        known = [
            found.diameter
            for number, found in list(self._known.items())
            if self._source[number] == source and found.origin in ("given", "measured", "boxes")
        ]
        if known and max(known) > MIXED * min(known):
            yield (
                f"{min(known):.0f} to {max(known):.0f} pixels in {counted(len(known), 'picture')} of source "
                f"{source or 'without a name'}"
            )


def _by_segmentation(cells: Cells) -> PictureDiameter:
    if len(cells) == 0 or not np.isfinite(cells.typical_diameter):
        return PictureDiameter(float("nan"), "unknown")
    whole = int((~cells.touches_border).sum())
    return PictureDiameter(float(cells.typical_diameter), "measured" if whole >= FEW else "few")
