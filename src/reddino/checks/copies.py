"""The check of pictures for copies: which are there under two names, and what they would leak into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.stages import stage
from reddino.smears.copies import find_copies
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings
from reddino.smears.sides import side_of_folder, sides_of, split_columns
from reddino.smears.sketches import Pixels, Sketch, grey_square, sketch_of


class CopyCheck:
    """Keeps a sketch of each picture (about 500 bytes), and compares them once all were seen."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._sketches: dict[int, Sketch] = {}

    def see(self, number: int, path: str, image: NDArray[np.uint8]) -> None:
        """Take a picture."""
        self._sketches[number] = sketch_of(image)

    def findings(self) -> Iterable[Finding]:
        """Yield findings of copies in several groups, and of copies that the manifest keeps in one."""
        sets = copies_of(self._manifest, self._sketches)
        if not sets:
            return
        first = np.unique(self._manifest.images()[1], return_index=True)[1]
        groups = self._manifest.fold_groups()
        sides = picture_sides(self._manifest)
        apart: list[tuple[str, ...]] = []
        together: list[tuple[str, ...]] = []
        for numbers, paths in sets.items():
            one = len({(groups[first[number]], sides[number]) for number in numbers}) == 1
            (together if one else apart).append(paths)
        if apart:
            yield _finding(
                "same picture under several names",
                f"the same, or nearly, as another under another name{self._held_apart(sets, first, sides)}; "
                "evaluate and fit keep copies together; elsewhere one may train and the other test",
                apart,
            )
        if together:
            yield _finding(
                "same picture within one group",
                "the same, or nearly, as another of its group; each counts as a picture of its own",
                together,
                harmless=True,
            )

    def _held_apart(
        self, sets: Mapping[tuple[int, ...], object], first: NDArray[np.int64], sides: Sequence[str]
    ) -> str:
        """Count the sets that occur under several sources, patients, slides and sides of a split."""
        counts = []
        for name in ("source", "patient", "slide"):
            values = self._manifest.strings(name)
            several = sum(len({values[first[n]] for n in numbers} - {""}) > 1 for numbers in sets)
            counts += [f"{several} under several {name}s"] if several else []
        several = sum(len({sides[n] for n in numbers} - {""}) > 1 for numbers in sets)
        counts += [f"{several} on several sides of a split"] if several else []
        return f" ({', '.join(counts)})" if counts else ""


def copies_of(manifest: Manifest, sketches: Mapping[int, Sketch]) -> dict[tuple[int, ...], tuple[str, ...]]:
    """Find the sets of pictures that are the same, or nearly: numbers of the images, and their paths.

    Candidates are read again to be compared.

    Args:
        manifest: of the pictures.
        sketches: by number of the image in the manifest.
    """
    paths = manifest.images()[0]
    numbers = sorted(sketches)
    readings = Readings(manifest.table)

    def read(place: int) -> Pixels | None:
        path = paths[numbers[place]]
        return _read(manifest.root / path, readings.of(path))

    with stage("finding copies"):
        found = find_copies([sketches[number] for number in numbers], read)
    sets = [tuple(numbers[place] for place in places) for places in found]
    return {one: tuple(paths[number] for number in one) for one in sets}


def picture_sides(manifest: Manifest) -> list[str]:
    """Return the side of a split of each image (m,), by a column or by a folder such as `train`.

    An empty name stands for no side.
    """
    paths, codes = manifest.images()
    first = np.unique(codes, return_index=True)[1]
    found = [side_of_folder(path) for path in paths]
    for name in split_columns(manifest):
        values = sides_of(manifest, name)
        found = [values[row] or side for row, side in zip(first.tolist(), found, strict=True)]
    return found


def _read(path: Path, reading: Mapping[str, int]) -> Pixels | None:
    try:
        return grey_square(decode_image(path, **reading))
    except ImageError:
        return None


def _finding(kind: str, what: str, sets: Sequence[tuple[str, ...]], *, harmless: bool = False) -> Finding:
    again = sum(len(paths) - 1 for paths in sets)
    is_are = "is" if again == 1 else "are"
    one, other = sets[0][:2]
    return Finding(
        kind, f"{counted(again, 'picture')} {is_are} {what}", again, f"{other}, as {one}", harmless
    )
