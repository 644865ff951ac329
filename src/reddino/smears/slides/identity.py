"""Slides that are in a manifest under several names: by a link, or as a copy of the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.slides.companions import NAMES_PARTS
from reddino.smears.slides.names import SEPARATOR, split_slide

#: A slide whose pixels lie in a folder of its name, next to this one, and the file there that is its own.
_MRXS, _ITS_OWN = ".mrxs", "Slidedat.ini"


def same_slides(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the slides that are one under two names, of those whose regions a manifest lists.

    Bytes are read only of files of one size.

    Returns:
        The first name of each, and another, as they stand in the manifest.
    """
    files: dict[str, Path] = {}
    for name in manifest.images()[0]:
        part = split_slide(name) if SEPARATOR in name else None
        if part is not None and part.rectangle is not None:
            files.setdefault(part.file.as_posix(), manifest.root / part.file)
    first: dict[object, str] = {}
    of_place = {name: first.setdefault(_place(path), name) for name, path in files.items()}
    sizes: dict[tuple[int, int], list[str]] = {}
    for name in first.values():
        sizes.setdefault(_size(files[name]), []).append(name)
    of_content = {name: name for name in files}
    for names in watched([names for names in sizes.values() if len(names) > 1], "comparing slides"):
        known: dict[object, str] = {}
        of_content |= {name: known.setdefault(_content(files[name]), name) for name in names}
    pairs = ((of_content[of_place[name]], name) for name in files)
    return [(one, other) for one, other in pairs if one != other]


def require_distinct_slides(manifest: Manifest) -> None:
    """Refuse a manifest that has a slide under two names, before its cells are counted twice.

    Raises:
        RedDinoError: names both.
    """
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
            name = one.relative_to(path).as_posix() if path.is_dir() else one.suffix
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
    return [path, described] if path.suffix.lower() == _MRXS and described.is_file() else [path]
