"""Microscope files on the disk: their size, and which TIFF files are read region by region."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from reddino.smears.failures import ImageError
from reddino.smears.formats.limits import MAX_PIXELS
from reddino.smears.formats.tiff_structure import TiffReader
from reddino.smears.slides.names import TIFF, SlidePart, split_slide
from reddino.smears.slides.regions import ONE_PICTURE

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_large_pyramid(path: Path) -> bool:
    """Return whether a file is a TIFF that is read region by region.

    It is one that is too large to be read as one picture, or a pyramid of more than `ONE_PICTURE` pixels a
    side: tiles, and smaller copies of the picture. Every other TIFF is one picture.
    """
    if not path.name.lower().endswith(TIFF):
        return False
    try:
        with path.open("rb") as file:
            return is_large_pyramid_file(path, file)
    except OSError:
        return False


def is_large_pyramid_file(path: Path, file: IO[bytes]) -> bool:
    """Return the same of a file that is open."""
    if not path.name.lower().endswith(TIFF):
        return False
    try:
        if file.read(4) not in _SIGNATURES:
            return False
        reader = TiffReader(path, file)
        # Some programs write the thumbnail, or the smallest level, first.
        largest = max(reader.pages(), key=lambda page: page.number(256, 0) * page.number(257, 0))
        width, height = largest.number(256, 0), largest.number(257, 0)
        if max(width, height) <= ONE_PICTURE:
            return False
        return width * height > MAX_PIXELS or (322 in largest.tags and _has_copies(reader, width))
    except (OSError, ImageError):
        return False


def _has_copies(reader: TiffReader, width: int) -> bool:
    pages = reader.pages()
    below = reader.below(pages[0])
    return any(322 in page.tags and page.number(256, width) < width for page in (*pages, *below))


def part_file(path: str | Path) -> Path | None:
    """Return the file of the part of a microscope file that a path names; None for other paths."""
    part = split_slide(path)
    return None if part is None else part.file


def slide_size(part: SlidePart) -> int:
    """Return the bytes of a microscope file; of a folder those of the files that lie in it directly.

    Raises:
        OSError: it does not exist.
    """
    status = part.file.stat()
    if not part.file.is_dir():
        return status.st_size
    with os.scandir(part.file) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())
