"""Colours and markers that stay apart for every eye, and which of them a group of points gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Okabe and Ito's colours, distinct under every common colour blindness; beyond eight the marker changes too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
NO_LABEL = "#BBBBBB"
#: Groups that colour and marker tell apart without help.
DISTINCT = len(PALETTE) * len(MARKERS)


@dataclass(frozen=True)
class Groups:
    """Points by their label.

    Attributes:
        names: the labels in order; "" (no label) is one of them where it occurs.
        index: (n,) number of each point's label.
        counts: points of each label.
    """

    names: tuple[str, ...]
    index: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Groups:
        """Group points by label, labels in natural order (slide 2 before slide 10)."""
        names, index = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
        order = sorted(range(len(names)), key=lambda i: natural_key(str(names[i])))
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        index = place[index.reshape(-1)]
        counts = np.bincount(index, minlength=len(names)).astype(np.int64)
        return cls(tuple(str(names[i]) for i in order), index, counts)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def named(self) -> list[int]:
        """Numbers of the groups that have a name."""
        return [i for i, name in enumerate(self.names) if name]

    def looks(self) -> list[tuple[str, str]]:
        """Colour and marker of each group; "" is grey and does not use one up."""
        found = [(NO_LABEL, ".")] * len(self)
        for place, i in enumerate(self.named):
            found[i] = look(place)
        return found


def look(place: int) -> tuple[str, str]:
    """Colour and marker number `place`; they repeat after `DISTINCT`."""
    return PALETTE[place % len(PALETTE)], MARKERS[place // len(PALETTE) % len(MARKERS)]


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """A sort key that reads runs of digits as numbers."""
    parts: list[str] = [""]
    for letter in text:
        if parts[-1] and parts[-1][-1].isdecimal() != letter.isdecimal():
            parts.append("")
        parts[-1] += letter
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part.casefold())
        for part in parts
        if part
    ]


def short(name: str, most: int = 28) -> str:
    """A name cut to `most` letters, for legends and titles."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
