"""Decode every image of a manifest once and keep its pixels, so that training never waits for a JPEG."""

from __future__ import annotations

import logging
import mmap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.archives import require_stored
from reddino.foundations.atomic import atomic_path, remove_partials
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.pretraining.data.decoding import Decoding, Progress
from reddino.pretraining.data.image_index import STORED, ImageIndex, index_faults
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.packs import PackedManifest

#: Of a pack: the file of its index, next to which its pixels lie.
INDEX = "images.npz"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageCache:
    """The decoded images of a manifest, (h, w, 3) uint8 RGB each, in one flat array of bytes.

    Attributes:
        index: where the images lie and what is known of them.
        pixels: the flat array, in memory or memory-mapped read-only.
        failures: the images that could not be decoded and are left out.
    """

    index: ImageIndex
    pixels: NDArray[np.uint8]
    failures: Failures
    _unverified: NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from_file = isinstance(self.pixels, np.memmap) and len(self.index.checksums) == len(self.index)
        object.__setattr__(self, "_unverified", np.full(len(self.index), from_file))

    def __len__(self) -> int:
        return len(self.index)

    def release(self) -> None:
        """Give back the memory of a mapped file's pages that were looked at; they stay in the system's cache.

        Without it a long run's resident memory grows to the size of the file, which looks like a leak.
        """
        mapped = getattr(self.pixels, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)

    def image(self, number: int) -> NDArray[np.uint8]:
        """Return the pixels of image `number`, (h, w, 3) uint8 RGB; a view, not to be written to.

        Raises:
            RedDinoError: at its first use in a process, if they do not fit their checksum.
        """
        index = self.index
        height, width, start = int(index.height[number]), int(index.width[number]), int(index.offset[number])
        # As a plain array: every slice of a memmap costs several times what one of an array does.
        image = np.asarray(self.pixels)[start : start + height * width * 3].reshape(height, width, 3)
        if self._unverified[number]:
            if zlib.crc32(image.data) != int(index.checksums[number]):
                raise RedDinoError(
                    f"decoded images are damaged, image {number} does not fit its checksum: "
                    f"{getattr(self.pixels, 'filename', 'memory')}; make that file again"
                )
            self._unverified[number] = False
        return image

    def with_pixel_sizes(self, um_per_px: NDArray[np.float64]) -> ImageCache:
        """Return the cache with the micrometres of a pixel, (m,) by row of the manifest."""
        return replace(self, index=replace(self.index, um_per_px=um_per_px[self.index.row]))

    def verify(self) -> None:
        """Read every image once, a gigabyte a second or so.

        Raises:
            RedDinoError: one does not fit its checksum.
        """
        for number in np.flatnonzero(self._unverified).tolist():
            self.image(number)
        self.release()


def open_cache(
    manifest: Manifest,
    folder: Path | None = None,
    *,
    cell_diameters: Mapping[str, float] | None = None,
    max_cell_diameter: float | None = None,
    um_per_px: NDArray[np.float64] | None = None,
    progress: Progress | None = None,
) -> ImageCache:
    """Open the cache of `manifest` inside `folder`, decoding the images first if it is not there yet.

    Args:
        manifest: images to train on; rows that share a path are one image. A pack's brings its own cache.
        folder: where caches are kept, two files each; None keeps the pixels in memory only.
        cell_diameters: source -> diameter of a red cell in original pixels, for images whose row names none.
        max_cell_diameter: shrink images so that a cell is at most this many pixels across; None stores them
            as they are. Patches are resized to the network's input anyway, and small images are cropped
            faster.
        um_per_px: micrometres of a pixel, by row of the manifest, where patches are measured in them.
        progress: wraps the iterable of image numbers, as a progress bar does.

    Raises:
        RedDinoError: not one image could be decoded, or the cache cannot be written.
    """
    if isinstance(manifest, PackedManifest):
        cache = open_packed_cache(manifest, max_cell_diameter)
    else:
        cache = _decoded(manifest, folder, cell_diameters or {}, max_cell_diameter, progress)
    return cache if um_per_px is None else cache.with_pixel_sizes(um_per_px)


