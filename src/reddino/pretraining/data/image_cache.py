"""Decode every image of a manifest once and keep its pixels, so that training never waits for a JPEG."""

from __future__ import annotations

import logging
import mmap
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.foundations.archives import require_stored
from reddino.foundations.atomic import atomic_path, remove_partials
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.pretraining.data.image_index import ImageIndex, index_faults
from reddino.rbc.diameters import image_diameters
from reddino.smears.contents import file_state
from reddino.smears.decode import Failures, ImageError, decode_image
from reddino.smears.hashes import Hashes, image_hash
from reddino.smears.manifest import Manifest
from reddino.smears.packs import PackedManifest
from reddino.smears.readings import Readings

_FORMAT = 7
#: Of a pack: the file of its index, beside which its pixels lie.
INDEX = "images.npz"
_log = logging.getLogger(__name__)

Progress = Callable[[Iterable[int]], Iterable[int]]


class IndexBuilder:
    """Collects what is known of the images as their pixels are written one after the other."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._geometry: list[tuple[int, int, float, float]] = []
        self._sources: list[str] = []
        self._hashes: list[Hashes] = []
        self._cells: list[NDArray[np.float64]] = [np.empty((0, 3))]
        self._checksums: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        row: int,
        pixels: NDArray[np.uint8],
        scale: float,
        cell_diameter: float,
        source: str,
        *,
        centres: NDArray[np.float64] | None = None,
    ) -> None:
        """Note an image; `cell_diameter` and `centres` (k, 2) of its cells in original pixels."""
        if centres is not None:
            number = np.full((len(centres), 1), float(len(self)))
            self._cells.append(np.concatenate([number, centres * scale], axis=1))
        self._rows.append(row)
        self._geometry.append((pixels.shape[0], pixels.shape[1], scale, cell_diameter * scale))
        self._sources.append(source)
        self._hashes.append(image_hash(pixels))
        self._checksums.append(zlib.crc32(np.ascontiguousarray(pixels).data))

    def index(self) -> ImageIndex:
        """Return the index of what was collected."""
        height, width, scale, diameter = np.array(self._geometry, np.float64).reshape(-1, 4).T
        ends = np.cumsum(height.astype(np.int64) * width.astype(np.int64) * 3)
        names, source = np.unique(np.array(self._sources, np.str_), return_inverse=True)
        return ImageIndex(
            row=np.array(self._rows, np.int64),
            height=height.astype(np.int64),
            width=width.astype(np.int64),
            offset=np.concatenate([np.zeros(1, np.int64), ends])[:-1],
            scale=scale,
            cell_diameter=diameter,
            source=source.astype(np.int64),
            source_names=names,
            hashes=np.array(self._hashes, np.uint64).reshape(-1, 2),
            cells=np.concatenate(self._cells),
            checksums=np.array(self._checksums, np.uint32),
        )


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
        progress: wraps the iterable of image numbers, as a progress bar does.

    Raises:
        RedDinoError: not one image could be decoded, or the cache cannot be written.
    """
    if isinstance(manifest, PackedManifest):
        return open_packed_cache(manifest, max_cell_diameter)
    decoding = _Decoding.of(manifest, cell_diameters or {}, max_cell_diameter)
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
    """Open a cache that is there by its index (.npz), beside which the pixels lie.

    Raises:
        RedDinoError: the pixels do not fit the index, or another version wrote it.
    """
    index, failures = _read_index(index_file)
    return ImageCache(index, _map(index_file.with_suffix(".pixels"), index), failures)


