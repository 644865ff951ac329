"""Perceptual hashes of images: whether a picture, or one almost like it, was there before."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.foundations.stages import watched
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

Hashes = NDArray[np.uint64]

#: Of 128 bits, so many may differ between near-duplicates (the same picture stored or scaled again).
NEAR_BITS = 10
# Pairs that are compared at once (32 MB).
_PAIRS = 2**22


def image_hash(image: NDArray[np.uint8]) -> Hashes:
    """Return two difference hashes (2,) of 64 bits.

    They mark where a 9 x 9 grey thumbnail brightens to the right, and down.

    Args:
        image: (h, w, 3) uint8 RGB.
    """
    return hash_thumbnail(thumbnail(image))


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (h, w, 3) in 9 x 9 grey pixels."""
    # Shrunk before it becomes grey: a thumbnail costs less to convert.
    small = cv2.resize(image, (9, 9), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def hash_thumbnail(grey: NDArray[np.uint8]) -> Hashes:
    """Return the hashes (..., 2) of thumbnails (..., 9, 9)."""
    right = grey[..., :8, 1:] > grey[..., :8, :-1]
    down = grey[..., 1:, :8] > grey[..., :-1, :8]
    both = np.stack([right, down], axis=-3)
    bits = np.packbits(both.reshape(*both.shape[:-2], 64), axis=-1)
    return bits.view(">u8").astype(np.uint64)[..., 0]


def as_hex(hashes: Hashes) -> str:
    """Return the hashes (2,) of an image as 32 hex digits."""
    return "".join(f"{int(part):016x}" for part in hashes)


def from_hex(digits: str) -> Hashes:
    """Return the hashes (2,) of an image, from `as_hex`."""
    return np.array([int(digits[:16], 16), int(digits[16:], 16)], np.uint64)


def hash_images(
    manifest: Manifest, failures: Failures | None = None, known: Mapping[int, Hashes] | None = None
) -> tuple[list[str], Hashes]:
    """Return the source of each image of a manifest that can be decoded (n,), and its hashes (n, 2).

    Args:
        manifest: of the images.
        failures: takes the images that cannot be decoded.
        known: hashes (2,) by number of the image; these images are not read.
    """
    known = known or {}
    readings = Readings(manifest.table)
    names, image_of_row = manifest.images()
    first = np.unique(image_of_row, return_index=True)[1]
    all_sources = manifest.strings("source")
    sources, hashes = [], [np.empty((0, 2), np.uint64)]
    pictures = list(zip(names, first.tolist(), strict=True))
    for number, (name, row) in enumerate(watched(pictures, "hashing pictures")):
        try:
            found = (
                known[number]
                if number in known
                else image_hash(decode_image(manifest.root / name, **readings.of(name)))
            )
        except ImageError as error:
            if failures is not None:
                failures.add(error.path, error.reason)
            continue
        hashes.append(found[None])
        sources.append(all_sources[row])
    return sources, np.concatenate(hashes)


def near_duplicates(wanted: Hashes, known: Hashes, bits: int = NEAR_BITS) -> NDArray[np.bool_]:
    """Return which images (n, 2) differ from any of the known ones (m, 2) in at most `bits` bits: (n,)."""
    found = np.zeros(len(wanted), dtype=np.bool_)
    known = np.unique(known, axis=0)
    if not len(known):
        return found
    step = max(1, _PAIRS // len(known))
    for start in range(0, len(wanted), step):
        part = wanted[start : start + step, None]
        apart = np.bitwise_count(part[..., 0] ^ known[:, 0]) + np.bitwise_count(part[..., 1] ^ known[:, 1])
        found[start : start + step] = (apart <= bits).any(axis=1)
    return found
