"""Colours and markers that stay apart for every eye, and which of them a group of points gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Okabe and Ito's colours, distinct under every common colour blindness; beyond eight the marker changes too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
NO_LABEL = "#BBBBBB"
#: Groups that colour and marker distinguish without help.
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
        # Not an array of text: it pads all labels to the longest, and takes off zero bytes at their ends.
        names = sorted(sorted({str(label) for label in labels}), key=natural_key)
        index = numbered(labels, names)
        counts = np.bincount(index, minlength=len(names)).astype(np.int64)
        return cls(tuple(names), index, counts)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def named(self) -> list[int]:
        """Numbers of the groups that have a name."""
        return [i for i, name in enumerate(self.names) if name]

    def styles(self) -> list[tuple[str, str]]:
        """Colour and marker of each group; "" is grey and does not use one up."""
        found = [(NO_LABEL, ".")] * len(self)
        for place, i in enumerate(self.named):
            found[i] = style(place)
        return found


def numbered(values: Sequence[str], names: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the place (n,) of each value among the names."""
    place = {name: number for number, name in enumerate(names)}
    return np.fromiter((place[value] for value in values), np.int64, len(values))


def style(place: int) -> tuple[str, str]:
    """Colour and marker number `place`; they repeat after `DISTINCT`."""
    return PALETTE[place % len(PALETTE)], MARKERS[place // len(PALETTE) % len(MARKERS)]


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that reads runs of digits, of whatever length, as numbers."""
    parts: list[str] = [""]
    for letter in text:
        if parts[-1] and parts[-1][-1].isdecimal() != letter.isdecimal():
            parts.append("")
        parts[-1] += letter
    return [_number_key(part) if part.isdecimal() else (True, 0, part.casefold()) for part in parts if part]


def _number_key(digits: str) -> tuple[bool, int, str]:
    plain = "".join(str(int(digit)) for digit in digits).lstrip("0")
    return False, len(plain), plain
