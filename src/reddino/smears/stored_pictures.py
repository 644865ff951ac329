"""Pictures in stores: an object is fetched whole, and once by the thread that opens it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reddino.foundations.stores.objects import ObjectState, object_states, read_whole
from reddino.foundations.stores.ranges import ObjectFile
from reddino.foundations.stores.urls import UrlError, url_of
from reddino.smears.failures import ImageError

#: Of a picture: more is no smear image.
MOST_BYTES = 1 << 30
#: Bytes that are fetched for a header.
_HEADER = 64 << 10
COPY_FIRST = (
    "is a whole slide or microscope file behind a URL, which is read from a disk alone: copy it to a folder"
)


@dataclass(frozen=True)
class Fetched:
    """The bytes of a picture, and the state of its object."""

    data: bytes
    state: ObjectState


class _KeptPicture(threading.local):
    """What this thread has fetched: for which URL, and what came of it."""

    url: str | None = None
    found: Fetched | ImageError | None = None


_held = _KeptPicture()


@contextmanager
def fetched_once(path: Path) -> Iterator[None]:
    """Keep the bytes of a picture in a store for this thread while the block runs."""
    url = picture_url(path)
    if url is None:
        yield
        return
    _held.url, _held.found = url, None
    try:
        yield
    finally:
        _held.url, _held.found = None, None


def picture_url(path: Path) -> str | None:
    """Return the URL of a picture; None for that of a file, or for a URL that is not read."""
    try:
        return url_of(path)
    except UrlError:
        return None


def require_picture_url(path: Path) -> str | None:
    """Return the URL of a picture; None for that of a file.

    Raises:
        ImageError: it is a URL that is not read.
    """
    try:
        return url_of(path)
    except UrlError as error:
        raise ImageError(path, str(error)) from error


def fetch_picture(path: Path, url: str) -> Fetched:
    """Return the bytes of a picture, fetched now or by this thread before.

    Raises:
        ImageError: it is missing, cut short, too large, or may not be read.
        StoreError: the store does not answer, or refuses the credentials.
    """
    if _held.url != url:
        return _fetch(path, url)
    if _held.found is None:
        try:
            _held.found = _fetch(path, url)
        except ImageError as error:
            _held.found = error
    if isinstance(_held.found, ImageError):
        raise _held.found
    return _held.found


def _fetch(path: Path, url: str) -> Fetched:
    try:
        found = Fetched(*read_whole(url, MOST_BYTES))
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    if not found.data:
        raise ImageError(path, "the file is empty")
    return found


def open_picture(path: Path, url: str) -> IO[bytes]:
    """Open the bytes of a picture; raises as `fetch_picture`."""
    return io.BytesIO(fetch_picture(path, url).data)


def open_picture_header(path: Path, url: str) -> IO[bytes]:
    """Open a picture of which little more than the header will be read; raises as `fetch_picture`."""
    if _held.url == url:
        return open_picture(path, url)
    try:
        return io.BufferedReader(ObjectFile(url, ahead=_HEADER, tail=0))
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


def picture_states(paths: Iterable[Path]) -> dict[Path, ObjectState]:
    """Return the states of those pictures that are in stores and there, many in a request."""
    urls = {path: url for path in paths if (url := picture_url(path)) is not None}
    found = object_states(urls.values())
    return {path: found[url] for path, url in urls.items() if url in found}


def picture_state(path: Path, url: str) -> ObjectState | None:
    """Return the state of a picture, of what this thread holds where it does; None where it is not there."""
    if _held.url == url:
        try:
            return fetch_picture(path, url).state
        except ImageError:
            return None
    return object_states([url]).get(url)
