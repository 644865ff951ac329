"""What a fuzz target is fed: a few files in a folder, which travel as one string of bytes."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path, PurePosixPath

Bundle = dict[str, bytes]


def packed(bundle: Bundle) -> bytes:
    """The files as one string of bytes."""
    pieces = []
    for name, content in bundle.items():
        encoded = name.encode()
        pieces += [struct.pack("<HI", len(encoded), len(content)), encoded, content]
    return b"".join(pieces)


def unpacked(data: bytes) -> Bundle:
    """The files of a string of bytes; what is cut off or unsafe as a name is left out."""
    bundle: Bundle = {}
    place = 0
    while place + 6 <= len(data):
        name_bytes, content_bytes = struct.unpack_from("<HI", data, place)
        place += 6
        name = data[place : place + name_bytes].decode("utf-8", "replace")
        content = data[place + name_bytes : place + name_bytes + content_bytes]
        place += name_bytes + content_bytes
        if _is_safe(name):
            bundle[name] = content
    return bundle


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Lay the files out in an empty folder; one that another stands in the way of is left out."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in bundle.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue


def read_bundle(folder: Path) -> Bundle:
    """The files below a folder, by their path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts
