"""The common base of the readers: finding the images of a folder, and gathering rows for a manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.objects import list_objects
from reddino.foundations.stores.urls import is_url, url_of
from reddino.smears.failures import Failures
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import NUMBER_COLUMNS
from reddino.smears.slides.companions import without_companions
from reddino.smears.slides.names import ZARR
from reddino.smears.suffixes import PICTURE_SUFFIXES, why_unread

Value = str | float | None
#: Where a cell is, in pixels (x, y of its centre, or x, y, w, h of its box), and its label.
Cell = tuple[Sequence[float], str]


class Rows:
    """Rows of a manifest in the making, all of one source.

    Args:
        folder: the collection; paths are kept relative to it.
        source: name of the source; the folder's own name if None.
        failures: collects annotations that make no sense, which are then left out; without it they raise.
    """

    def __init__(self, folder: Path, source: str | None, failures: Failures | None) -> None:
        self.folder = folder
        self._source = source or folder.resolve().name
        self._failures = failures
        self._first_fault = ""
        self._rows: list[dict[str, Value]] = []
        self._findings: dict[str, Finding] = {}

    def add(self, image: Path, **values: Value) -> None:
        """Add a row for `image`, a path below the folder; values by column name."""
        self._rows.append(
            {"path": image.relative_to(self.folder).as_posix(), "source": self._source, **values}
        )

    def add_cells(self, image: Path, cells: Sequence[Cell], **values: Value) -> None:
        """Add one row per cell of `image`, with `values`; one row without label where it has none."""
        for (x, y, *size), label in cells:
            self.add(image, x=x, y=y, **dict(zip("wh", size, strict=False)), label=label, **values)
        if not cells:
            self.add(image)

    def report(self, file: Path, fault: str) -> None:
        """Note an annotation that makes no sense, or raise."""
        if self._failures is None:
            raise RedDinoError(f"{file}, {fault}")
        self._first_fault = self._first_fault or f"; the first fault: {file.name}, {fault}"
        self._failures.add(file, fault)

    def refuse(self, what: str) -> NoReturn:
        """Raise that nothing could be taken of the collection, with the first fault that was reported."""
        raise RedDinoError(f"{self.folder}{what}{self._first_fault or '; is this the right layout?'}")

    def require_annotated(self, annotated: int, what: str) -> None:
        """Refuse a layout in which no image has annotations: it is another layout than the chosen one."""
        if annotated == 0:
            self.refuse(f": none of its images has {what}")

    def leave_out(self, kind: str, file: Path, fault: str, meaning: str, *, harmless: bool = False) -> None:
        """Note what is left out by rule, such as a crowd region; never raises.

        Args:
            kind: of the finding that counts them.
            file: in which it stands, or which it is.
            fault: what and where, for the list of failures.
            meaning: one sentence for the finding.
            harmless: as of a `Finding`.
        """
        if self._failures is not None:
            self._failures.add(file, fault)
        self.note(kind, meaning, f"{file.name}, {fault}", harmless=harmless)

    def note(self, kind: str, meaning: str, first: str, *, harmless: bool = False) -> None:
        """Count one more finding of a kind; `meaning` and `first` are kept of the first."""
        known = self._findings.get(kind, Finding(kind, meaning, 0, first, harmless))
        self._findings[kind] = replace(known, count=known.count + 1)

    def manifest(self, *, slide: str | None = None, patient: str | None = None) -> Manifest:
        """Return the manifest of all rows; `slide` and `patient` are patterns for `named_parts`."""
        if not self._rows:
            self.refuse(": none of its images could be taken")
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        columns = {
            name: pa.array(
                [row.get(name) for row in self._rows], pa.float64() if name in NUMBER_COLUMNS else pa.string()
            )
            for name in names
        }
        manifest = Manifest(pa.table(columns), self.folder, tuple(self._findings.values()))
        for name, pattern in (("slide", slide), ("patient", patient)):
            if pattern is not None:
                manifest = manifest.with_column(name, named_parts(manifest.strings("path"), pattern, name))
        return manifest


def named_parts(paths: list[str], pattern: str, name: str) -> list[str]:
    """Return what the group `(?P<name>...)` of a pattern finds in each path; "" where it finds nothing."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RedDinoError(
            f"the pattern '{pattern}' for '{name}' is not a regular expression: {error}"
        ) from error
    if name not in compiled.groupindex:
        raise RedDinoError(f"the pattern '{pattern}' must hold the named group (?P<{name}>...)")
    found = [match[name] or "" if (match := compiled.search(path)) else "" for path in paths]
    if not any(found):
        raise RedDinoError(
            f"the pattern '{pattern}' for '{name}' finds nothing in any path, for instance in '{paths[0]}'"
        )
    return found


