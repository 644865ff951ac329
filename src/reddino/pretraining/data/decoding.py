"""Decoding of the images of a manifest: each once, shrunk, and indexed as its pixels are written."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.pretraining.data.image_index import ImageIndex
from reddino.rbc.diameters import image_diameters
from reddino.smears.contents import file_state
from reddino.smears.decode import Failures, ImageError, decode_image
from reddino.smears.hashes import Hashes, image_hash
from reddino.smears.manifest import Manifest
from reddino.smears.readings import Readings

#: Of the files of a cache: another version's are not read.
FORMAT = 7

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
class Decoding:
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
    ) -> Decoding:
        """List the images of a manifest, in the order in which it first names them.

        Args:
            manifest: of the images.
            cell_diameters: pixels, by source, for images whose rows have none.
            max_cell_diameter: pixels; images with larger cells are shrunk. None leaves all as they are.
        """
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
        parts = (FORMAT, manifest_fingerprint, self.max_cell_diameter, self.diameters, files)
        return repr(parts).encode()

    def run(
        self, progress: Progress, write: Callable[[NDArray[np.uint8]], object]
    ) -> tuple[ImageIndex, Failures]:
        """Decode all images, hand their flattened pixels to `write` one after the other, and index them."""
        failures, builder = Failures(), IndexBuilder()
        for number in progress(watched(range(len(self.paths)), "decoding pictures")):
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
    """Shrink an image to cells of at most `max_cell_diameter` pixels; return also its size over the old."""
    if max_cell_diameter is None or not cell_diameter > max_cell_diameter:
        return image, 1.0
    scale = max_cell_diameter / cell_diameter
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale
