"""Sketches of pictures: the little that is kept of each to find the same one again, or one almost like it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.smears.hashes import Hashes, as_hex, from_hex, hash_thumbnail, thumbnail

Pixels = NDArray[np.uint8]
Thumbnail = NDArray[np.uint8]

#: Shorter sides are crops of single cells, which are so similar that only equal pixels prove anything.
SMALLEST_FIELD = 160
#: A larger part that is exactly black is a cell cut out along its outline, or nothing.
MOST_BLACK = 0.2
#: Bytes of a picture that its digest covers: all of a crop, evenly spaced lines of a field.
DIGESTED = 2**18
#: Thumbnails have 9 x 9 pixels.
_GRID = 9
_DIGITS = 32, 48, 48 + 2 * _GRID * _GRID


@dataclass(frozen=True)
class Sketch:
    """The part of a picture that is kept for comparison.

    Attributes:
        hashes: (2,) of `reddino.smears.hashes.image_hash`.
        digest: of the pixels, the same for equal pixels, of crops in whatever orientation; 0 where all
            pixels are one colour.
        thumbnail: (9, 9) grey of a field; None of a crop, whose appearance is never compared.
    """

    hashes: Hashes
    digest: int
    thumbnail: Thumbnail | None

    def as_hex(self) -> str:
        """Return 48 hex digits for a crop, 210 for a field; the first 32 are those of the hashes."""
        looks = b"" if self.thumbnail is None else self.thumbnail.tobytes()
        return f"{as_hex(self.hashes)}{self.digest:016x}{looks.hex()}"


def sketch_of(image: Pixels) -> Sketch:
    """Return the sketch of a picture (h, w, 3) uint8 RGB."""
    small = thumbnail(image)
    field = min(image.shape[:2]) >= SMALLEST_FIELD and not _mostly_black(image)
    return Sketch(hash_thumbnail(small), _digest(image, small, turned=not field), small if field else None)


def sketch_from_hex(digits: str) -> Sketch | None:
    """Return the sketch that `Sketch.as_hex` wrote; None where only hashes were noted."""
    hashes, digest, looks = _DIGITS
    if len(digits) not in (digest, looks):
        return None
    grey = np.frombuffer(bytes.fromhex(digits[digest:]), np.uint8)
    small = grey.reshape(_GRID, _GRID) if len(grey) else None
    return Sketch(from_hex(digits[:hashes]), int(digits[hashes:digest], 16), small)


def orientations(image: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield a picture (h, w, ...) in its eight orientations, itself first.

    They are quarter turns, each mirrored too.
    """
    for mirrored in (image, image[:, ::-1]):
        for quarter in range(4):
            yield np.rot90(mirrored, quarter)


def _mostly_black(image: Pixels) -> bool:
    red, green, blue = (image[::8, ::8, channel] for channel in range(3))
    return bool(((red | green | blue) == 0).mean() > MOST_BLACK)


def _digest(image: Pixels, small: Thumbnail, *, turned: bool) -> int:
    if (small == small[0, 0]).all() and (image == image[0, 0]).all():
        return 0
    if turned and image.nbytes <= DIGESTED:
        return min(_hash(one) for one in _upright(image))
    return _hash(image[:: -(-image.nbytes // DIGESTED)], image.shape)


def _upright(image: Pixels) -> list[Pixels]:
    """Return the orientation with the brightest quarter top left, its brighter neighbour top right.

    All eight where quarters are equally bright.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    rows, columns = (slice(height), slice(-height, None)), (slice(width), slice(-width, None))
    quarters = np.array([[int(image[row, column].sum()) for column in columns] for row in rows])
    chosen = [
        one
        for one, light in zip(orientations(image), orientations(quarters), strict=True)
        if light[0, 0] == light.max() and light[0, 1] >= light[1, 0]
    ]
    return chosen if len(np.unique(quarters)) == 4 else list(orientations(image))


def _hash(image: Pixels, shape: tuple[int, ...] | None = None) -> int:
    """Return a number of 64 bits that is not 0."""
    size = repr(image.shape if shape is None else shape).encode()
    digest = hashlib.blake2b(image.tobytes(), digest_size=8, key=size)
    return int.from_bytes(digest.digest(), "big") or 1


def grey_square(image: Pixels, side: int = 128) -> Pixels:
    """Return a picture (h, w, 3) as a grey square (side, side), as `reddino.smears.copies` compares them."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
