"""The writer of packed collections: images decoded once into one memory-mapped file for any number of runs.

A pack is a folder with `images.pixels` and `images.npz` (the cache), `manifest.parquet` (one row per image),
`failures.csv` and `pack.json`, which is written last: without it there is no pack.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.atomic import atomic_path, remove_partials, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import require_free
from reddino.foundations.provenance import provenance
from reddino.pretraining.data.decoding import IndexBuilder, require_diameter, shrink
from reddino.pretraining.data.image_cache import INDEX, write_index
from reddino.smears.column_names import UM_PER_PX
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest, write_manifest
from reddino.smears.manifest_columns import READING_COLUMNS
from reddino.smears.packs import FORMAT, MANIFEST, PACK, PackedManifest, read_pack

FAILURES = "failures.csv"
#: Columns of a manifest that a pack keeps.
KEPT = ("source", "slide", "patient", "group")

Decode = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class PackedImage:
    """An image on its way into a pack.

    Attributes:
        row: manifest columns.
        diameter: of its red cells in pixels; NaN = unknown.
        centres: (k, 2) x, y of its cells in pixels, where they are marked.
        decode: gives its pixels.
    """

    row: dict[str, str]
    diameter: float
    centres: NDArray[np.float64]
    decode: Decode


def pack_images(
    images: Iterable[PackedImage],
    folder: Path,
    *,
    failures: Failures,
    max_cell_diameter: float | None = None,
) -> PackedManifest:
    """Decode images one after the other into a pack.

    Args:
        images: what to pack; one that cannot be decoded goes to `failures`.
        folder: a new folder, or one of an interrupted packing, which restarts.
        failures: takes what could not be used; it is written next to the images.
        max_cell_diameter: shrink images so that a cell is at most this many pixels across.

    Raises:
        RedDinoError: the folder is a pack already, nothing could be decoded, or the disk is full.
    """
    require_free(folder / PACK, f"{folder} is a packed collection already; give another folder or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    digest, builder, rows = hashlib.sha256(), IndexBuilder(), list[dict[str, str]]()
    pixels_file = (folder / INDEX).with_suffix(".pixels")
    try:
        with atomic_path(pixels_file) as unfinished, unfinished.open("wb") as file:
            for image, pixels, scale in _decoded(images, max_cell_diameter, failures):
                row, diameter, centres = image.row, image.diameter, image.centres
                builder.add(len(rows), pixels, scale, diameter, row.get("source", ""), centres=centres)
                rows.append(row)
                file.write(pixels.data)
                digest.update(pixels.data)
                values = sorted(item for item in row.items() if item[0] != "path")
                digest.update(repr((pixels.shape, scale, diameter, values)).encode())
                digest.update(centres.tobytes())
            if not rows:
                raise RedDinoError(f"there is no image to pack: {failures.summary()}")
        write_index(builder.index(), failures, folder / INDEX)
    except OSError as error:
        raise RedDinoError(
            f"the images could not be packed into {folder} ({error.strerror or error})"
        ) from error
    _finish(folder, rows, digest.hexdigest()[:16], max_cell_diameter, failures)
    return read_pack(folder)


def _decoded(
    images: Iterable[PackedImage], max_cell_diameter: float | None, failures: Failures
) -> Iterator[tuple[PackedImage, NDArray[np.uint8], float]]:
    for image in images:
        try:
            decoded = image.decode()
            require_diameter(image.row["path"], decoded, image.diameter)
            pixels, scale = shrink(decoded, image.diameter, max_cell_diameter)
        except ImageError as error:
            failures.add(error.args[0], error.reason)
            continue
        yield image, np.ascontiguousarray(pixels), scale


def _finish(
    folder: Path, rows: list[dict[str, str]], content: str, size: float | None, failures: Failures
) -> None:
    for row in rows:
        if Path(row["path"]).is_absolute():
            row["path"] = Path(os.path.relpath(row["path"], folder.absolute())).as_posix()
    read = [name for name in (*READING_COLUMNS, UM_PER_PX) if any(name in row for row in rows)]
    table = pa.table(
        {name: pa.array([row.get(name) for row in rows], pa.string()) for name in ("path", *KEPT, *read)}
    )
    write_manifest(Manifest(table, folder), folder / MANIFEST)
    failures.write(folder / FAILURES)
    description = {
        "format": FORMAT,
        "fingerprint": content,
        "images": len(rows),
        "max_cell_diameter": size,
        **provenance(data=content),
    }
    write_text(folder / PACK, json.dumps(description, indent=2) + "\n")
