"""Pictures that are parts of a slide: tiles, map and photograph of a Hamamatsu VMS or VMU file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: Suffixes of the files that name their parts, lower case.
NAMES_PARTS = (".vms", ".vmu")
#: A slide whose pixels lie in a folder of its name, next to this file, which may be the same for several.
MRXS = ".mrxs"
_KEYS = ("imagefile", "mapfile", "macroimage")
#: Bytes of such a file, at most; they hold a few lines.
_LARGEST = 2**20


def without_companions(files: Iterable[Path]) -> list[Path]:
    """Leave out the pictures that one of the files names as its parts.

    A VMS slide is a text file next to JPEG files. Each of them opens as a picture of its own: a tile that
    would be read twice, or the photograph of the slide with its label.
    """
    listed = list(files)
    parts = {part for file in listed if file.suffix.lower() in NAMES_PARTS for part in _parts(file)}
    return [file for file in listed if _spelling(file) not in parts]


def _parts(file: Path) -> set[tuple[Path, str]]:
    """Return the files that a VMS or VMU file names; none where it cannot be read."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8", errors="replace")
    except OSError:  # what is wrong with it is reported where it is opened
        return set()
    pairs = (line.partition("=") for line in text.splitlines())
    names = (value.strip() for key, _, value in pairs if key.strip().lower().startswith(_KEYS))
    return {_spelling(file.parent / name.replace("\\", "/")) for name in names if name}


def _spelling(file: Path) -> tuple[Path, str]:
    """Return folder and name as Windows compares them, where these files are written."""
    return file.parent, file.name.lower()