def _decoded(
    manifest: Manifest,
    folder: Path | None,
    cell_diameters: Mapping[str, float],
    max_cell_diameter: float | None,
    progress: Progress | None,
) -> ImageCache:
    """Open the images of a manifest that is no pack; the arguments are those of `open_cache`."""
    decoding = Decoding.of(manifest, cell_diameters, max_cell_diameter)
    wrap = progress or (lambda numbers: numbers)
    if folder is None:
        chunks: list[NDArray[np.uint8]] = []
        index, failures = decoding.run(wrap, chunks.append)
        cache = ImageCache(index, np.concatenate(chunks), failures)
    else:
        stem = hash_bytes(decoding.description(manifest.fingerprint()))
        pixels_file, index_file = folder / f"{stem}.pixels", folder / f"{stem}.npz"
        remove_partials(folder)
        if not _is_whole(index_file):
            _build(decoding, wrap, pixels_file, index_file)
        cache = read_cache(index_file)
        failures = cache.failures
    if failures.count:
        _log.warning("%s; %d images remain", failures.summary(), len(cache))
    return cache


def open_packed_cache(manifest: PackedManifest, max_cell_diameter: float | None) -> ImageCache:
    """Open the images of a pack.

    Raises:
        RedDinoError: they were shrunk to another size than the recipe's.
    """
    if manifest.max_cell_diameter != max_cell_diameter:
        packed, wanted = (
            "null" if size is None else f"{size:g}"
            for size in (manifest.max_cell_diameter, max_cell_diameter)
        )
        raise RedDinoError(
            f"packed with max_cell_diameter {packed}, where the recipe has {wanted}: {manifest.root}; "
            f"set data.max_cell_diameter={packed} or pack the images for this recipe"
        )
    return read_cache(manifest.root / INDEX)


def _is_whole(index_file: Path) -> bool:
    """Whether a cache is there and undamaged; one that is not is made again, which is logged."""
    if not index_file.exists():
        return False
    try:
        read_cache(index_file).verify()
    except RedDinoError as error:
        _log.warning("%s: the images are decoded again", error)
        index_file.unlink(missing_ok=True)
        return False
    return True


def read_cache(index_file: Path) -> ImageCache:
    """Open a cache that is there by its index (.npz), next to which the pixels lie.

    Raises:
        RedDinoError: the pixels do not fit the index, or another version wrote it.
    """
    index, failures = _read_index(index_file)
    return ImageCache(index, _map(index_file.with_suffix(".pixels"), index), failures)


def _build(decoding: Decoding, progress: Progress, pixels_file: Path, index_file: Path) -> None:
    """Write the pixels, then the index: the index is what makes a cache exist, so it comes last and whole."""
    try:
        with atomic_path(pixels_file) as partial, partial.open("wb") as file:
            index, failures = decoding.run(progress, lambda pixels: file.write(pixels.data))
        write_index(index, failures, index_file)
    except OSError as error:
        raise RedDinoError(
            f"decoded images cannot be written ({error.strerror or error}): {pixels_file.parent}; "
            "choose another cache folder"
        ) from error


def write_index(index: ImageIndex, failures: Failures, path: Path) -> None:
    """Write the index of a cache, whole or not at all."""
    columns: dict[str, Any] = {name: getattr(index, name) for name in STORED}
    columns["failures"] = np.array(list(failures), np.str_).reshape(-1, 2)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, **columns)


def _read_index(path: Path) -> tuple[ImageIndex, Failures]:
    try:
        require_stored(path, path.stat().st_size, str(path))
        index, failures = _read_columns(path)
    except RedDinoError:
        raise
    except Exception as error:  # on damaged bytes, numpy and zipfile raise errors of many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RedDinoError(
            f"the index {path} of decoded images is damaged ({reason}); delete {path.parent} and make it "
            "again"
        ) from error
    fault = next(index_faults(index), None)
    if fault is not None:
        raise RedDinoError(
            f"the index {path} of decoded images is damaged ({fault}); delete {path.parent} and make it again"
        )
    return index, failures


def _read_columns(path: Path) -> tuple[ImageIndex, Failures]:
    with np.load(path, allow_pickle=False) as columns:
        lost = set(STORED) - {"checksums", *columns.files}
        if lost:
            raise RedDinoError(
                f"the image cache {path} is of another version of RedDino (it lacks "
                f"{', '.join(sorted(lost))}); delete {path.parent} and make it again"
            )
        kept = set(STORED) & set(columns.files)
        index = ImageIndex(**{name: columns[name] for name in kept})
        failures = Failures()
        for failed, reason in columns["failures"]:
            failures.add(str(failed), str(reason))
    return index, failures


def _map(pixels_file: Path, index: ImageIndex) -> NDArray[np.uint8]:
    if not pixels_file.exists() or pixels_file.stat().st_size != index.total_bytes:
        raise RedDinoError(
            f"the image cache {pixels_file} does not fit its index; delete {pixels_file.parent}"
        )
    return np.memmap(pixels_file, dtype=np.uint8, mode="r")
