"""Collections of a few small pictures with their annotation files, for the tests of readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reddino.smears.manifest import Manifest


def picture(path: Path, size: tuple[int, int] = (100, 50), orientation: int = 1) -> Path:
    """A black picture of (width, height) stored pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, np.zeros((size[1], size[0], 3), np.uint8), orientation)
    return path


def save(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    """Write pixels as they are, with an EXIF orientation."""
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if path.suffix == ".tif":
        image.save(path, tiffinfo={0x0112: orientation})
    elif path.suffix == ".webp":
        image.save(path, exif=exif, lossless=True)
    else:
        image.save(path, exif=exif)


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def coco(path: Path, images: Any, annotations: Any, categories: Any = ({"id": 5, "name": "RBC"},)) -> Path:
    """A COCO file; what is no list of objects is written as it is."""
    content = {"images": images, "annotations": annotations, "categories": categories}
    return text(path, json.dumps(content))


def voc(*objects: tuple[Any, ...], size: tuple[Any, Any] | None = None, filename: str = "") -> str:
    """A VOC file with a (name, xmin, ymin, xmax, ymax) an object."""
    listed = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    entries = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
        f"<ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation><filename>{filename}</filename>{listed}{entries}</annotation>"


def cells(manifest: Manifest) -> list[tuple[Any, ...]]:
    """(path, x, y, w, h, label) a row, with None for missing."""
    columns = [manifest.table[name].to_pylist() for name in ("path", "x", "y", "w", "h", "label")]
    return list(zip(*columns, strict=True))


def kinds(manifest: Manifest) -> dict[str, int]:
    """The kinds of its findings, with counts."""
    return {finding.kind: finding.count for finding in manifest.findings}
