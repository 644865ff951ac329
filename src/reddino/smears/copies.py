"""Copies among pictures: the same one, or nearly, under several names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.smears.hashes import Hashes, hash_thumbnail
from reddino.smears.sketches import Pixels, Sketch, orientations

#: Bits of 128 in which the hashes of candidates may differ: of sure ones, and of others.
NEAR, FAR = 10, 16
#: How the middles of two pictures must agree (correlation of their detail). On nine collections of real
#: fields, all pairs above these show one place, and pairs of different fields stay below 0.1 (below 0.6
#: for crops of single cells, 0.9 for cells cut out along their outline).
SAME, ALIKE_NEAR, ALIKE_FAR = 0.9, 0.45, 0.65
#: A picture with more candidates than this has a hash that is too common; only `SAME` counts then.
MOST_ALIKE = 5
#: Candidates of one picture, and pairs in all, that are compared pixel by pixel.
MOST_CANDIDATES, MOST_PAIRS = 20, 20_000
#: With more fields than this, copies that were turned or mirrored are not searched.
MOST_TURNED = 20_000
#: Side of the grey squares that are compared, and the part of it that is the middle.
_SIDE, _MIDDLE = 128, slice(36, 92)
#: Pixels of the square by which a copy may be shifted, and the least contrast of its detail.
_SHIFT, _LEAST_CONTRAST = 16, 1.0
_PAIRS = 2**22


def find_copies(sketches: Sequence[Sketch], grey: Callable[[int], Pixels | None]) -> list[tuple[int, ...]]:
    """Return the sets of pictures that are the same, or nearly: scaled, stored again, turned or taken twice.

    Equal pixels are copies whatever they show. Fields are copies too if their hashes are near and the middles
    of the pictures agree in detail; crops of single cells are too similar for that.

    Args:
        sketches: (n,) of the pictures.
        grey: reads picture number i as (128, 128) (`reddino.smears.sketches.grey_square`); None where it
            cannot be read.

    Returns:
        The numbers of the pictures of each set, in order; sets of one are left out.
    """
    parent = list(range(len(sketches)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    first: dict[int, int] = {}
    for number, sketch in enumerate(sketches):
        if sketch.digest:
            parent[number] = first.setdefault(sketch.digest, number)
    fields = [n for n, one in enumerate(sketches) if one.thumbnail is not None and parent[n] == n]
    read = lru_cache(maxsize=512)(grey)
    for one, other, bits, turn, sure in candidates([sketches[n].thumbnail for n in fields]):
        a, b = fields[one], fields[other]
        if root(a) != root(b) and _same_place(read(a), read(b), bits, turn, sure):
            parent[max(root(a), root(b))] = min(root(a), root(b))
    sets: dict[int, list[int]] = {}
    for number in range(len(sketches)):
        sets.setdefault(root(number), []).append(number)
    return [tuple(numbers) for numbers in sets.values() if len(numbers) > 1]


def candidates(thumbnails: Sequence[NDArray[np.uint8] | None]) -> list[tuple[int, int, int, int, bool]]:
    """Return the pairs (i < j) whose hashes are near, the nearest first.

    Returns:
        i, j, bits that differ, the orientation of i (a number of `orientations`) in which they do, and
        whether both have so few candidates that their hashes mean something.
    """
    if len(thumbnails) < 2:
        return []
    grey = np.stack([one for one in thumbnails if one is not None])
    known = hash_thumbnail(grey)
    turned = list(orientations(grey.transpose(1, 2, 0)))[: 8 if len(grey) <= MOST_TURNED else 1]
    wanted = [hash_thumbnail(np.ascontiguousarray(one.transpose(2, 0, 1))) for one in turned]
    found: list[tuple[int, int, int, int]] = []
    step = max(1, _PAIRS // len(grey))
    for start in range(0, len(grey), step):
        found += _near(wanted, known, start, min(start + step, len(grey)))
    alike = np.bincount([number for pair in found for number in pair[:2]], minlength=len(grey))
    found.sort(key=lambda pair: pair[2])
    return [
        (one, other, bits, turn, bool(max(alike[one], alike[other]) <= MOST_ALIKE))
        for one, other, bits, turn in found[:MOST_PAIRS]
    ]


def _near(wanted: Sequence[Hashes], known: Hashes, start: int, stop: int) -> list[tuple[int, int, int, int]]:
    """Yield pairs of the pictures `start` to `stop` with later ones, the best orientation of each."""
    least = np.full((stop - start, len(known)), 255, np.uint8)
    best = np.zeros_like(least)
    for turn, hashes in enumerate(wanted):
        part = hashes[start:stop, None]
        apart = np.bitwise_count(part[..., 0] ^ known[:, 0]) + np.bitwise_count(part[..., 1] ^ known[:, 1])
        best[apart < least] = turn
        np.minimum(least, apart, out=least)
    pairs = []
    for row in range(stop - start):
        one = start + row
        near = one + 1 + np.flatnonzero(least[row, one + 1 :] <= FAR)
        for other in near[np.argsort(least[row, near], kind="stable")][:MOST_CANDIDATES].tolist():
            pairs.append((one, other, int(least[row, other]), int(best[row, other])))
    return pairs


def _same_place(one: Pixels | None, other: Pixels | None, bits: int, turn: int, sure: bool) -> bool:
    if one is None or other is None:
        return False
    agreement = middle_agreement(list(orientations(one))[turn], other)
    needed = (ALIKE_NEAR if bits <= NEAR else ALIKE_FAR) if sure else SAME
    return agreement >= needed


def middle_agreement(one: Pixels, other: Pixels) -> float:
    """Return the correlation, at most 1, of the detail in the middles of two grey squares (128, 128).

    One of them is shifted to fit the other.

    The middle alone, since the rim of an eyepiece or of a mask agrees between any two pictures.
    """
    coarse = [_detail(image, 8) for image in (one, other)]
    window = cv2.createHanningWindow((_SIDE, _SIDE), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(coarse[0], coarse[1], window)
    a, b = _detail(one, 2), _detail(other, 2)
    return max(_correlation(a, b, x, y) for x, y in {(0, 0), (round(dx), round(dy))})


def _detail(image: Pixels, coarse: float) -> NDArray[np.float32]:
    """Return the detail that is finer than a blur of `coarse` pixels."""
    grey = image.astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), coarse), np.float32)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32], dx: int, dy: int) -> float:
    """Return the correlation of both middles, one moved by dx, dy; 0 where either shows nothing."""
    if max(abs(dx), abs(dy)) > _SHIFT:
        return 0.0
    a = one[_MIDDLE, _MIDDLE]
    b = other[_MIDDLE.start + dy : _MIDDLE.stop + dy, _MIDDLE.start + dx : _MIDDLE.stop + dx]
    a, b = a - a.mean(), b - b.mean()
    if min(float(a.std()), float(b.std())) < _LEAST_CONTRAST:
        return 0.0
    return float((a * b).mean() / (a.std() * b.std()))
