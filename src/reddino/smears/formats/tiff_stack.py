"""Pages by channel, focus plane and point in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reddino.smears.failures import ImageError


@dataclass(frozen=True)
class Stack:
    """The pages of one picture, plane by plane.

    Attributes:
        pages: numbers of pages, from 0; where a plane has three, red, green and blue follow each other.
        colours: pages of a plane: 1 or 3.
        stated: bits that count in a sample; None where the description does not state them.
    """

    pages: tuple[int, ...]
    colours: int
    stated: int | None = None


def lay_out(
    path: Path,
    order: str,
    sizes: tuple[int, int, int],
    numbers: list[int],
    *,
    colours: list[int] | None,
    stated: int | None = None,
) -> Stack:
    """Sort pages into planes.

    Args:
        path: the file, for errors.
        order: of the letters C, Z and T, the fastest first.
        sizes: of each letter of `order`.
        numbers: the pages in that order.
        colours: the channels that are red, green and blue; None where the file does not name them.
        stated: bits that count in a sample.

    Raises:
        ImageError: channels that are not red, green and blue; points in time; pages that are missing.
    """
    by_letter = dict(zip(order, sizes, strict=True))
    if by_letter["T"] > 1:
        raise ImageError(path, f"holds {by_letter['T']} points in time; save the picture that counts")
    channels, slices = by_letter["C"], by_letter["Z"]
    if channels > 1 and colours is None:
        raise ImageError(
            path, f"holds {channels} channels that it does not call red, green and blue; save it as RGB"
        )
    if channels * slices != len(numbers):
        raise ImageError(path, f"should hold {channels * slices} pages and holds {len(numbers)}")
    grid = np.array(numbers).reshape(sizes[::-1])
    # Axes from slow to fast are the letters in reverse: bring them to Z, C (T is one).
    letters = order[::-1]
    grid = grid.transpose([letters.index(one) for one in "TZC"])[0]
    if colours is not None and channels > 1:
        grid = grid[:, colours]
    return Stack(tuple(int(one) for one in grid.ravel()), grid.shape[1], stated)
