"""Sources without boxes: cells are measured, for several magnifications, and against the diameters given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.rbc.finding import find_cells
from reddino.rbc.magnification import MIXED, group_medians
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest

#: Pictures of a source that are measured, spread over it, and further ones of each size of picture.
_SPREAD, _OF_SIZE, _AT_MOST = 12, 2, 24
#: Cells that a picture needs to have a scale: that of a single cell has none.
_FEW = 5


class MeasuredScales:
    """Measures red cells in some pictures of each source that has no boxes."""

    def __init__(self, manifest: Manifest) -> None:
        names, codes = manifest.images()
        first = np.unique(codes, return_index=True)[1]
        sources = np.array(manifest.strings("source"), dtype=object)
        self._sources = sources[first].tolist()
        boxed = set(sources[manifest.numbers("w") > 0].tolist())
        self._wanted = {source: _spaced(self._sources, source) for source in set(self._sources) - boxed}
        diameters = manifest.numbers("cell_diameter")
        pictures, medians = group_medians(codes[diameters > 0], diameters[diameters > 0])
        self._given = {
            names[picture]: float(median) for picture, median in zip(pictures, medians, strict=True)
        }
        self._with_diameters = set(sources[diameters > 0].tolist())
        self._sizes: dict[tuple[str, tuple[int, ...]], int] = {}
        self._found: dict[str, list[tuple[str, float]]] = {}

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        """See `PictureCheck.see`."""
        source = self._sources[number]
        if source not in self._wanted:
            return
        size = (source, image.shape)
        self._sizes[size] = self._sizes.get(size, 0) + 1
        found = self._found.setdefault(source, [])
        if len(found) >= _AT_MOST or (number not in self._wanted[source] and self._sizes[size] > _OF_SIZE):
            return
        try:
            cells = find_cells(image)
        except RedDinoError:
            return
        if len(cells) >= _FEW and np.isfinite(cells.typical_diameter):
            found.append((path, float(cells.typical_diameter)))

    def findings(self) -> Iterator[Finding]:
        """See `PictureCheck.findings`."""
        for source, found in sorted(self._found.items()):
            if source in self._with_diameters:
                yield from self._contradictions(source, found)
                continue
            diameters = np.array([diameter for _, diameter in found])
            if len(diameters) < 2:
                continue
            ratios = diameters / np.median(diameters)
            odd = np.abs(np.log(ratios)) > np.log(MIXED)
            if odd.any():
                path, diameter = found[int(np.argmax(odd))]
                yield Finding(
                    "measured cells of several sizes",
                    f"source {source}: red cells measure {np.median(diameters):.0f} pixels in most of "
                    f"{counted(len(found), 'picture')}, and more than {MIXED:g} times more or less in "
                    f"{int(odd.sum())}; each picture is cut at its own scale; for pretraining and scale "
                    "source give cell_diameter for each picture, or a source for each magnification",
                    int(odd.sum()),
                    f"{path}: {diameter:.0f} pixels",
                )

    def _contradictions(self, source: str, found: list[tuple[str, float]]) -> Iterator[Finding]:
        """Yield a finding of given diameters that are less than half, or more than twice, those measured."""
        both = [(path, size, self._given[path]) for path, size in found if path in self._given]
        odd = [(path, size, given) for path, size, given in both if not size / 2 <= given <= 2 * size]
        # A picture alone may have been measured wrong: most of them are not.
        if odd and 2 * len(odd) > len(both):
            path, size, given = odd[0]
            yield Finding(
                "cell diameters and measured cells",
                f"source {source}: the cell_diameter of {len(odd)} of the {counted(len(both), 'picture')} "
                "measured is less than half or more than twice what red cells measure there; the column is "
                "in pixels",
                len(odd),
                f"{path}: cell_diameter {given:g}, measured {size:.0f} pixels",
            )


def _spaced(sources: list[str], source: str) -> set[int]:
    numbers = np.flatnonzero(np.array(sources, dtype=object) == source)
    return set(numbers[np.linspace(0, len(numbers) - 1, _SPREAD).round().astype(np.int64)].tolist())
