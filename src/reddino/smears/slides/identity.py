"""Slides that are in a manifest under several names: by a link, or as a copy of the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.slides.companions import MRXS, NAMES_PARTS
from reddino.smears.slides.interface import Rectangle
from reddino.smears.slides.names import SEPARATOR, ZARR, is_slide_name, split_slide

#: In the folder of an MRXS slide, the file that is its own.
_ITS_OWN = "Slidedat.ini"
#: Slides whose noted digest is of names alone, or of a small file that two slides may have in common.
_PIXELS_ELSEWHERE = (*ZARR, *NAMES_PARTS, MRXS)


def same_slides(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the slides that are one under two names: microscope files, and files of which parts are listed.

    Where parts are, a whole picture may be the same slide too. Bytes are read only of files of one size.

    Returns:
        The first name of each, and another, as they stand in the manifest.
    """
    slides: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name in manifest.images()[0]:
        part = split_slide(name)
        if part is not None:
            slides.setdefault(part.file.as_posix(), manifest.root / part.file)
        elif SEPARATOR not in name:
            others.setdefault(name, manifest.root / name)
    files = slides if all(is_slide_name(name) for name in slides) else {**slides, **others}
    first: dict[object, str] = {}
    of_place = {name: first.setdefault(_place(path), name) for name, path in files.items()}
    sizes: dict[tuple[int, int], list[str]] = {}
    for name in first.values():
        sizes.setdefault(_size(files[name]), []).append(name)
    of_content = {name: name for name in files}
    # Empty files are alike and no slides, and of plain pictures alone none is one.
    alike = [
        names
        for (size, _), names in sizes.items()
        if size and len(names) > 1 and not slides.keys().isdisjoint(names)
    ]
    for names in watched(alike, "comparing slides"):
        known: dict[object, str] = {}
        of_content |= {name: known.setdefault(_content(files[name]), name) for name in names}
    pairs = ((of_content[of_place[name]], name) for name in files)
    return [(one, other) for one, other in pairs if one != other and (one in slides or other in slides)]


def whole_and_in_parts(manifest: Manifest) -> list[str]:
    """Return the pictures that a manifest lists whole, and by rectangles of them, too."""
    whole: set[tuple[str, int]] = set()
    parted: dict[tuple[str, int], None] = {}
    for name in manifest.images()[0]:
        part = split_slide(name)
        if part is not None and part.rectangle is not None:
            parted.setdefault((part.file.as_posix(), part.scene or 0))
        elif part is not None or SEPARATOR not in name:
            whole.add((name, 0) if part is None else (part.file.as_posix(), part.scene or 0))
    return [file for file, scene in parted if (file, scene) in whole]


def regions_twice(pictures: Iterable[tuple[str, str]]) -> Iterator[tuple[Path, Path]]:
    """Yield the slides of which one region is there under two names, by the digests noted of pictures.

    Args:
        pictures: names, with digests over the bytes of their files.

    Yields:
        The first name of a slide, and another.
    """
    known: dict[tuple[str, int | None, Rectangle], Path] = {}
    for name, digest in pictures:
        part = split_slide(name)
        if part is None or part.rectangle is None or part.file.name.lower().endswith(_PIXELS_ELSEWHERE):
            continue
        first = known.setdefault((digest, part.scene, part.rectangle), part.file)
        if first != part.file:
            yield first, part.file


def require_distinct_slides(manifest: Manifest) -> None:
    """Refuse a manifest that has a slide under two names, or whole and in parts, before cells count twice.

    Raises:
        RedDinoError: names both.
    """
    for name in whole_and_in_parts(manifest):
        raise RedDinoError(
            f"{name} is in the data whole and by rectangles of it, whose cells would count twice: leave the "
            "whole picture or its rectangles out"
        )
    for first, other in same_slides(manifest):
        raise RedDinoError(
            f"{other} is the slide {first} under another name, and its cells would count twice: leave one of "
            "the two out"
        )


def slides_under_several_names(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding of slides that are in a manifest under several names."""
    pairs = same_slides(manifest)
    if pairs:
        first, other = pairs[0]
        yield Finding(
            "slide under several names",
            f"{counted(len(pairs), 'slide')} in the data a second time, by a link or as a copy, so that its "
            "cells would count twice; commands that find cells refuse that: leave one of the names out",
            len(pairs),
            f"{other}, as {first}",
        )
    parted = whole_and_in_parts(manifest)
    if parted:
        yield Finding(
            "picture whole and in parts",
            f"{counted(len(parted), 'picture')} in the data whole and by rectangles, so that cells would "
            "count twice; commands that find cells refuse that: leave out the one or the others",
            len(parted),
            parted[0],
        )


def _place(path: Path) -> object:
    """Return what all links to a file have in common; the path itself of one that is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as in smears.contents
    except (OSError, ValueError):
        return str(path)
    return found.st_dev, found.st_ino


def _size(path: Path) -> tuple[int, int]:
    """Return bytes and number of the files of a slide."""
    try:
        sizes = [one.stat().st_size for one in _files(path)]
    except OSError:
        return 0, 0
    return sum(sizes), len(sizes)


def _content(path: Path) -> object:
    """Return a digest over the bytes of a slide; its path where they cannot be read or are elsewhere."""
    if path.suffix.lower() in NAMES_PARTS:
        return str(path)  # a few lines, which name the files that hold its pixels
    digest = hashlib.sha256()
    try:
        for one in _files(path):
            # A copy may have another suffix, such as .tiff for .tif.
            name = one.relative_to(path).as_posix() if path.is_dir() else ""
            with one.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{name} {found}\n".encode(errors="replace"))
    except OSError:
        return str(path)
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the files that stand for a slide: itself, all of a folder, and of MRXS its description."""
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    described = path.with_suffix("") / _ITS_OWN
    return [path, described] if path.suffix.lower() == MRXS and described.is_file() else [path]