def natural_key(path: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which '2.jpg' comes before '10.jpg'."""
    parts = re.split(r"(\d+)", path)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path


def find_files(folder: str | Path, suffixes: tuple[str, ...], failures: Failures | None = None) -> list[Path]:
    """Find all files below `folder` with one of `suffixes` (any case), in natural order.

    What starts with a dot, and pictures that are parts of a slide among the files, are skipped.

    Args:
        folder: to search, with the folders in it.
        suffixes: lower case, with the dot.
        failures: collects what seems to be such a file and cannot be one: a folder of such a name, a name
            that is not valid UTF-8; and folders that may not be listed. Without it a bad name raises.

    Raises:
        RedDinoError: the folder does not exist, or a file name is not valid UTF-8.
    """
    folder = Path(folder)
    if not is_url(folder) and not folder.is_dir():
        raise RedDinoError(f"{folder}: there is no such folder")
    found = [path for path in _walk(folder, suffixes, failures) if path.suffix.lower() in suffixes]
    found = without_companions(found)
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def note_unread(folder: str | Path, failures: Failures) -> None:
    """Note every file below `folder` that seems to be a picture, or an archive of them, and is not read."""
    for path in sorted(_walk(Path(folder), (), Failures()), key=lambda path: natural_key(str(path))):
        why = why_unread(path.name)
        if why is not None:
            failures.add(path, why)


def find_images(folder: str | Path, failures: Failures | None = None) -> list[Path]:
    """Find all images below `folder`; at least one. Arguments as `find_files`.

    Raises:
        RedDinoError: as `find_files`, or no image is there.
    """
    images = find_files(folder, PICTURE_SUFFIXES, failures)
    if failures is not None:
        note_unread(folder, failures)
    if not images:
        raise RedDinoError(f"{folder} holds no images ({', '.join(PICTURE_SUFFIXES)})")
    return images


def _walk(folder: Path, suffixes: tuple[str, ...], failures: Failures | None) -> Iterator[Path]:
    def note(path: str | Path, reason: str) -> None:
        if failures is not None:
            failures.add(str(path).encode("utf-8", "backslashreplace").decode(), reason)

    def unreadable(error: OSError) -> None:
        note(error.filename, f"the folder cannot be listed ({error.strerror})")

    url = url_of(folder)
    if url is not None:
        for name in _listed(url):
            if not any(part.startswith(".") for part in name.split("/")):
                yield folder / name
        return
    # Linked folders are followed, since collections are often assembled from links; each folder is entered
    # once.
    entered: set[tuple[int, int]] = set()
    for parent, folders, plain in os.walk(folder, followlinks=True, onerror=unreadable):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # An OME-Zarr is a picture, for all that it is a folder of folders.
        zarr = [name for name in folders if name.lower().endswith(ZARR)]
        folders[:] = [name for name in folders if name not in zarr]
        for name in folders:
            if name.lower().endswith(suffixes):
                note(Path(parent) / name, "is a folder")
        for name in [*plain, *zarr]:
            if name.startswith("."):
                continue
            path = Path(parent) / name
            if failures is not None and not _is_utf8(path):
                note(path, "its name is not valid UTF-8; rename the file")
                continue
            yield _readable_name(path)


_kept: ContextVar[dict[str, list[str]] | None] = ContextVar("_kept", default=None)


@contextmanager
def listings_kept() -> Iterator[None]:
    """List each folder in a store once while the block runs, and not for each question about it."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _listed(url: str) -> list[str]:
    kept = _kept.get()
    found = None if kept is None else kept.get(url)
    if found is None:
        found = list(list_objects(url, below=True))
        if kept is not None:
            kept[url] = found
    return found


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable_name(path: Path) -> Path:
    if not _is_utf8(path):
        raise RedDinoError(f"{str(path)!r}: the file name is not valid UTF-8; rename the file")
    return path


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number(text: str) -> float:
    """Parse a finite number, else raise ValueError.

    What Python accepts beyond that, such as 1_000, is a slip.
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text) or not abs(value := float(text)) < float("inf"):
        raise ValueError(text)
    return value


def class_number(text: str) -> int:
    """Parse the number of a class, from 0 on; 3.0, as some programs write it, is 3.

    Raises:
        ValueError: it is not one.
    """
    value = number(text)
    if value < 0 or not value.is_integer() or value > 1e6:
        raise ValueError(text)
    return int(value)
