"""Decode every image of a manifest once and keep its pixels, so that training never waits for a JPEG."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from reddino.atomic import atomic_path, remove_partials, write_text
from reddino.errors import RedDinoError
from reddino.provenance import hash_bytes
from reddino.smears.decode import ImageError, decode_image
from reddino.smears.manifest import Manifest

Image = npt.NDArray[np.uint8]

_FORMAT = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedImage:
    """Where one image lies in the cache: its manifest row, size in pixels, first byte, and what is known of it.

    `scale` is stored over original pixels, at most 1; `cell_diameter` is in stored pixels, NaN where unknown.
    """

    row: int
    height: int
    width: int
    offset: int
    scale: float
    cell_diameter: float
    source: str


@dataclass(frozen=True)
class ImageCache:
    """The decoded images of a manifest, (h, w, 3) uint8 RGB each, in one flat array of bytes.

    Attributes:
        entries: one an image that could be decoded; an image with several rows (cells) counts once, at its first row.
        pixels: the flat array, in memory or memory-mapped read-only.
        failures: (path, reason) of the images that were left out.
    """

    entries: tuple[CachedImage, ...]
    pixels: Image
    failures: tuple[tuple[Path, str], ...]

    def __len__(self) -> int:
        return len(self.entries)

    def image(self, index: int) -> Image:
        """The pixels of `entries[index]`, (h, w, 3) uint8 RGB; a view, not to be written to."""
        entry = self.entries[index]
        stop = entry.offset + entry.height * entry.width * 3
        return self.pixels[entry.offset : stop].reshape(entry.height, entry.width, 3)


def open_cache(
    manifest: Manifest,
    folder: Path | None = None,
    *,
    cell_diameters: Mapping[str, float] | None = None,
    max_cell_diameter: float | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> ImageCache:
    """Open the cache of `manifest` inside `folder`, decoding the images first if it is not there yet.

    Args:
        manifest: images to train on; rows that share a path are one image.
        folder: where caches are kept, one file pair a manifest; None keeps the pixels in memory only.
        cell_diameters: source -> diameter of a red cell in original pixels, for images whose row names none.
        max_cell_diameter: shrink images so that a cell is at most this many pixels across; None stores them as they
            are. Patches are resized to the network's input anyway, and smaller images are read and cropped faster.
        progress: wraps the iterable of image numbers, as a progress bar does.

    Raises:
        RedDinoError: not one image could be decoded.
    """
    sources = _ImageSources.of(manifest, cell_diameters or {})
    wrap = progress or (lambda numbers: numbers)
    if folder is None:
        chunks: list[Image] = []
        entries, failures = _decode_all(sources, max_cell_diameter, wrap, chunks.append)
        pixels = np.concatenate(chunks) if chunks else np.empty(0, np.uint8)
    else:
        stem = sources.fingerprint(manifest.fingerprint(), max_cell_diameter)
        data, index = folder / f"{stem}.pixels", folder / f"{stem}.json"
        if not index.exists():
            _build(sources, max_cell_diameter, wrap, data, index)
        entries, failures = _read_index(index)
        pixels = _map(data, entries)
    if not entries:
        raise RedDinoError(
            f"None of the {len(failures)} images under {manifest.root} could be decoded; {_first(failures)}"
        )
    if failures:
        _log.warning(
            "%d of %d images could not be decoded and are left out; %s",
            len(failures),
            len(entries),
            _first(failures),
        )
    return ImageCache(tuple(entries), pixels, tuple(failures))


_Failure = tuple[Path, str]


def _first(failures: list[_Failure]) -> str:
    return f"the first is {failures[0][0]}: {failures[0][1]}" if failures else "the manifest is empty."


@dataclass(frozen=True)
class _ImageSources:
    """The images behind a manifest: each path once, with its first row, source and cell diameter (NaN = unknown)."""

    rows: list[int]
    paths: list[Path]
    sources: list[str]
    diameters: list[float]

    @classmethod
    def of(cls, manifest: Manifest, cell_diameters: Mapping[str, float]) -> _ImageSources:
        first_rows: dict[Path, int] = {}
        for row, path in enumerate(manifest.paths()):
            first_rows.setdefault(path, row)
        source_names, own = manifest.strings("source"), manifest.numbers("cell_diameter")
        rows = list(first_rows.values())
        sources = [source_names[row] for row in rows]
        diameters = [
            float(own[row]) if own[row] > 0 else float(cell_diameters.get(source, float("nan")))
            for row, source in zip(rows, sources, strict=True)
        ]
        return cls(rows, list(first_rows), sources, diameters)

    def fingerprint(self, manifest_fingerprint: str, max_cell_diameter: float | None) -> str:
        """Name of the cache: changes with the rows, the files' sizes and dates, and how they are shrunk."""
        stats = [path.stat() if path.exists() else None for path in self.paths]
        files = [(stat.st_size, stat.st_mtime_ns) if stat else None for stat in stats]
        description = (_FORMAT, manifest_fingerprint, max_cell_diameter, self.diameters, files)
        return hash_bytes(repr(description).encode())


