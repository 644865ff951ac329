"""Objects of a store: their state, their bytes, the names in a folder, and objects that are put whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.requests import CutShortError, RefusedError, StoreError, in_a_sentence, send
from reddino.foundations.url_spelling import masked

#: Requests at a time for many objects.
THREADS = 16
#: States of so many objects of one folder are read by listing it, a thousand in a request.
_LISTED_FROM = 20
_READ_ONLY = ("http://", "https://")
#: Over http, the bytes as they are kept, so that their number is the one that was announced.
_PLAIN: Mapping[str, Any] = {"headers": {"Accept-Encoding": "identity"}}


@dataclass(frozen=True)
class ObjectState:
    """The state of an object, as its store has it.

    Attributes:
        size: in bytes; -1 where a server gives none.
        modified: nanoseconds since 1970; 0 where it gives none.
        tag: number made of the ETag, which follows the content; 0 where it gives none.
    """

    size: int
    modified: int
    tag: int


def object_state(url: str) -> ObjectState:
    """Return the state of an object, in one request.

    Raises:
        OSError, StoreError: as `reddino.foundations.stores.requests.send`.
    """
    try:
        return _state(send(url, _file_info))
    except PermissionError:
        # This answer has no body; that of another request distinguishes credentials from permissions.
        read_object(url, 0, 1)
        raise


def _file_info(system: Any, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = system.info(name)
    if found.get("type") != "file":
        raise FileNotFoundError(name)
    return found


def _state(about: Mapping[str, Any]) -> ObjectState:
    size = about.get("size")
    tag = str(about.get("ETag") or about.get("etag") or about.get("md5Hash") or "")
    modified = about.get("LastModified") or about.get("Last-Modified") or about.get("mtime")
    return ObjectState(-1 if size is None else int(size), _nanoseconds(modified), zlib.crc32(tag.encode()))


def _nanoseconds(when: object) -> int:
    try:
        found = parsedate_to_datetime(when) if isinstance(when, str) else when
    except ValueError:
        return 0
    return int(found.timestamp()) * 10**9 if isinstance(found, datetime) else 0


def read_object(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """Return the bytes of an object, or those from `start` to `stop`.

    Raises:
        OSError, StoreError: as `reddino.foundations.stores.requests.send`.
    """
    options = _PLAIN if url.startswith(_READ_ONLY) else {}
    found: bytes = send(url, lambda system, name: system.cat_file(name, start=start, end=stop, **options))
    if start is not None and stop is not None and len(found) != stop - start:
        # A server without ranges sends everything.
        found = found[start:stop] if len(found) > stop - start else found
    return found


def read_whole(url: str, most: int) -> tuple[bytes, ObjectState]:
    """Return the bytes of an object and its state, which was that of these bytes or of those before them.

    Args:
        url: of the object.
        most: bytes that are read at most.

    Raises:
        OSError, StoreError: as `send`; or it is larger than `most`.
    """
    for _ in range(2):
        state = object_state(url)
        if state.size > most:
            raise OSError(0, f"is larger than {most >> 20} MB", url)
        data = read_object(url)
        if state.size in (-1, len(data)):
            return data, ObjectState(len(data), state.modified, state.tag)
    raise CutShortError(0, f"cut short: {len(data)} of {state.size} bytes came", url)


def list_objects(url: str, *, below: bool) -> dict[str, ObjectState]:
    """Return the objects in a folder, and with `below` in all folders in it, by name relative to it.

    Folders that have no object are none. What has a zero size and the name of a folder is left out.

    Raises:
        RedDinoError: a web server, which lists nothing; or as `send`.
    """
    if url.startswith(_READ_ONLY):
        raise RedDinoError(f"{url}: a web server does not list its files; give a manifest of their URLs")

    def found(system: Any, name: str) -> dict[str, ObjectState]:
        # Not `find` with a depth, which passes over folders that it may not list.
        about_each = system.find(name, detail=True).items() if below else _in_folder(system, name)
        start = len(name.rstrip("/")) + 1
        return {
            full[start:]: _state(about)
            for full, about in about_each
            if about.get("type") == "file" and len(full) > start and not full.endswith("/")
        }

    try:
        with in_a_sentence(url, "listed"):
            return send(url, found)
    except FileNotFoundError:
        return {}


def _in_folder(system: Any, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(str(about["name"]), about) for about in system.ls(name, detail=True)]


def object_states(urls: Iterable[str]) -> dict[str, ObjectState]:
    """Return the states of those objects that are there; many of one folder by listing it.

    Raises:
        StoreError: the store does not answer, or refuses the credentials.
    """
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault(url.rpartition("/")[0], []).append(url)
    jobs: list[Any] = []
    for folder, inside in folders.items():
        if len(inside) >= _LISTED_FROM and not folder.startswith(_READ_ONLY):
            jobs.append(partial(_states_by_list, folder, frozenset(inside)))
        else:
            jobs += [partial(_states_of_one, url) for url in inside]
    found: dict[str, ObjectState] = {}
    if jobs:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="states") as pool:
            for states in pool.map(lambda job: job(), jobs):
                found |= states
    return found


def _states_by_list(folder: str, wanted: frozenset[str]) -> dict[str, ObjectState]:
    try:
        listed = list_objects(folder, below=False)
    except RefusedError:  # reading may be allowed where listing is not
        return {name: state for url in wanted for name, state in _states_of_one(url).items()}
    return {url: listed[url[len(folder) + 1 :]] for url in wanted if url[len(folder) + 1 :] in listed}


def _states_of_one(url: str) -> dict[str, ObjectState]:
    try:
        return {url: object_state(url)}
    except OSError:
        return {}


def put_file(url: str, file: Path, *, new: bool) -> None:
    """Put a file as an object, which appears whole or not at all.

    Args:
        url: of the object.
        file: its content.
        new: refuse to replace an object that is there.

    Raises:
        FileExistsError: one is there, of other content, and it was to be new.
        OSError, StoreError: as `send`.
    """
    require_writable(url)
    mode = {"mode": "create"} if new else {}
    try:
        with in_a_sentence(url, "written"):
            send(url, lambda system, name: system.put_file(str(file), name, **mode))
    except FileExistsError:
        # An answer that was lost, and the request repeated: the object is ours.
        if object_state(url).size != file.stat().st_size or read_object(url) != file.read_bytes():
            raise


def put_bytes(url: str, data: bytes, *, new: bool = False) -> None:
    """Put bytes as an object; as `put_file`, but whatever is there is another's where it was to be new."""
    require_writable(url)
    mode = {"mode": "create"} if new else {}
    with in_a_sentence(url, "written"):
        send(url, lambda system, name: system.pipe_file(name, data, **mode))


def delete_object(url: str) -> None:
    """Delete an object, if it is there."""
    try:
        with in_a_sentence(url, "deleted"):
            send(url, lambda system, name: system.rm_file(name))
    except FileNotFoundError:
        return


def require_writable(url: str) -> None:
    """Refuse the URL of a web server as a place to write to.

    Raises:
        StoreError: it is one.
    """
    if url.startswith(_READ_ONLY):
        raise StoreError(
            f"{masked(url)}: a web server is read and not written; give an s3:// URL, or a folder"
        )


def each(urls: Iterable[Any], make: Any) -> Iterator[Any]:
    """Yield `make` of each, in their order, from several threads."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="stores") as pool:
        yield from pool.map(make, urls)


def fetch_file(url: str, file: Path) -> None:
    """Fetch an object into a file of this machine.

    Raises:
        OSError, StoreError: as `reddino.foundations.stores.requests.send`.
    """
    size = object_state(url).size
    send(url, lambda system, name: system.get_file(name, str(file)))
    if size not in (-1, file.stat().st_size):
        raise CutShortError(0, f"cut short: {file.stat().st_size} of {size} bytes came", url)