@dataclass(frozen=True)
class _Decoding:
    """What is to be decoded: each image once, how it is read, first row, source, cell diameter, cells."""

    paths: list[Path]
    readings: list[Mapping[str, int]]
    rows: NDArray[np.int64]
    sources: list[str]
    diameters: list[float]
    centres: list[NDArray[np.float64]]
    max_cell_diameter: float | None

    @classmethod
    def of(
        cls, manifest: Manifest, cell_diameters: Mapping[str, float], max_cell_diameter: float | None
    ) -> _Decoding:
        names, image_of_row = manifest.images()
        rows = np.unique(image_of_row, return_index=True)[1].astype(np.int64)
        all_sources = manifest.strings("source")
        sources = [all_sources[row] for row in rows]
        diameters = image_diameters(manifest, cell_diameters).tolist()
        paths = [manifest.root / name for name in names]
        readings = Readings(manifest.table)
        centres = centres_by_image(manifest.centres(), image_of_row, len(paths))
        return cls(
            paths, [readings.of(name) for name in names], rows, sources, diameters, centres, max_cell_diameter
        )

    def description(self, manifest_fingerprint: str) -> bytes:
        """Everything the cache depends on: rows, files with size and date, and how images are shrunk."""
        states = [file_state(path) for path in self.paths]
        files = [None if state is None else (state.size, state.modified) for state in states]
        parts = (_FORMAT, manifest_fingerprint, self.max_cell_diameter, self.diameters, files)
        return repr(parts).encode()

    def run(
        self, progress: Progress, write: Callable[[NDArray[np.uint8]], object]
    ) -> tuple[ImageIndex, Failures]:
        """Decode all images, hand their flattened pixels to `write` one after the other, and index them."""
        failures, builder = Failures(), IndexBuilder()
        for number in progress(range(len(self.paths))):
            diameter = self.diameters[number]
            try:
                image = decode_image(self.paths[number], **self.readings[number])
                require_diameter(self.paths[number], image, diameter)
            except ImageError as error:
                failures.add(error.path, error.reason)
                continue
            image, scale = shrink(image, diameter, self.max_cell_diameter)
            write(np.ascontiguousarray(image).reshape(-1))
            row, centres = int(self.rows[number]), self.centres[number]
            builder.add(row, image, scale, diameter, self.sources[number], centres=centres)
        if not len(builder):
            raise RedDinoError(f"there is no image to train on: {failures.summary()}")
        return builder.index(), failures


def centres_by_image(
    centres: NDArray[np.float64], image_of_row: NDArray[np.int64], images: int
) -> list[NDArray[np.float64]]:
    """Split centres (rows, 2), NaN for whole images, into the (k, 2) centres of each image's cells."""
    marked = np.flatnonzero(~np.isnan(centres).any(axis=1))
    of_image = image_of_row[marked]
    order = np.argsort(of_image, kind="stable")
    ends = np.cumsum(np.bincount(of_image, minlength=images))
    return np.split(centres[marked[order]], ends[:-1])


def require_diameter(path: str | Path, image: NDArray[np.uint8], cell_diameter: float) -> None:
    """Refuse an image that is smaller than half a cell.

    Raises:
        ImageError: names both sizes.
    """
    height, width = image.shape[:2]
    if cell_diameter > 2 * max(height, width):
        raise ImageError(
            path,
            f"its cell_diameter of {cell_diameter:g} is larger than the image of {width} x {height}; "
            "it is in pixels",
        )


def shrink(
    image: NDArray[np.uint8], cell_diameter: float, max_cell_diameter: float | None
) -> tuple[NDArray[np.uint8], float]:
    """Shrink an image to cells of at most `max_cell_diameter` pixels; return also its new size over the old."""
    if max_cell_diameter is None or not cell_diameter > max_cell_diameter:
        return image, 1.0
    scale = max_cell_diameter / cell_diameter
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _build(decoding: _Decoding, progress: Progress, pixels_file: Path, index_file: Path) -> None:
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
    columns: dict[str, Any] = {field.name: getattr(index, field.name) for field in fields(ImageIndex)}
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
            f"The index {path} of decoded images is damaged ({reason}); delete {path.parent} and make it "
            "again"
        ) from error
    fault = next(index_faults(index), None)
    if fault is not None:
        raise RedDinoError(
            f"The index {path} of decoded images is damaged ({fault}); delete {path.parent} and make it again"
        )
    return index, failures


def _read_columns(path: Path) -> tuple[ImageIndex, Failures]:
    with np.load(path, allow_pickle=False) as columns:
        lost = {field.name for field in fields(ImageIndex)} - {"checksums", *columns.files}
        if lost:
            raise RedDinoError(
                f"The image cache {path} is of another version of RedDino (it lacks "
                f"{', '.join(sorted(lost))}); delete {path.parent} and make it again."
            )
        kept = {field.name for field in fields(ImageIndex)} & set(columns.files)
        index = ImageIndex(**{name: columns[name] for name in kept})
        failures = Failures()
        for failed, reason in columns["failures"]:
            failures.add(str(failed), str(reason))
    return index, failures


def _map(pixels_file: Path, index: ImageIndex) -> NDArray[np.uint8]:
    if not pixels_file.exists() or pixels_file.stat().st_size != index.total_bytes:
        raise RedDinoError(
            f"The image cache {pixels_file} does not fit its index; delete {pixels_file.parent}."
        )
    return np.memmap(pixels_file, dtype=np.uint8, mode="r")
