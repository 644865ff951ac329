"""Small files that may lie in a folder of this machine or, as objects, in a store."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import IO

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.objects import delete_object, list_objects, object_state, read_object
from reddino.foundations.stores.ranges import ObjectFile
from reddino.foundations.stores.requests import in_a_sentence
from reddino.foundations.stores.urls import url_of


def is_file(path: Path) -> bool:
    """Return whether a file or an object is there."""
    url = url_of(path)
    if url is None:
        return path.is_file()
    try:
        with in_a_sentence(url, "read"):
            object_state(url)
    except FileNotFoundError:
        return False
    return True


def file_names(folder: Path) -> list[str]:
    """Return the names of the files, or objects, that lie in a folder; none where there is no folder."""
    url = url_of(folder)
    if url is not None:
        return list(list_objects(url, below=False))
    return [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []


def read_file(path: Path) -> bytes:
    """Return the bytes of a file or an object."""
    url = url_of(path)
    if url is None:
        return path.read_bytes()
    with in_a_sentence(url, "read"):
        return read_object(url)


def byte_size(path: Path) -> int:
    """Return the bytes of a file or an object."""
    url = url_of(path)
    if url is None:
        return path.stat().st_size
    with in_a_sentence(url, "read"):
        return object_state(url).size


def remove_file(path: Path) -> None:
    """Delete a file or an object, if it is there."""
    url = url_of(path)
    if url is None:
        path.unlink(missing_ok=True)
    else:
        delete_object(url)


def open_file(path: Path) -> IO[bytes]:
    """Open a file or an object to read any stretch of it."""
    url = url_of(path)
    return path.open("rb") if url is None else io.BufferedReader(_File(url))


class _File(ObjectFile):
    """An object whose refusal is one sentence."""

    def __init__(self, url: str) -> None:
        with in_a_sentence(url, "read"):
            super().__init__(url)

    def fetch(self, start: int, stop: int) -> bytes:
        """Read as `ObjectFile` does."""
        with in_a_sentence(self.url, "read"):
            return super().fetch(start, stop)


def spool_folder() -> Path:
    """Return the folder of this user in which files lie until they are put into a store, with locks."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"reddino-spool-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or (folder.stat().st_uid != user and user != "user"):
        raise RedDinoError(f"{folder} is another user's; set TMPDIR to a folder of your own")
    return folder
