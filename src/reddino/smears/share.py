"""A share of a collection, for jobs that each compute theirs: whole slides, about as many pictures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.smears.manifest import Manifest

_SPELLING = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class Share:
    """Share `number` of `of` shares, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read a share such as '3/8'.

        Raises:
            RedDinoError: it is none.
        """
        match = _SPELLING.fullmatch(text)
        share = cls(int(match[1]), int(match[2])) if match else None
        if share is None or not 1 <= share.number <= share.of:
            raise RedDinoError(
                f"share must be like 3/8, the third of eight shares, counted from 1, not '{text}'"
            )
        return share

    def select(self, manifest: Manifest) -> Manifest:
        """Return the rows of this share, in their order.

        Pictures of one slide of a source stay together. The shares of a manifest are runs of its slides (of
        pictures, where it has no slides) in the order in which they first appear, and follow from it alone.

        Raises:
            RedDinoError: there are fewer slides or pictures than shares, so that this one is empty.
        """
        unit = _units(manifest)
        units = int(unit.max(initial=-1)) + 1
        pictures = np.bincount(unit[np.unique(manifest.images()[1], return_index=True)[1]], minlength=units)
        middle = np.cumsum(pictures) - pictures / 2
        share_of_unit = np.floor(middle * self.of / max(int(pictures.sum()), 1)).astype(np.int64) + 1
        mine = np.asarray(share_of_unit[unit] == self.number)
        if not mine.any():
            raise RedDinoError(
                f"share {self.number}/{self.of} is empty: the data have {counted(units, 'slide or picture')} "
                "that stay whole, and some hold more than a share; take fewer shares"
            )
        return manifest.select(mine)

    def record(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Return what a table of this share records: of which pictures and slides it is which share.

        Empty where it is all of them.
        """
        names, codes = manifest.images()
        first = np.unique(codes, return_index=True)[1].tolist()
        sources, slides = manifest.strings("source"), manifest.strings("slide")
        whole = [[name, sources[row], slides[row]] for name, row in zip(names, first, strict=True)]
        data = hash_bytes(json.dumps(whole).encode())
        return [{"data": data, "of": self.of, "numbers": [self.number]}] if self.of > 1 else []


def _units(manifest: Manifest) -> NDArray[np.int64]:
    """Return for each row (n,) the number of what stays whole: its slide, else its picture."""
    names, codes = manifest.images()
    sources, slides = manifest.strings("source"), manifest.strings("slide")
    first = np.unique(codes, return_index=True)[1].tolist()
    numbers: dict[tuple[str, ...], int] = {}
    of_picture = np.empty(len(names), dtype=np.int64)
    for picture, row in enumerate(first):
        key = (sources[row], slides[row]) if slides[row] else (names[picture],)
        of_picture[picture] = numbers.setdefault(key, len(numbers))
    return of_picture[codes]
