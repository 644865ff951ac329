"""Open a microscope file by the reader of its format; a few stay open, each until nobody reads from it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from reddino.smears.failures import ImageError
from reddino.smears.formats.reasons import reasons
from reddino.smears.slides import names
from reddino.smears.slides.czi_reader import CziReader
from reddino.smears.slides.dicom_reader import DicomReader
from reddino.smears.slides.heif_reader import HeifReader
from reddino.smears.slides.interface import SlideReader, require_plausible
from reddino.smears.slides.lif_reader import LifReader
from reddino.smears.slides.nd2_reader import Nd2Reader
from reddino.smears.slides.openslide_reader import OpenSlideReader
from reddino.smears.slides.tiff_reader import TiffSlideReader
from reddino.smears.slides.zarr_reader import ZarrReader
from reddino.smears.stored_pictures import COPY_FIRST, require_picture_url

#: Files that stay open when nobody reads from them.
_KEPT = 8

_Key = tuple[int, str, int, int, int]


@dataclass
class _Held:
    """An open file: how many read from it now, and whether it is to be closed after."""

    reader: SlideReader
    users: int = 0
    evicted: bool = False


@dataclass
class _OpenFiles:
    """The open files of this process, the one that was used last at the end.

    Attributes:
        held: the files.
        lock: of them.
        inherited: those of the process that this one was forked from. They are neither used nor destroyed:
            closing them would wait for threads that the fork left behind.
    """

    held: OrderedDict[_Key, _Held] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)
    inherited: list[OrderedDict[_Key, _Held]] = field(default_factory=list)


def _forget(shelf: _OpenFiles) -> None:
    shelf.inherited.append(shelf.held)
    shelf.held, shelf.lock = OrderedDict(), Lock()


_shelf = _OpenFiles()
# A process that is forked must neither wait for a lock of its parent nor share its files' positions.
os.register_at_fork(after_in_child=lambda: _forget(_shelf))


def open_reader(path: str | Path, scene: int = 0) -> SlideReader:
    """Open a microscope file, or one scene of it; the caller closes it.

    Args:
        path: the file (the folder of an OME-Zarr; any file of a DICOM slide).
        scene: from 0.

    Raises:
        ImageError: missing, damaged, of a format or layout that is not read, or without its library.
    """
    path = Path(path)
    with reasons(path):
        _require_on_disk(path)
        path.stat()  # libraries word a missing file in many ways
        reader = _reader_of(path)(path, scene)
        try:
            _require_scene(reader, scene)
            require_plausible(reader)
        except BaseException:
            reader.close()
            raise
        return reader


@contextmanager
def opened(path: str | Path, scene: int = 0) -> Iterator[SlideReader]:
    """Open a microscope file for reading, or take it where it is open; errors within become `ImageError`.

    Raises:
        ImageError: as `open_reader`, and whatever goes wrong while it is read.
    """
    path = Path(path)
    with reasons(path):
        held = _take(path, scene)
        try:
            yield held.reader
        finally:
            _give_back(held)


def _require_on_disk(path: Path) -> None:
    if require_picture_url(path) is not None:
        raise ImageError(path, COPY_FIRST)


def _take(path: Path, scene: int) -> _Held:
    _require_on_disk(path)
    status = path.stat()
    key = (os.getpid(), str(path.absolute()), scene, status.st_size, status.st_mtime_ns)
    with _shelf.lock:
        if key in _shelf.held:
            _shelf.held.move_to_end(key)
            _shelf.held[key].users += 1
            return _shelf.held[key]
    mine = _Held(open_reader(path, scene))  # outside of the lock: it may take a second
    with _shelf.lock:
        held = _shelf.held.setdefault(key, mine)
        _shelf.held.move_to_end(key)
        held.users += 1
        closing = [] if held is mine else [mine]
        while len(_shelf.held) > _KEPT:
            _, oldest = _shelf.held.popitem(last=False)
            oldest.evicted = True
            closing += [] if oldest.users else [oldest]
    for one in closing:
        one.reader.close()
    return held


def _give_back(held: _Held) -> None:
    with _shelf.lock:
        held.users -= 1
        close = held.evicted and held.users == 0
    if close:
        held.reader.close()


def _require_scene(reader: SlideReader, scene: int) -> None:
    if not 0 <= scene < reader.scenes:
        raise ImageError(reader.path, f"has {reader.scenes} scene(s), counted from s0, and no scene s{scene}")


def _reader_of(path: Path) -> Callable[[Path, int], SlideReader]:
    """Return what opens a file of this name."""
    name = path.name.lower()
    for suffixes, reader in _READERS.items():
        if name.endswith(suffixes):
            return reader
    raise ImageError(path, "is no microscope file")


def _one_scene(reader: Callable[[Path], SlideReader]) -> Callable[[Path, int], SlideReader]:
    return lambda path, scene: reader(path)


_READERS: dict[tuple[str, ...], Callable[[Path, int], SlideReader]] = {
    names.DICOM: _one_scene(DicomReader),
    names.CZI: CziReader,
    names.ND2: Nd2Reader,
    names.LIF: LifReader,
    names.ZARR: ZarrReader,
    names.HEIF: _one_scene(HeifReader),
    names.OPENSLIDE: _one_scene(OpenSlideReader),
    (*names.TIFF, *names.TIFF_SLIDES): _one_scene(TiffSlideReader),
}