def _decode_all(
    sources: _ImageSources,
    max_cell_diameter: float | None,
    progress: Callable[[Iterable[int]], Iterable[int]],
    write: Callable[[Image], object],
) -> tuple[list[CachedImage], list[_Failure]]:
    entries: list[CachedImage] = []
    failures: list[_Failure] = []
    offset = 0
    for number in progress(range(len(sources.paths))):
        try:
            image = decode_image(sources.paths[number])
        except ImageError as error:
            failures.append((sources.paths[number], error.reason))
            continue
        diameter = sources.diameters[number]
        image, scale = _shrink(image, diameter, max_cell_diameter)
        height, width = image.shape[:2]
        source = sources.sources[number]
        entries.append(
            CachedImage(sources.rows[number], height, width, offset, scale, diameter * scale, source)
        )
        write(np.ascontiguousarray(image).reshape(-1))
        offset += image.size
    return entries, failures


def _shrink(image: Image, cell_diameter: float, max_cell_diameter: float | None) -> tuple[Image, float]:
    if max_cell_diameter is None or not cell_diameter > max_cell_diameter:
        return image, 1.0
    scale = max_cell_diameter / cell_diameter
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), scale


def _build(
    sources: _ImageSources,
    max_cell_diameter: float | None,
    progress: Callable[[Iterable[int]], Iterable[int]],
    data: Path,
    index: Path,
) -> None:
    """Write the pixels, then the index: the index is what makes a cache exist, so it comes last and at once."""
    data.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(data.parent)
    with atomic_path(data) as partial:
        with partial.open("wb") as file:
            entries, failures = _decode_all(sources, max_cell_diameter, progress, _writer(file))
        if not entries:
            raise RedDinoError(f"None of the {len(failures)} images could be decoded; {_first(failures)}")
    fields = {name: [getattr(entry, name) for entry in entries] for name in CachedImage.__dataclass_fields__}
    named_failures = [[str(path), reason] for path, reason in failures]
    write_text(index, json.dumps({"images": fields, "failures": named_failures}))


def _writer(file: BinaryIO) -> Callable[[Image], object]:
    return lambda pixels: file.write(pixels.data)


def _read_index(index: Path) -> tuple[list[CachedImage], list[_Failure]]:
    content = json.loads(index.read_text(encoding="utf-8"))
    fields = content["images"]
    entries = [CachedImage(*values) for values in _rows_of(fields)]
    return entries, [(Path(path), reason) for path, reason in content["failures"]]


def _rows_of(fields: Mapping[str, list[object]]) -> Iterator[tuple[object, ...]]:
    return zip(*(fields[name] for name in CachedImage.__dataclass_fields__), strict=True)


def _map(data: Path, entries: list[CachedImage]) -> Image:
    expected = sum(entry.height * entry.width * 3 for entry in entries)
    if not data.exists() or data.stat().st_size != expected:
        raise RedDinoError(
            f"The image cache {data} does not fit its index; delete the folder {data.parent} to rebuild it."
        )
    return np.memmap(data, dtype=np.uint8, mode="r")
