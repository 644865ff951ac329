"""The metadata of OME-Zarr, read and checked before zarr sees the folder.

Chunks name the codecs that unpack them, and one of them (pickle) runs code of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json
from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import MAX_PIXELS

_CODECS = {
    "blosc",
    "gzip",
    "zlib",
    "zstd",
    "lz4",
    "bz2",
    "bytes",
    "crc32c",
    "endian",
    "transpose",
    "sharding_indexed",
}
_TYPES = {"|u1", "<u1", ">u1", "u1", "<u2", ">u2", "uint8", "uint16"}
_AXES = set("tczyx")
_MOST_SCENES = 10_000


@dataclass(frozen=True)
class Multiscale:
    """An image of an OME-Zarr folder.

    Attributes:
        axes: names of the axes, slowest first.
        units: of each.
        scale: of each, of the largest level; None where the metadata state none.
        arrays: folders of the levels, the largest first, with the version of their format.
        channels: what the metadata hold of each channel.
    """

    axes: tuple[str, ...]
    units: tuple[str, ...]
    scale: tuple[float, ...] | None
    arrays: dict[Path, int]
    channels: list[Mapping[str, Any]]

    def pixel(self, axis: str) -> tuple[float | None, str]:
        """Return the size of a pixel along an axis, and its unit."""
        number = self.axes.index(axis)
        return (None if self.scale is None else self.scale[number]), self.units[number]


def series_folders(path: Path) -> list[Path]:
    """Return the folders of the images of an OME-Zarr folder.

    Raises:
        ImageError: it holds none.
    """
    attributes = _attributes(path, path)
    if "plate" in attributes:
        raise ImageError(path, "is an OME-Zarr plate; give the fields of its wells")
    if "multiscales" in attributes:
        return [path]
    found: list[Path] = []
    while len(found) < _MOST_SCENES and (path / str(len(found))).is_dir():
        folder = path / str(len(found))
        if "multiscales" not in _attributes(path, folder):
            break
        found.append(folder)
    if not found:
        raise ImageError(path, "is no OME-Zarr folder with an image (no multiscales)")
    return found


def open_multiscale(path: Path, folder: Path) -> Multiscale:
    """Read and check the metadata of an image.

    Args:
        path: the OME-Zarr folder, for errors.
        folder: of the image in it.

    Raises:
        ImageError: metadata that make no sense, or chunks that are not read.
    """
    attributes = _attributes(path, folder)
    try:
        image = attributes["multiscales"][0]
        listed = image.get("axes") or ["t", "c", "z", "y", "x"]
        axes = tuple(str(one["name"] if isinstance(one, Mapping) else one).lower() for one in listed)
        units = tuple(str(one.get("unit", "")) if isinstance(one, Mapping) else "" for one in listed)
        names = [str(one["path"]) for one in image["datasets"]]
        steps = image["datasets"][0].get("coordinateTransformations", [])
        scales = [tuple(map(float, one["scale"])) for one in steps if one.get("type") == "scale"]
        channels = list((attributes.get("omero") or {}).get("channels") or [])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ImageError(path, "damaged (the multiscales of the OME-Zarr make no sense)") from error
    if len(set(axes)) != len(axes) or not {"x", "y"} <= set(axes) <= _AXES or not names:
        raise ImageError(path, f"has axes {', '.join(axes)}, which are not read")
    arrays: dict[Path, int] = {}
    for name in names:
        if not name or name.startswith(("/", "\\")) or ".." in Path(name).parts:
            raise ImageError(path, f"damaged (a level of the OME-Zarr lies outside of it: {name!r:.60})")
        arrays[folder / name] = _checked_version(path, folder / name, len(axes))
    scale = scales[0] if scales and len(scales[0]) == len(axes) else None
    return Multiscale(axes, units, scale, arrays, channels)


def _attributes(path: Path, folder: Path) -> Mapping[str, Any]:
    """Return the attributes of a group, of Zarr 2 or 3."""
    third, second = folder / "zarr.json", folder / ".zattrs"
    if third.is_file():
        found = _json(path, third).get("attributes") or {}
        return found.get("ome", found) if isinstance(found, Mapping) else {}
    return _json(path, second) if second.is_file() else {}


def _json(path: Path, file: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = read_json(file, nan=True)
        return found
    except RedDinoError as error:
        raise ImageError(path, f"damaged ({file.name} cannot be read)") from error


def _checked_version(path: Path, folder: Path, axes: int) -> int:
    """Return the version of the format of an array whose chunks are safe to unpack.

    Raises:
        ImageError: they are not, or of samples that are not read.
    """
    version, kind, shape, chunks, names = _described(path, folder)
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ImageError(path, f"has samples of kind {str(kind)[:40]}; save it with 8 or 16 unsigned bits")
    if unknown := [name for name in names if name not in _CODECS]:
        raise ImageError(path, f"has chunks of codec {unknown[0][:40]}, which are not read")
    for what, numbers in (("shape", shape), ("chunks", chunks)):
        fine = isinstance(numbers, list) and all(type(one) is int and 0 < one < 2**31 for one in numbers)
        if not fine or len(numbers or ()) != axes:
            raise ImageError(path, f"damaged (the {what} of its level {folder.name} is {str(numbers)[:60]})")
    if prod(chunks or ()) > MAX_PIXELS:
        raise ImageError(path, f"has chunks of {prod(chunks or ()):,} pixels, which are too large")
    return version


def _described(path: Path, folder: Path) -> tuple[int, Any, Any, Any, list[str]]:
    """Return the version of an array, the kind of its samples, its shape and chunks, and its codecs."""
    third, second = folder / "zarr.json", folder / ".zarray"
    if third.is_file():
        stored = _json(path, third)
        grid = stored.get("chunk_grid") or {}
        chunks = (grid.get("configuration") or {}).get("chunk_shape") if isinstance(grid, Mapping) else None
        return 3, stored.get("data_type"), stored.get("shape"), chunks, _codec_names(stored.get("codecs"))
    if second.is_file():
        stored = _json(path, second)
        steps = [stored.get("compressor"), *(stored.get("filters") or [])]
        names = [
            str(one.get("id")) if isinstance(one, Mapping) else repr(one) for one in steps if one is not None
        ]
        return 2, stored.get("dtype"), stored.get("shape"), stored.get("chunks"), names
    raise ImageError(path, f"truncated (its level {folder.name} is missing)")


def _codec_names(codecs: Any) -> list[str]:
    """Return the names of all codecs, those within shards too."""
    if not isinstance(codecs, list):
        return ["none"]
    found: list[str] = []
    for one in codecs:
        name = one.get("name") if isinstance(one, Mapping) else one
        found.append(str(name))
        inner = one.get("configuration") if isinstance(one, Mapping) else None
        if isinstance(inner, Mapping):
            for key in ("codecs", "index_codecs"):
                found += _codec_names(inner[key]) if key in inner else []
    return found
