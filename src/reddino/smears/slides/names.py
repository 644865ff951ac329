"""Names of microscope files: their suffixes, their libraries, and the virtual path of a rectangle of one.

A rectangle is named as members of tar shards are: `slide.svs::x4096-y2048-w2128-h2128`, with the scene first
where a file has several (`file.czi::s2-x0-y0-w512-h512`), or the scene alone (`file.lif::s3`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SEPARATOR = "::"
#: Whole slides that OpenSlide reads; .dcm and .zarr have libraries of their own.
OPENSLIDE = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu")
#: TIFF files that only microscopes write; .tif and .tiff are slides where they are large pyramids.
TIFF_SLIDES = (".btf", ".tf8", ".tf2", ".qptiff")
TIFF = (".tif", ".tiff")
DICOM, CZI, ND2, LIF, ZARR = (".dcm", ".dicom"), (".czi",), (".nd2",), (".lif", ".lof"), (".zarr",)
HEIF = (".heic", ".heif", ".hif", ".avif")
#: Suffixes of the files that a reader of this package opens, lower case.
SLIDE_SUFFIXES = (*OPENSLIDE, *TIFF_SLIDES, *DICOM, *CZI, *ND2, *LIF, *ZARR, *HEIF)

_PART = re.compile(
    r"(?:s(?P<s>0|[1-9]\d{0,5}))?(?:(?P<dash>-)?x(?P<x>0|[1-9]\d{0,8})-y(?P<y>0|[1-9]\d{0,8})"
    r"-w(?P<w>[1-9]\d{0,8})-h(?P<h>[1-9]\d{0,8}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class SlidePart:
    """A part of a microscope file.

    Attributes:
        file: the file, or the folder of an OME-Zarr.
        scene: from 0; None: the only one.
        rectangle: left, top, width and height in pixels of level 0; None: all of the scene.
    """

    file: Path
    scene: int | None = None
    rectangle: tuple[int, int, int, int] | None = None

    def __str__(self) -> str:
        return self._named(str(self.file))

    def as_posix(self) -> str:
        """Return the path with slashes, as manifests have it."""
        return self._named(self.file.as_posix())

    def _named(self, file: str) -> str:
        words = [] if self.scene is None else [f"s{self.scene}"]
        if self.rectangle is not None:
            words += [f"{letter}{value}" for letter, value in zip("xywh", self.rectangle, strict=True)]
        return f"{file}{SEPARATOR}{'-'.join(words)}" if words else file


def split_slide(path: str | Path) -> SlidePart | None:
    """Return the part of a microscope file that a path names.

    Return None for the path of a plain picture, of the member of a shard, or of anything else.
    """
    text = str(path)
    file, separator, words = text.rpartition(SEPARATOR)
    if separator and ".tar" + SEPARATOR not in text and file.lower().endswith((*SLIDE_SUFFIXES, *TIFF)):
        return _parsed(Path(file), words)
    return SlidePart(Path(text)) if not separator and is_slide_name(text) else None


def is_slide_name(name: str) -> bool:
    """Return whether a file's name is that of a microscope file."""
    return name.lower().endswith(SLIDE_SUFFIXES)


def _parsed(file: Path, words: str) -> SlidePart | None:
    """Return a part; None where the words are not spelled as `SlidePart` spells them."""
    match = _PART.fullmatch(words)
    if (
        match is None
        or not words
        or (match["s"] is not None and match["x"] is not None) != bool(match["dash"])
    ):
        return None
    scene = None if match["s"] is None else int(match["s"])
    if match["x"] is None:
        return SlidePart(file, scene)
    x, y, w, h = (int(match[letter]) for letter in "xywh")
    return SlidePart(file, scene, (x, y, w, h))
